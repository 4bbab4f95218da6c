// What a caller publishes with `POST /api/events`, and how input becomes an event. Parse, don't check: the
// parser returns a typed value, or throws a Problem that lists every bad field.
import { type FieldError, invalidFields, pointerTo, textProblem } from './problem.ts';

/** An event before it is stored: the log gives it its id and its time. `data` and `extensions` are JSON text. */
export type NewEvent = { type: string; source: string; data: string; extensions: string | null };

const MAX_MESSAGE = 1000;
const MAX_NESTING = 64;
const TYPE = /^(?!stream\.)[a-z][a-z0-9._-]{0,99}$/;

/** What `POST /api/events` takes: `{type?, source?, data?}`, or `{message}`. @throws {Problem} 422 */
export function parseNewEvent(body: unknown): NewEvent {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalidFields([{ pointer: '#', detail: 'must be a JSON object' }]);
  }
  const fields = body as Record<string, unknown>;
  const isMessage = Object.hasOwn(body, 'message');
  const checks: Record<string, (value: unknown) => string | undefined> = isMessage
    ? { message: messageProblem }
    : { type: typeProblem, source: sourceProblem, data: dataProblem };
  const errors: FieldError[] = [];
  for (const [field, value] of Object.entries(fields)) {
    const check = Object.hasOwn(checks, field) ? checks[field] : undefined;
    const unknownField = isMessage ? 'must not stand beside message' : 'is not a field of an event';
    const detail = check ? check(value) : unknownField;
    if (detail) errors.push({ pointer: pointerTo(field), detail });
  }
  if (errors.length > 0) throw invalidFields(errors);
  const { type = 'notification', source = '/api/events', data = null, message } = fields;
  return {
    type: type as string,
    source: source as string,
    data: JSON.stringify(isMessage ? { message } : data),
    extensions: null,
  };
}

function messageProblem(value: unknown): string | undefined {
  if (typeof value !== 'string') return 'must be a string';
  if (value === '') return 'must not be empty';
  return textProblem(value, MAX_MESSAGE, /[^\P{Cc}\t\n\r]/u); // a message may have lines
}

function typeProblem(value: unknown): string | undefined {
  if (typeof value === 'string' && TYPE.test(value)) return undefined;
  return 'must be 1 to 100 characters of a-z 0-9 . _ - that begin with a letter, and not with "stream."';
}

// A URI reference (RFC 3986 §4.1): these characters alone, and no colon before the first slash but a scheme's.
const URI_CHARACTERS =
  /^(?:[A-Za-z0-9\-._~:/?@!$&'()*+,;=[\]]|%[0-9A-Fa-f]{2})*(?:#(?:[A-Za-z0-9\-._~:/?@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)?$/;
const URI_START = /^(?:[A-Za-z][A-Za-z0-9+.-]*:|[^:/?#]*(?:[/?#]|$))/;

function sourceProblem(value: unknown): string | undefined {
  const isReference =
    typeof value === 'string' &&
    value.length >= 1 &&
    value.length <= 200 &&
    URI_CHARACTERS.test(value) &&
    URI_START.test(value);
  return isReference ? undefined : 'must be a URI reference of 1 to 200 characters';
}

function dataProblem(value: unknown): string | undefined {
  if (isNestedDeeper(value, MAX_NESTING)) return `must be nested at most ${MAX_NESTING} deep`;
  return hasInfinity(value) ? 'has a number that is too large: send it as a string' : undefined;
}

/** `1e999` is JSON, but to JavaScript it is Infinity, which would be written as null. */
function hasInfinity(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isFinite(value);
  return typeof value === 'object' && value !== null && Object.values(value).some(hasInfinity);
}

function isNestedDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((item) => isNestedDeeper(item, levels - 1));
}
