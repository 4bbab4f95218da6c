// What a customer is, and how input becomes one. Parse, don't check: a parser returns a typed value,
// or throws a Problem that lists every bad field.
import { createHash } from 'node:crypto';
import { type FieldError, invalidFields, Problem } from './problem.ts';

/** The fields that a caller may set. */
export type CustomerFields = { name: string; email: string | null };

const MAX_NAME = 200;
const MAX_EMAIL = 254; // the longest address that SMTP can carry (RFC 5321 §4.5.3.1.3, less the brackets)
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
  if (!/^[^\s@]+@[^\s@]+$/.test(email)) return 'must look like name@example.com';
  return textProblem(email, MAX_EMAIL);
}

/** What is wrong with a text of at most `most` code points; undefined if nothing is. */
export function textProblem(text: string, most: number, forbidden = /\p{Cc}/u): string | undefined {
  if (forbidden.test(text)) return 'must not hold control characters';
  if (!text.isWellFormed()) return 'must not hold half of a surrogate pair';
  // A text never has more code points than UTF-16 units, so most need no counting.
  if (text.length > most && [...text].length > most) return `must be at most ${most} characters long`;
  return undefined;
}

/** A field's name as a JSON Pointer in a URI fragment (RFC 6901 §3 and §6). */
export function pointerTo(field: string): string {
  return `#/${encodeURIComponent(field.toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1'))}`;
}

/** The entity tag of a JSON text. A hash, since two updates in one millisecond share their `updatedAt`. */
export function etagOf(json: string): string {
  return `"${createHash('sha256').update(json).digest('hex').slice(0, 32)}"`; // SQL in postgres-schema.sql agrees
}

/** Entity tags from `If-Match` or `If-None-Match`; `*` stands for any (RFC 9110 §13.1). */
export type EtagList = '*' | string[];

/** @throws {Problem} 400 if it is neither `*` nor a list of entity tags (RFC 9110 §8.8.3) */
export function parseEtagList(header: string | undefined, field: string): EtagList | undefined {
  if (header === undefined) return undefined;
  if (header.trim() === '*') return '*';
  const tags = header.match(/(W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? [];
  const isList = /^[\s,]*(?:W\/)?"[^"\s]*"(?:\s*,[\s,]*(?:W\/)?"[^"\s]*")*[\s,]*$/.test(header);
  if (!isList) throw new Problem(400, `${field} must be * or entity tags in double quotes, such as "abc".`);
  return tags;
}

/** `If-Match` compares strongly: a weak tag never matches (RFC 9110 §13.1.1). */
export function matchesStrongly(list: EtagList, etag: string): boolean {
  return list === '*' || list.includes(etag);
}

/** `If-None-Match` compares weakly (RFC 9110 §13.1.2). */
export function matchesWeakly(list: EtagList, etag: string): boolean {
  return list === '*' || list.some((tag) => tag.replace(/^W\//, '') === etag);
}
