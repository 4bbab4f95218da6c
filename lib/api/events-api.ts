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

const MAX_READ_EVENTS = 10_000; // how far one request looks for events that its filter lets through
const MAX_READ_BYTES = 16 * 1024 * 1024;
const MAX_ANSWER_BYTES = 1024 * 1024;
const SLICE_MS = 4;
const STEP_BYTES = 256 * 1024;
const FIRST_STEP = 16; // events: how large they are is known after the first ones
const MAX_STEP = 512;
const CACHE_SECONDS = 60;

/** What a caller wants of the log. */
type Wanted = { limit: number; filter: Filter };

/** What one request read: `end` is how far, also where the filter hid events. */
type Page = { events: StoredEvent[]; end: Cursor; more: boolean };

export function createEventsApi(store: Store) {
  const waiting = new Waiting(store);

  /** @throws {Problem} 400 bad query, 410 the cursor can't be continued, 503 */
  async function catchUp(call: Call, limit: number): Promise<void> {
    const { req, res, query, scope } = call;
    const wish = parseWish(query);
    const filter = scope.narrow(parseFilter(queryValue(query, 'types'), queryValue(query, 'sources')));
    const seconds = preferredWait(req.headers.prefer);
    const isGone = () => res.destroyed;
    const start = await beginning(store, wish);
    const until = performance.now() + (seconds ?? 0) * 1000;
    let mark = waiting.mark;
    let page = await readPage(store, start, { limit, filter }, isGone);
    while (page.events.length === 0 && (page.more || (await waiting.next(res, mark, until)))) {
      if (page.more && performance.now() >= until) break;
      mark = waiting.mark;
      page = await readPage(store, page.end, { limit, filter }, isGone);
    }
    if (isGone()) return;
    if (seconds !== undefined) res.common['Preference-Applied'] = `wait=${seconds}`;
    sendPage(call, page, wish.cursor !== undefined);
  }

  return { catchUp, stopWaiting: () => waiting.stop() };
}

/** Without a wish the oldest event that is kept. @throws {Problem} 410 */
async function beginning(store: Store, wish: Wish): Promise<Cursor> {
  const isUnsaid = wish.cursor === undefined && wish.from === undefined;
  const { cursor, reset } = await locate(store, isUnsaid ? { from: 'earliest' } : wish);
  if (reset) throw cannotContinue(reset, cursor);
  return cursor;
}

/** Ends at the limit, at the head, or at the bounds of one answer: then with `more`. @throws {Problem} 410 */
async function readPage(store: Store, start: Cursor, wanted: Wanted, isGone: () => boolean): Promise<Page> {
  const page: Page = { events: [], end: start, more: true };
  const room = { events: MAX_READ_EVENTS, bytes: MAX_READ_BYTES, answer: MAX_ANSWER_BYTES };
  let step = FIRST_STEP;
  let sliceEnd = performance.now() + SLICE_MS;
  while (page.more && room.events > 0 && room.bytes > 0 && !isGone()) {
    if (performance.now() > sliceEnd) {
      await nextTurn();
      sliceEnd = performance.now() + SLICE_MS;
    }
    const stretch = await store.readEvents(page.end, Number.MAX_SAFE_INTEGER, step, STEP_BYTES);
    if (stretch.reset) throw cannotContinue(stretch.reset, stretch.head);
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
    if (page.events.length > 0 && room.answer < 0) return false;
    page.events.push(event);
    page.end = { seq: event.seq, stamp: event.stamp };
    page.more = event.seq < head.seq;
    if (page.events.length === limit) return false;
  }
  page.end = end;
  page.more = end.seq < head.seq;
  return true;
}

/** So many events that a step stays a few milliseconds, whether they are small or large. */
function nextStep(step: number, bytes: number): number {
  if (bytes > STEP_BYTES / 2) return Math.max(1, step >> 1);
  return Math.min(MAX_STEP, step * 2);
}

/** A page that ends below the head stays as it is, as long as its cursor is good: caches may keep it for a while. */
function sendPage({ req, res }: Call, { events, end, more }: Page, hasCursor: boolean): void {
  const json = `{"events":[${events.map(toCloudEvent).join()}],"lastEventId":"${eventId(end)}","more":${more}}`;
  if (!more || !hasCursor) return sendJson(res, 200, json, { 'Cache-Control': 'no-store' });
  const etag = etagOf(json);
  const whose = req.headers.authorization === undefined ? 'public' : 'private';
  const headers = { ETag: etag, 'Cache-Control': `${whose}, max-age=${CACHE_SECONDS}` };
  const known = parseEtagList(req.headers['if-none-match'], 'If-None-Match');
  if (known && matchesWeakly(known, etag)) return sendEmpty(res, 304, headers);
  sendJson(res, 200, json, headers);
}

function cannotContinue(reason: ResetReason, head: Cursor): Problem {
  const why = {
    'unknown-log': 'the log holds no such event',
    expired: 'events after it are no longer kept',
    ahead: 'it is ahead of the log',
  }[reason];
  const detail = `This cursor can't be continued: ${why}. Load a fresh snapshot, then go on from its lastEventId.`;
  return new Problem(410, detail, { reason, lastEventId: eventId(head) });
}
