// What a customer is: the resource that this program comes with.
import { textProblem } from './problem.ts';
import type { Parsed, Resource } from './resource.ts';

const MAX_NAME = 200;
const MAX_EMAIL = 254; // the longest address that SMTP can carry (RFC 5321 §4.5.3.1.3, less the brackets)

export const CUSTOMERS: Resource = {
  table: 'customers',
  one: 'a customer',
  type: 'customer',
  source: '/api/customers',
  fields: { name: { parse: parseName }, email: { parse: parseEmail, absent: null } },
  readOnly: ['id', 'createdAt', 'updatedAt'],
};

function parseName(value: unknown): Parsed {
  if (typeof value !== 'string') return { problem: 'must be a string' };
  const name = value.trim();
  const problem = name === '' ? 'must not be empty' : textProblem(name, MAX_NAME);
  return problem === undefined ? { value: name } : { problem };
}

function parseEmail(value: unknown): Parsed {
  if (value === null) return { value };
  if (typeof value !== 'string') return { problem: 'must be a string or null' };
  const email = value.trim();
  if (!/^[^\s@]+@[^\s@]+$/.test(email)) return { problem: 'must look like name@example.com' };
  const problem = textProblem(email, MAX_EMAIL);
  return problem === undefined ? { value: email } : { problem };
}
