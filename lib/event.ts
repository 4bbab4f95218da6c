// What an event is: one committed fact in the log, a CloudEvent on the wire. Its id is
// `<log>-<seq>`, which to a client is an opaque cursor, and to us the log's name and a position.
import { type FieldError, invalidFields, Problem, pointerTo, textProblem } from './problem.ts';

/** An event as the log holds it. `data` is JSON text, stored as it goes over the wire. */
export type StoredEvent = { seq: number; type: string; source: string; time: string; data: string };

/** What a caller publishes; `data` is JSON text. */
export type NewEvent = { type: string; source: string; data: string };

/** A position in a named log. */
export type Cursor = { log: string; seq: number };

const MAX_MESSAGE = 1000;
const MAX_NESTING = 64;
const TYPE = /^(?!stream\.)[a-z][a-z0-9._-]{0,99}$/;

/** The id of a position: what a client stores, and sends to go on from there. */
export function eventId(log: string, seq: number): string {
  return `${log}-${seq}`;
}

/** @throws {Problem} 400 if it was never an id of ours */
export function parseCursor(text: string | null | undefined): Cursor | undefined {
  if (text === null || text === undefined) return undefined;
  const [, log, seq] = /^([0-9a-f]{6,64})-(0|[1-9]\d{0,15})$/.exec(text) ?? [];
  if (!log || !Number.isSafeInteger(Number(seq))) {
    throw new Problem(400, 'lastEventId must be the id of a frame or event that this server sent.');
  }
  return { log, seq: Number(seq) };
}

/** The CloudEvent (version 1.0, JSON format), put together around the stored text of `data`. */
export function toCloudEvent(log: string, event: StoredEvent): string {
  return (
    `{"specversion":"1.0","id":"${log}-${event.seq}","source":${JSON.stringify(event.source)},` +
    `"type":${JSON.stringify(event.type)},"time":"${event.time}","data":${event.data}}`
  );
}

/** A line break in JSON from other programs can only be white space, and would end a line of an event stream. */
export function onOneLine(event: StoredEvent): StoredEvent {
  if (/[\r\n]/.test(event.data)) event.data = event.data.replace(/[\r\n]/g, ' ');
  return event;
}

/** Which types a client wants. `key` is the same for equal filters, so that they can share their frames. */
export type TypeFilter = { key: string; matches: (type: string) => boolean };

/** All types, or those of `?types=customer.*,order.shipped`. @throws {Problem} 400 */
export function parseTypes(text: string | null): TypeFilter {
  if (text === null) return { key: '', matches: () => true };
  const items = [...new Set(text.split(',').map((item) => item.trim()))].sort();
  const exact = new Set(items);
  const prefixes: string[] = [];
  for (const item of items) {
    if (!/^[^\s*,]{1,200}(?<!\.)(\.\*)?$/.test(item)) {
      throw new Problem(
        400,
        `types has ${JSON.stringify(item)}, but each must be a type, or a prefix such as customer.*`,
      );
    }
    if (item.endsWith('.*')) prefixes.push(item.slice(0, -1));
  }
  const matches = (type: string) => exact.has(type) || prefixes.some((prefix) => type.startsWith(prefix));
  return { key: items.join(), matches };
}

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
