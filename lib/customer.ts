// What a customer is: the resource that this program comes with. Here stands what its fields may hold, and nothing that
// others need: how a body is taken apart and a request answered is the same for every resource.
import { textProblem } from './problem.ts';
import type { Resource } from './resource.ts';

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
  fields: { name: { check: nameProblem }, email: { check: emailProblem, absent: null } },
  readOnly: ['id', 'createdAt', 'updatedAt'],
};

/** 1 to 200 code points. */
function nameProblem(value: unknown): string | undefined {
  if (typeof value !== 'string') return 'must be a string';
  return value === '' ? 'must not be empty' : textProblem(value, MAX_NAME);
}

/** Null, or something on both sides of one `@`. Whether it can be reached, only a mail to it could tell. */
function emailProblem(value: unknown): string | undefined {
  if (value === null) return undefined;
  if (typeof value !== 'string') return 'must be a string or null';
  // No white space: an address with a line break in it could add headers to a mail.
  const isLikely = /^[^\s@]+@[^\s@]+$/.test(value);
  return isLikely ? textProblem(value, MAX_EMAIL) : 'must look like name@example.com';
}
