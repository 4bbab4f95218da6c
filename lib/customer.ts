// What a customer is, and how input becomes one. Parse, don't check: a parser returns a typed value,
// or throws a Problem that lists every bad field.
import { type FieldError, invalidFields, pointerTo, textProblem } from './problem.ts';

/** The fields that a caller may set. What the database adds (id, times) is known only there. */
export type CustomerFields = { name: string; email: string | null };

const MAX_NAME = 200;
const MAX_EMAIL = 254; // the longest address that SMTP can carry (RFC 5321 §4.5.3.1.3, less the brackets)
// Ignored in a body, not refused: who sends back what it has read, changed in one field, makes no mistake.
const READ_ONLY = new Set(['id', 'createdAt', 'updatedAt']);

/** A whole customer, for POST and PUT. @throws {Problem} 422 with every bad field */
export function parseCustomer(body: unknown): CustomerFields {
  const fields = parseFields(body, ['name']);
  return { name: fields.name ?? '', email: fields.email ?? null };
}

/** Only the fields that are named, for PATCH (RFC 7396). @throws {Problem} 422 with every bad field */
export function parseCustomerPatch(body: unknown): Partial<CustomerFields> {
  return parseFields(body, []);
}

/** Goes on after the first bad field, so that a form can show all of them at once. */
function parseFields(body: unknown, required: string[]): Partial<CustomerFields> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalidFields([{ pointer: '#', detail: 'must be a JSON object' }]);
  }
  const errors: FieldError[] = [];
  const fields: Partial<CustomerFields> = {};
  for (const field of required) {
    if (!Object.hasOwn(body, field)) errors.push({ pointer: `#/${field}`, detail: 'is required' });
  }
  for (const [field, value] of Object.entries(body)) {
    if (READ_ONLY.has(field)) continue;
    const problem =
      field === 'name'
        ? parseName(value, fields)
        : field === 'email'
          ? parseEmail(value, fields)
          : 'is not a field of a customer';
    if (problem) errors.push({ pointer: pointerTo(field), detail: problem });
  }
  if (errors.length > 0) throw invalidFields(errors);
  return fields;
}

/** Sets the field, or says what is wrong with it. */
function parseName(value: unknown, fields: Partial<CustomerFields>): string | undefined {
  if (typeof value !== 'string') return 'must be a string';
  const name = value.trim();
  fields.name = name;
  if (name === '') return 'must not be empty';
  return textProblem(name, MAX_NAME);
}

function parseEmail(value: unknown, fields: Partial<CustomerFields>): string | undefined {
  if (value !== null && typeof value !== 'string') return 'must be a string or null';
  const email = value === null ? null : value.trim();
  fields.email = email;
  if (email === null) return undefined;
  // No more than this: whether an address exists is known only by writing to it.
  if (!/^[^\s@]+@[^\s@]+$/.test(email)) return 'must look like name@example.com';
  return textProblem(email, MAX_EMAIL);
}
