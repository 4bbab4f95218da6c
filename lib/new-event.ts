// What a caller publishes with `POST /api/events`, and how input becomes events. Parse, don't check: a parser returns
// typed values, or throws a Problem that lists every bad field with its place. Nothing is mended on the way: a field
// that isn't right is refused, so that nobody learns from the log that something else was stored.
import { isIPv6 } from 'node:net';
import { tableOfReset } from './filter.ts';
import type { Idempotency } from './idempotency.ts';
import { addFault, type FieldError, invalidFields, textProblem } from './problem.ts';

/** An event before it is stored: the log gives it its id and its time. `data` and `extensions` are JSON text. */
export type NewEvent = {
  type: string;
  source: string;
  data: string;
  extensions: string | null;
  /** An event that names itself is stored once; the rest of its list doesn't hang on it. */
  idempotency?: Idempotency | undefined;
};

/** Types that triggers write, and nobody else. */
export type IsReserved = (type: string) => boolean;

/** Turns one item into an event, or adds to the errors what is wrong with it; `at` is its JSON Pointer. */
export type ParseOne = (
  item: object,
  at: string,
  errors: FieldError[],
  isReserved: IsReserved,
) => NewEvent | undefined;

// Bounds of the API's own: a list is one transaction, and everybody else's writes wait for it.
const MAX_LIST = 1000;
const MAX_MESSAGE = 1000;
const MAX_NESTING = 64;
const MAX_DATA_BYTES = 1024 * 1024;
// Lower case alone: filters compare types letter by letter, and `Order` beside `order` would be two types by mistake.
const TYPE = /^(?!stream\.)[a-z][a-z0-9._-]{0,99}$/;

/**
 * One event, or a list of 1 to 1,000. One that is bad refuses the whole list: it is one transaction.
 * @throws {Problem} 422 with every bad field of every event
 */
export function parseEvents(body: unknown, parseOne: ParseOne, isReserved: IsReserved): NewEvent[] {
  const items: unknown[] = Array.isArray(body) ? body : [body];
  if (items.length < 1 || items.length > MAX_LIST) {
    throw invalidFields([{ pointer: '#', detail: `must have 1 to ${MAX_LIST} events` }]);
  }
  const errors: FieldError[] = [];
  const events: NewEvent[] = [];
  for (const [i, item] of items.entries()) {
    // A single event is the whole document: its fields stand at `#/type`, and not at `#/0/type`.
    const at = Array.isArray(body) ? `#/${i}` : '#';
    if (typeof item !== 'object' || item === null || Array.isArray(item)) {
      errors.push({ pointer: at, detail: 'must be a JSON object' });
    } else {
      const event = parseOne(item, at, errors, isReserved);
      if (event) events.push(event);
      // Such an event passes filters and scopes that name a single row: only a server says it.
      if (event && tableOfReset(event))
        addFault(errors, at, 'source', 'is where a server says that a table was reset');
    }
  }
  if (errors.length > 0) throw invalidFields(errors);
  return events;
}

/**
 * Our own short form: `{type?, source?, data?}`, or `{message}`, which is short for type `notification` and data
 * `{message}`.
 */
export const parseNewEvent: ParseOne = (item, at, errors, isReserved) => {
  const before = errors.length;
  const isMessage = Object.hasOwn(item, 'message');
  for (const [name, value] of Object.entries(item)) {
    const detail = isMessage ? messageProblem(name, value) : fieldProblem(name, value, isReserved);
    addFault(errors, at, name, detail);
  }
  // The caller throws once it has seen the whole list.
  if (errors.length > before) return undefined;
  const { type = 'notification', source = '/api/events', data = null } = item as Record<string, string>;
  return { type, source, data: JSON.stringify(isMessage ? item : data), extensions: null };
};

function fieldProblem(name: string, value: unknown, isReserved: IsReserved): string | undefined {
  if (name === 'type') return typeProblem(value, isReserved);
  if (name === 'source') return sourceProblem(value);
  if (name === 'data') return dataProblem(value);
  // An unknown field is most often a known one that was misspelled: to ignore it would lose what it says.
  return 'is not a field of an event';
}

function messageProblem(name: string, value: unknown): string | undefined {
  // Not both: of a message beside data nobody could say which of the two goes out.
  if (name !== 'message') return 'must not stand beside message';
  if (typeof value !== 'string') return 'must be a string';
  if (value === '') return 'must not be empty';
  // A message may have lines and tabs: it is for people.
  return textProblem(value, MAX_MESSAGE, /[^\P{Cc}\t\n\r]/u);
}

/** What is wrong with the type of an event; undefined if nothing is. */
export function typeProblem(value: unknown, isReserved: IsReserved): string | undefined {
  if (typeof value !== 'string' || !TYPE.test(value))
    return 'must be 1 to 100 characters of a-z 0-9 . _ - that begin with a letter, and not with "stream."';
  return isReserved(value) ? 'is written by a trigger when a row changes, and by nobody else' : undefined;
}

// A URI reference, put together as RFC 3986 has it in its appendix A. Brackets stand around an address of IPv6 (or of a
// later version, which is yet to come) and nowhere else; a colon in the first part of a path would end a scheme.
const NAME = String.raw`[\w.~!$&'()*+,;=-]|%[\dA-Fa-f]{2}`;
const IP = String.raw`\[(?:(?<ip6>[\dA-Fa-f:.]+)|v[\dA-Fa-f]+\.[\w.~!$&'()*+,;=:-]+)\]`;
const AUTHORITY = String.raw`//(?:(?:${NAME}|:)*@)?(?:${IP}|(?:${NAME})*)(?::\d*)?(?=[/?#]|$)`;
const REFERENCE = new RegExp(
  String.raw`^(?:[A-Za-z][A-Za-z\d+.-]*:|(?![^/?#:]*:))(?:${AUTHORITY}|(?!//))` +
    String.raw`(?:${NAME}|[:@/])*(?:\?(?:${NAME}|[:@/?])*)?(?:#(?:${NAME}|[:@/?])*)?$`,
);

/** What is wrong with the source of an event; undefined if nothing is. */
export function sourceProblem(value: unknown): string | undefined {
  const isShort = typeof value === 'string' && value.length >= 1 && value.length <= 200;
  const { groups } = (isShort && REFERENCE.exec(value)) || {};
  const isReference = groups !== undefined && (groups.ip6 === undefined || isIPv6(groups.ip6));
  return isReference ? undefined : 'must be a URI reference of 1 to 200 characters';
}

/** What is wrong with the data of an event; undefined if nothing is. */
export function dataProblem(value: unknown): string | undefined {
  // First: what is nested too deep could not be written as JSON below without overflowing the stack.
  const inside = problemInside(value, MAX_NESTING);
  if (inside) return inside;
  // A body may become longer when it is written anew: 1e20 has five characters, its number twenty-one.
  const isTooLong = Buffer.byteLength(JSON.stringify(value)) > MAX_DATA_BYTES;
  return isTooLong ? `must be at most ${MAX_DATA_BYTES} bytes as JSON` : undefined;
}

/** Goes down no further than it has to: what `JSON.parse` takes may be nested deeper than the stack is. */
function problemInside(value: unknown, levels: number): string | undefined {
  // `1e999` is JSON, but to JavaScript it is Infinity, which would be written as null: the number would be lost unseen.
  if (value === Infinity || value === -Infinity) return 'has a number that is too large: send it as a string';
  if (typeof value !== 'object' || value === null) return undefined;
  if (levels === 0) return `must be nested at most ${MAX_NESTING} deep`;
  for (const item of Object.values(value)) {
    const problem = problemInside(item, levels - 1);
    if (problem) return problem;
  }
  return undefined;
}
