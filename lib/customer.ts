// What a customer is: the resource that this program comes with. Here stands what its fields may hold, and nothing that
// others need: how a body is taken apart and a request answered is the same for every resource.
import { textProblem } from './problem.ts';
import type { Parsed, Resource } from './resource.ts';

// Code points, as `textProblem` counts: an emoji is one character, though JavaScript says two.
const MAX_NAME = 200;
// The longest address that SMTP can carry (RFC 5321 §4.5.3.1.3, less the brackets).
const MAX_EMAIL = 254;

/** `GET /api/customers`; its events are `customer.created`, `.updated` and `.deleted` at `/api/customers/<id>`. */
export const CUSTOMERS: Resource = {
  table: 'customers',
  one: 'a customer',
  type: 'customer',
  source: '/api/customers',
  fields: { name: { parse: parseName }, email: { parse: parseEmail, absent: null } },
  readOnly: ['id', 'createdAt', 'updatedAt'],
};

/** 1 to 200 code points. Trimmed first: blanks around a name come from forms, and mean nothing. */
function parseName(value: unknown): Parsed {
  if (typeof value !== 'string') return { problem: 'must be a string' };
  const name = value.trim();
  const problem = name === '' ? 'must not be empty' : textProblem(name, MAX_NAME);
  return problem === undefined ? { value: name } : { problem };
}

/** Null, or something on both sides of one `@`. Whether it can be reached, only a mail to it could tell. */
function parseEmail(value: unknown): Parsed {
  if (value === null) return { value };
  if (typeof value !== 'string') return { problem: 'must be a string or null' };
  const email = value.trim();
  // No white space: an address with a line break in it could add headers to a mail.
  if (!/^[^\s@]+@[^\s@]+$/.test(email)) return { problem: 'must look like name@example.com' };
  const problem = textProblem(email, MAX_EMAIL);
  return problem === undefined ? { value: email } : { problem };
}
