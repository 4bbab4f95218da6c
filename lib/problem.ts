// A Problem is an error meant for the caller: it becomes an `application/problem+json` answer
// (RFC 9457 §3). Everything else that is thrown is our own bug: logged whole, shown as a bare 500.
import { STATUS_CODES } from 'node:http';

/** One field at fault; `pointer` is a JSON Pointer as a URI fragment, `#/name` (RFC 6901 §6). */
export type FieldError = { pointer: string; detail: string };

/** An error for the caller: which thing, what was wrong with it, what to do. The message is shown as `detail`. */
export class Problem extends Error {
  readonly status: number;
  /** Headers that belong to the status: `Allow`, `Retry-After`, `WWW-Authenticate`. */
  readonly headers: Record<string, string>;
  /** Members of the document beside the five of RFC 9457 (§3.2): `errors`, `reason`, `lastEventId`. */
  readonly members: Record<string, unknown>;

  constructor(
    status: number,
    detail: string,
    { headers = {}, ...members }: { headers?: Record<string, string>; [member: string]: unknown } = {},
  ) {
    super(detail);
    this.status = status;
    this.headers = status === 503 ? { 'Retry-After': '1', ...headers } : headers;
    this.members = members;
  }

  /** The document of RFC 9457. `about:blank` says that the title is the status's own phrase (§4.2.1). */
  toJSON(): object {
    const title = STATUS_CODES[this.status] ?? 'Error';
    return { type: 'about:blank', title, status: this.status, detail: this.message, ...this.members };
  }
}

const MAX_ERRORS = 1000; // a body of a megabyte may have more, and nobody reads them
const MAX_TOLD = 10; // in the sentence for people; programs read the list

/** 422 with every bad field, so that nobody has to mend a form one error at a time. */
export function invalidFields(errors: FieldError[]): Problem {
  const told = errors
    .slice(0, MAX_TOLD)
    .map(({ pointer, detail }) => `${pointer.slice(2) || 'body'} ${detail}`);
  const more = errors.length > MAX_TOLD ? `; and ${errors.length - MAX_TOLD} more` : '';
  return new Problem(422, told.join('; ') + more, { errors: errors.slice(0, MAX_ERRORS) });
}

/** Notes what is wrong with a field of what stands at `at`, a JSON Pointer; nothing if nothing is. */
export function addFault(errors: FieldError[], at: string, name: string, detail: string | undefined): void {
  if (detail === undefined) return;
  // In a JSON Pointer ~ and / are escaped, and the whole once more in a URI fragment (RFC 6901 §3 and §6).
  const escaped = name.toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1');
  errors.push({ pointer: `${at}/${encodeURIComponent(escaped)}`, detail });
}

/** 404. */
export function nothingAt(path: string): Problem {
  return new Problem(404, `There is nothing at ${path}.`);
}

/** 503: nothing was written, and the same request may succeed after so many seconds. */
export function unavailable(detail: string, seconds = 1): Problem {
  return new Problem(503, detail, { headers: { 'Retry-After': `${seconds}` } });
}

/**
 * What is wrong with a text of at most `most` code points; undefined if nothing is.
 * @param forbidden control characters unless told: they break lines of logs and of event streams
 */
export function textProblem(text: string, most: number, forbidden = /\p{Cc}/u): string | undefined {
  if (forbidden.test(text)) return 'must not hold control characters';
  // UTF-8 has no bytes for half of a pair: the text would come back as another one.
  if (!text.isWellFormed()) return 'must not hold half of a surrogate pair';
  // A text never has more code points than UTF-16 units, so most need no counting.
  if (text.length > most && [...text].length > most) return `must be at most ${most} characters long`;
  return undefined;
}
