// `GET /api/events`: the log in pages, over plain HTTP, with the same ids and cursors that the streams use. One
// request reads a bounded stretch of the log, in slices, and says how far it came: `lastEventId`.
import { type Cursor, eventId, type ResetReason, type StoredEvent, toCloudEvent } from '../event.ts';
import type { Filter } from '../filter.ts';
import type { Answer } from '../http/answer.ts';
import { type Call, queryInteger, wantsEventStream } from '../http/request.ts';
import { sendJson, sendTagged } from '../http/response.ts';
import { Places } from '../places.ts';
import { Problem } from '../problem.ts';
import { createSlices } from '../slices.ts';
import type { Store, Stretch } from '../store/store.ts';
import { textBytes } from '../stream/chunks.ts';
import { openEventStream } from '../stream/event-stream.ts';
import { locate, parseConflation, parseFilters, parseWish, type Wish } from '../stream/start.ts';
import type { Parts } from './parts.ts';
import { preferredWait } from './waiting.ts';

// How far one request looks for events that its filter lets through: a filter that hides a million of them must not
// keep the server busy on one question. The answer then says `more`, and its cursor has moved all the same.
const MAX_READ_EVENTS = 10_000;
const MAX_READ_BYTES = 16 * 1024 * 1024;
const MAX_ANSWER_BYTES = 1024 * 1024;
// Most requests find what they want at a glance: a page of the usual length. Who looks for more searches, few at a time.
const GLANCE_EVENTS = 100;
const searches = new Places(4); // of all requests of the process
const STEP_BYTES = 256 * 1024;
const FIRST_STEP = 16; // events: how large they are is known after the first ones
const MAX_STEP = 512;
const CACHE_SECONDS = 60;

type Log = Pick<Store, 'readEvents'>;

/** What one request read: `end` is how far, also where the filter hid events. */
type Page = { events: StoredEvent[]; end: Cursor; more: boolean };

/** The log as a stream, or as a page. @throws {Problem} 400 bad query, 410 the cursor can't be continued, 503 */
export function readEvents(call: Call, parts: Parts): Promise<void> {
  // One resource has one query: what can never be right in it is refused in whichever form it was asked for.
  const limit = queryInteger(call.query, 'limit', 100, 1, 1000);
  parseConflation(call.query);
  return wantsEventStream(call.req) ? openEventStream(call, parts.hub) : catchUp(call, limit, parts);
}

/**
 * Answers with events strictly after the cursor, oldest first, and with the position up to which was read: a caller
 * that goes on from there meets every event once, whatever its filter hides.
 */
async function catchUp(call: Call, limit: number, { store, waiting }: Parts): Promise<void> {
  const { req, res, query, scope } = call;
  const wish = parseWish(query, 'earliest'); // who reads pages wants what was, and who opens a stream what comes
  const filter = parseFilters(query, scope);
  const seconds = preferredWait(req.headers.prefer);
  let page: Page = { events: [], end: await waiting.inTurn(() => beginning(store, wish)), more: true };
  // Not beyond the end of its token: an event of later is none of its business.
  const left = (scope.expiresAt ?? Number.POSITIVE_INFINITY) - Date.now();
  const until = performance.now() + Math.min((seconds ?? 0) * 1000, left);
  let heard: number;
  let log: Log = { readEvents: (...asked) => waiting.inTurn(() => store.readEvents(...asked)) };
  // Goes on while there is nothing to tell: through what the filter hides, and then, if asked, until a commit.
  do {
    heard = waiting.heard; // taken before the look: a commit between the look and the wait would wake nobody
    page = await look(log, page.end, limit, filter, res);
    log = waiting; // from now on it looks when others do
  } while (
    page.events.length === 0 &&
    waiting.mayWait(res, until) && // also while it searches: for somebody who has left the loop would turn and turn
    (page.more || (await waiting.next(res, heard, until)))
  );
  if (res.destroyed) return;
  // RFC 7240 §3: says that the wish was heard, also where the wait was cut to the longest that there is.
  if (seconds !== undefined) res.common['Preference-Applied'] = `wait=${seconds}`;
  sendPage(call, page, wish.cursor !== undefined);
}

/** Where the page begins. @throws {Problem} 410 that place is gone */
async function beginning(store: Store, wish: Wish): Promise<Cursor> {
  const { cursor, reset } = await locate(store, wish);
  if (reset) throw cannotContinue(reset, cursor);
  return cursor;
}

/**
 * What there is after a place, at a glance or by a search. A search begins anew when its turn comes: who waits for it holds
 * nothing meanwhile, since the half pages of a thousand would take as much memory as whole ones.
 */
async function look(log: Log, start: Cursor, limit: number, filter: Filter, res: Answer): Promise<Page> {
  // Who wants a longer page than the usual one has it at a glance only where the log ends soon.
  const glance = limit > GLANCE_EVENTS ? FIRST_STEP : GLANCE_EVENTS;
  const seen = await fill(start, readOn(log, start, res, glance), limit, filter);
  if (seen) return seen;
  return searches.use(async () => (await fill(start, readOn(log, start, res), limit, filter))!);
}

/**
 * Takes what the filter lets through, up to the limit or to the bound of one answer: then with `more`.
 * @returns undefined if a glance was not enough
 */
async function fill(
  start: Cursor,
  log: AsyncIterable<Stretch | undefined>,
  limit: number,
  filter: Filter,
): Promise<Page | undefined> {
  const page: Page = { events: [], end: start, more: true };
  let room = MAX_ANSWER_BYTES; // counted in UTF-16 units, which is near enough for a bound
  for await (const stretch of log) {
    if (!stretch) return undefined;
    const { events, end, head } = stretch;
    for (const event of events) {
      if (!filter.matches(event)) continue;
      room -= textBytes(event);
      // The first one always: an event that is larger than an answer may be would never be told.
      if (page.events.length > 0 && room < 0) return page;
      page.events.push(event);
      // The end moves with each event that is taken, since the page may be full with the next.
      page.end = { seq: event.seq, stamp: event.stamp };
      page.more = event.seq < head.seq;
      if (page.events.length === limit) return page;
    }
    // Beyond the last event that was taken: what follows up to here was hidden by the filter.
    page.end = end;
    page.more = end.seq < head.seq;
  }
  return page;
}

/**
 * The log after a place, in steps, up to the head or to what one request may read. Nobody reads for who has left.
 * @returns last of all undefined, if a glance was too short @throws {Problem} 410 the place is gone
 */
async function* readOn(
  log: Log,
  start: Cursor,
  res: Answer,
  glance?: number,
): AsyncGenerator<Stretch | undefined> {
  let step = FIRST_STEP;
  let count = 0;
  let bytes = 0;
  const giveWay = createSlices();
  for (let at = start; count < MAX_READ_EVENTS && bytes < MAX_READ_BYTES && !res.destroyed; ) {
    if (glance && (count >= glance || bytes >= STEP_BYTES)) return yield undefined;
    await giveWay();
    // The store stops at the head by itself.
    const stretch = await log.readEvents(at, Number.MAX_SAFE_INTEGER, step, STEP_BYTES);
    if (stretch.reset) throw cannotContinue(stretch.reset, stretch.head);
    yield stretch;
    at = stretch.end;
    if (at.seq >= stretch.head.seq) return;
    const stepBytes = stretch.events.reduce((sum, event) => sum + textBytes(event), 0);
    count += stretch.events.length;
    bytes += stepBytes;
    // So many events that a step stays a few milliseconds, whether they are small or large.
    step = stepBytes > STEP_BYTES / 2 ? Math.max(1, step >> 1) : Math.min(MAX_STEP, step * 2);
  }
}

/**
 * A page that ends below the head stays as it is, as long as its cursor is good: caches may keep it for a while. One
 * that ends at the head, or that began nowhere in particular, is another one after the next commit or pruning.
 */
function sendPage(call: Call, { events, end, more }: Page, hasCursor: boolean): void {
  const json = `{"events":[${events.map(toCloudEvent).join()}],"lastEventId":"${eventId(end)}","more":${more}}`;
  if (!more || !hasCursor) return sendJson(call.res, 200, json);
  // What was read with a token is for its bearer alone (RFC 9111 §5.2.2.7).
  const whose = call.req.headers.authorization === undefined ? 'public' : 'private';
  sendTagged(call, json, {
    'Cache-Control': `${whose}, max-age=${CACHE_SECONDS}`,
    // A browser's own cache must not give it to who comes with another token, and may read less (RFC 9111 §4.1).
    Vary: 'Origin, Accept, Authorization',
  });
}

/** 410, with the newest id: from there a caller goes on once it has a fresh snapshot. */
function cannotContinue(reason: ResetReason, head: Cursor): Problem {
  const why = {
    'unknown-log': 'the log holds no such event',
    expired: 'events after it are no longer kept',
    ahead: 'it is ahead of the log',
  }[reason];
  const detail = `This cursor can't be continued: ${why}. Load a fresh snapshot, then go on from its lastEventId.`;
  return new Problem(410, detail, { reason, lastEventId: eventId(head) });
}
