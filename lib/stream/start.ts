// What a reader asks for: where to begin (after an event that it knows, at one end of the log, or at a time), and which
// events. Streams of both transports and pages of the log ask for it in the same words.
import { type Cursor, parseCursor, parseTime, type ResetReason } from '../event.ts';
import { type Filter, parseFilter } from '../filter.ts';
import { queryValue } from '../http/request.ts';
import { Problem } from '../problem.ts';
import type { Scope } from '../scope.ts';
import type { Store } from '../store/store.ts';
import { countBehind } from './behind.ts';
import { type Kind, kindOf } from './chunks.ts';
import type { Transport } from './frames.ts';

const FIRST_MS = Date.parse('0000-01-01T00:00:00Z');
const LAST_MS = Date.parse('9999-12-31T23:59:59.999Z');

/** One of the first three says where to begin. */
export type Wish = {
  /** After this event. */
  cursor?: Cursor;
  /** At one end of the log. */
  from?: 'earliest' | 'latest';
  /** A time in UTC to the millisecond, as events have it. */
  time?: string;
  /** What the reader may see, and until when: it may count nothing else. */
  scope?: Scope;
};

/** Where it begins; `behind` events follow that were there already. `reset` says why its cursor can't be continued. */
export type Start = { cursor: Cursor; behind: number; reset?: ResetReason | undefined };

/**
 * All that a stream asks for.
 * @param lastEventId as for `parseWish`
 * @throws {Problem} 400 bad cursor, filter or conflation
 */
export function parseStream(
  transport: Transport,
  query: URLSearchParams,
  scope: Scope,
  lastEventId?: string,
): { wish: Wish; kind: Kind } {
  const wish = { ...parseWish(query, 'latest', lastEventId), scope };
  return { wish, kind: kindOf(transport, parseFilters(query, scope), parseConflation(query)) };
}

/** `?types=` and `?sources=`, without what the reader may not see. @throws {Problem} 400 */
export function parseFilters(query: URLSearchParams, scope: Scope): Filter {
  return scope.narrow(parseFilter(queryValue(query, 'types'), queryValue(query, 'sources')));
}

/** `?conflate=source`: is it there? @throws {Problem} 400 if it names anything else */
export function parseConflation(query: URLSearchParams): boolean {
  const by = queryValue(query, 'conflate');
  if (by === null || by === 'source') return by !== null;
  throw new Problem(400, 'conflate can only be source: of each source the newest event.');
}

/**
 * `?lastEventId=` or `?from=earliest|latest|<RFC 3339 time>`.
 * @param otherwise where to begin if neither is there
 * @param lastEventId a browser's own resume by its header: it counts more than what the URL said at first
 * @throws {Problem} 400 malformed, or both at once
 */
export function parseWish(
  query: URLSearchParams,
  otherwise: 'earliest' | 'latest',
  lastEventId?: string,
): Wish {
  const inQuery = queryValue(query, 'lastEventId');
  const from = queryValue(query, 'from');
  if (inQuery !== null && from !== null)
    throw new Problem(400, 'lastEventId and from both say where to begin: give one of them.');
  const cursor = parseCursor(lastEventId || inQuery);
  if (cursor) return { cursor };
  if (from === null) return { from: otherwise };
  return from === 'earliest' || from === 'latest' ? { from } : { time: parseMoment(from) };
}

function parseMoment(text: string): string {
  // A plus that was not escaped arrives as a blank; before the time, RFC 3339 allows one.
  const date = parseTime(text.replace(/ (\d\d:\d\d)$/, '+$1').replace(' ', 'T'));
  // An offset may lead out of these years, and times of events are compared as texts of four digits.
  if (date) return new Date(Math.min(Math.max(+date, FIRST_MS), LAST_MS)).toISOString();
  throw new Problem(400, 'from must be earliest, latest, or a time such as 2026-11-23T09:30:00Z.');
}

/** Looks for the place in the log itself: a cursor may be ahead of what was announced here. @throws {Problem} 503 */
export async function locate(store: Store, { cursor, from, time, scope }: Wish): Promise<Start> {
  const asked = time === undefined ? cursor : await store.findTime(time);
  const { head, pruned, resets } = await store.position(asked ? [asked] : []);
  const [reset] = resets; // why it can't go on from there, if it can't
  if (cursor && reset) return { cursor: head, behind: 0, reset };
  const isOldest = from === 'earliest' || reset !== undefined; // a time that was found may be gone since
  const start = isOldest ? pruned : (asked ?? head);
  const all = Math.max(0, head.seq - start.seq); // a replica may not have it yet
  // Who may not see an event may not count it either.
  const isLimited = scope !== undefined && !scope.seesAll && all > 0;
  return { cursor: start, behind: isLimited ? await countBehind(store, start, head, scope) : all };
}
