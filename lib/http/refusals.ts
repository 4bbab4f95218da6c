// Who was turned away, and why: counted for `/metrics`, and told in the log, where a flood must not bury all else
// (at most ten lines a minute for each reason). Never with a token: those stand in queries, which are left out.
import type { IncomingMessage } from 'node:http';
import { Problem } from '../problem.ts';
import { KeysAway } from './tokens.ts';

const MAX_LINES = 10;
const WINDOW_MS = 60_000;
const MAX_TEXT = 200;

/** Why someone was turned away. */
const REASONS = {
  token: 'no valid token',
  scope: 'a token that may not do this',
  keys: 'the key set of JWT_JWKS_URL cannot be read',
  origin: 'a foreign page',
  host: 'a foreign Host',
  handshake: 'a bad handshake or cursor',
  clients: 'MAX_CLIENTS is reached',
  unavailable: 'the database is away, or the server stops',
  connections: 'too many connections',
  memory: 'too many answers wait to be taken',
  unread: 'an answer was not taken',
  files: 'no file descriptor is left',
  disk: 'a file of the page cannot be read',
} as const;

export type Reason = keyof typeof REASONS;

// Only these statuses turn somebody away. A 404 or a 422 is an ordinary answer, but to who wants a stream none is.
const OF_ALL: Partial<Record<number, Reason>> = { 401: 'token', 403: 'origin', 421: 'host' };

/** Why this error turned its caller away; undefined if it didn't. `isFull`: all streams that may be open are. */
export function reasonOf(error: unknown, isStream: boolean, isFull: boolean): Reason | undefined {
  if (!(error instanceof Problem)) return undefined;
  const { status, headers } = error;
  if (error instanceof KeysAway) return 'keys';
  if (status === 403 && 'WWW-Authenticate' in headers) return 'scope'; // only tokens are told how to do better
  if (isStream && status === 503) return isFull ? 'clients' : 'unavailable';
  return OF_ALL[status] ?? (isStream ? 'handshake' : undefined);
}

export class Refusals {
  /** How many there were since the start, by reason. */
  readonly counts = new Map(Object.keys(REASONS).map((reason) => [reason as Reason, 0]));
  /** Lines of the minute under way, by reason. */
  private readonly lines = new Map<Reason, number>();
  private windowEnd = 0;

  /** Counts one, and logs it if the minute has room. @param cause what went wrong, where that is for the log alone */
  add(reason: Reason, req?: IncomingMessage, cause?: unknown): void {
    this.counts.set(reason, this.counts.get(reason)! + 1);
    if (performance.now() > this.windowEnd) {
      this.lines.clear();
      this.windowEnd = performance.now() + WINDOW_MS;
    }
    const number = (this.lines.get(reason) ?? 0) + 1;
    this.lines.set(reason, number);
    if (number > MAX_LINES) return;
    const rest =
      number === MAX_LINES ? ' More of these in the next minute are only counted in /metrics.' : '';
    const why = cause instanceof Error ? `: ${cause.message.replace(/\s+/g, ' ')}` : '';
    console.error(`Refused: ${REASONS[reason]} (${reason})${req ? describe(req) : ''}${why}.${rest}`);
  }
}

/** Path and origin, quoted: both are the caller's words, and a line break in them would forge a line. */
function describe({ method, url = '', headers }: IncomingMessage): string {
  const path = quote(url.replace(/^\w+:\/\/[^/?#]*/, '').replace(/[?#].*$/s, ''));
  return `: ${method} ${path}${headers.origin === undefined ? '' : ` from ${quote(headers.origin)}`}`;
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, MAX_TEXT));
}
