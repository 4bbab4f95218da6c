// `GET /api/events`: the log in pages, over plain HTTP, with the same ids and cursors that the streams use. One
// request reads a bounded stretch of the log, in slices, and says how far it came: `lastEventId`.
import { etagOf, matchesWeakly, parseEtagList } from '../etag.ts';
import { type Cursor, eventId, type ResetReason, type StoredEvent, toCloudEvent } from '../event.ts';
import { type Filter, parseFilter } from '../filter.ts';
import { type Call, queryValue } from '../http/request.ts';
import { sendEmpty, sendJson } from '../http/response.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';
import { locate, parseWish, type Wish } from '../stream/start.ts';
import { nextTurn } from './slices.ts';
import { preferredWait, Waiting } from './waiting.ts';

// How far one request looks for events that its filter lets through: a filter that hides a million of them must not
// keep the server busy on one question. The answer then says `more`, and its cursor has moved all the same.
const MAX_READ_EVENTS = 10_000;
const MAX_READ_BYTES = 16 * 1024 * 1024;
const MAX_ANSWER_BYTES = 1024 * 1024;
// Milliseconds of work before everybody else has a turn.
const SLICE_MS = 4;
const STEP_BYTES = 256 * 1024;
const FIRST_STEP = 16; // events: how large they are is known after the first ones
const MAX_STEP = 512;
const CACHE_SECONDS = 60;

/** What a caller wants of the log: at most `limit` events, of those that the filter lets through. */
type Wanted = { limit: number; filter: Filter };

/** What one request read: `end` is how far, also where the filter hid events. */
type Page = { events: StoredEvent[]; end: Cursor; more: boolean };

/** The handler of a page, and a way to answer those who wait when the server stops. */
export function createEventsApi(store: Store) {
  const waiting = new Waiting(store);

  /**
   * Answers with events strictly after the cursor, oldest first, and with the position up to which was read: a caller
   * that goes on from there meets every event once, whatever its filter hides.
   * @throws {Problem} 400 bad query, 410 the cursor can't be continued, 503 the log can't be read
   */
  async function catchUp(call: Call, limit: number): Promise<void> {
    const { req, res, query, scope } = call;
    const wish = parseWish(query);
    const filter = scope.narrow(parseFilter(queryValue(query, 'types'), queryValue(query, 'sources')));
    const seconds = preferredWait(req.headers.prefer);
    // Nobody reads the log for a caller that has left.
    const isGone = () => res.destroyed;
    const start = await beginning(store, wish);
    const until = performance.now() + (seconds ?? 0) * 1000;
    // Taken before the look: a commit between the look and the wait would wake nobody.
    let mark = waiting.mark;
    let page = await readPage(store, start, { limit, filter }, isGone);
    // Goes on while there is nothing to tell: through what the filter hides, and then, if asked, until a commit.
    while (page.events.length === 0 && (page.more || (await waiting.next(res, mark, until)))) {
      // Whoever has left reads nothing: without this the loop would turn and turn until their time is up.
    if (isGone() || (page.more && performance.now() >= until)) break;
      mark = waiting.mark;
      page = await readPage(store, page.end, { limit, filter }, isGone);
    }
    if (isGone()) return;
    // RFC 7240 §3: says that the wish was heard, also where the wait was cut to the longest that there is.
    if (seconds !== undefined) res.common['Preference-Applied'] = `wait=${seconds}`;
    sendPage(call, page, wish.cursor !== undefined);
  }

  return { catchUp, stopWaiting: () => waiting.stop() };
}

/**
 * Where the page begins. Without a wish at the oldest event that is kept: who reads pages wants what was, and who opens
 * a stream wants what comes. @throws {Problem} 410 that place is gone
 */
async function beginning(store: Store, wish: Wish): Promise<Cursor> {
  const isUnsaid = wish.cursor === undefined && wish.from === undefined;
  const { cursor, reset } = await locate(store, isUnsaid ? { from: 'earliest' } : wish);
  if (reset) throw cannotContinue(reset, cursor);
  return cursor;
}

/** Ends at the limit, at the head, or at the bounds of one answer: then with `more`. @throws {Problem} 410 */
async function readPage(store: Store, start: Cursor, wanted: Wanted, isGone: () => boolean): Promise<Page> {
  const page: Page = { events: [], end: start, more: true };
  // What may yet be read, and what may yet be answered.
  const room = { events: MAX_READ_EVENTS, bytes: MAX_READ_BYTES, answer: MAX_ANSWER_BYTES };
  let step = FIRST_STEP;
  let sliceEnd = performance.now() + SLICE_MS;
  while (page.more && room.events > 0 && room.bytes > 0 && !isGone()) {
    if (performance.now() > sliceEnd) {
      await nextTurn();
      sliceEnd = performance.now() + SLICE_MS;
    }
    // The store stops at the head by itself.
    const stretch = await store.readEvents(page.end, Number.MAX_SAFE_INTEGER, step, STEP_BYTES);
    if (stretch.reset) throw cannotContinue(stretch.reset, stretch.head);
    // UTF-16 units, which is near enough for a bound.
    const bytes = stretch.events.reduce((sum, { data }) => sum + data.length, 0);
    room.events -= stretch.events.length;
    room.bytes -= bytes;
    if (!take(page, stretch, wanted, room)) break;
    step = nextStep(step, bytes);
  }
  return page;
}

/** Adds what the filter lets through. False if the page is full. */
function take(
  page: Page,
  { events, end, head }: { events: StoredEvent[]; end: Cursor; head: Cursor },
  { limit, filter }: Wanted,
  room: { answer: number },
): boolean {
  for (const event of events) {
    if (!filter.matches(event)) continue;
    room.answer -= event.data.length + (event.extensions?.length ?? 0);
    // The first one always: an event that is larger than an answer may be would never be told.
    if (page.events.length > 0 && room.answer < 0) return false;
    page.events.push(event);
    // The end moves with each event that is taken, since the page may be full with the next.
    page.end = { seq: event.seq, stamp: event.stamp };
    page.more = event.seq < head.seq;
    if (page.events.length === limit) return false;
  }
  // Beyond the last event that was taken: what follows up to here was hidden by the filter.
  page.end = end;
  page.more = end.seq < head.seq;
  return true;
}

/** So many events that a step stays a few milliseconds, whether they are small or large. */
function nextStep(step: number, bytes: number): number {
  if (bytes > STEP_BYTES / 2) return Math.max(1, step >> 1);
  return Math.min(MAX_STEP, step * 2);
}

/**
 * A page that ends below the head stays as it is, as long as its cursor is good: caches may keep it for a while. One
 * that ends at the head, or that began nowhere in particular, is another one after the next commit or pruning.
 */
function sendPage({ req, res }: Call, { events, end, more }: Page, hasCursor: boolean): void {
  const json = `{"events":[${events.map(toCloudEvent).join()}],"lastEventId":"${eventId(end)}","more":${more}}`;
  if (!more || !hasCursor) return sendJson(res, 200, json, { 'Cache-Control': 'no-store' });
  const etag = etagOf(json);
  // What was read with a token is for its bearer alone (RFC 9111 §5.2.2.7).
  const whose = req.headers.authorization === undefined ? 'public' : 'private';
  const headers = {
    ETag: etag,
    'Cache-Control': `${whose}, max-age=${CACHE_SECONDS}`,
    // A browser's own cache must not give it to who comes with another token, and may read less (RFC 9111 §4.1).
    Vary: 'Origin, Accept, Authorization',
  };
  const known = parseEtagList(req.headers['if-none-match'], 'If-None-Match');
  if (known && matchesWeakly(known, etag)) return sendEmpty(res, 304, headers);
  sendJson(res, 200, json, headers);
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
