// `GET /api/events`: the log in pages, over plain HTTP, with the same ids and cursors that the streams use. One
// request reads a bounded stretch of the log, and says how far it came: `lastEventId`.
import { type Cursor, eventId, type ResetReason, type StoredEvent, toCloudEvent } from '../event.ts';
import type { Filter } from '../filter.ts';
import type { Answer } from '../http/answer.ts';
import { type Call, queryInteger, wantsEventStream } from '../http/request.ts';
import { sendJson, sendTagged } from '../http/response.ts';
import { Problem } from '../problem.ts';
import type { Stretch } from '../store/store.ts';
import { textBytes } from '../stream/chunks.ts';
import { openEventStream } from '../stream/event-stream.ts';
import { locate, parseConflation, parseFilters, parseWish } from '../stream/start.ts';
import { nextSlice } from '../turns.ts';
import type { Parts } from './parts.ts';
import { preferredWait, type Waiting } from './waiting.ts';

// How far one request looks for events that its filter lets through: a filter that hides a million of them must not
// keep the server busy on one question. The answer then says `more`, and its cursor has moved all the same.
const MAX_READS = 13; // some ten thousand events
const READ_BYTES = 768 * 1024; // of data: with what stands around it a page has less than a megabyte
const FIRST_READ_EVENTS = 16; // then twice as many each time: what is wanted may be near
const READ_EVENTS = 1000;
// Who has found so much looks for no more, and is answered. Thousands wait between two reads, and what they hold
// meanwhile must be little: half pages would take as much memory as whole ones. Without a filter one read is a page.
const ENOUGH_BYTES = 32 * 1024;
const CACHE_SECONDS = 60;

/** What one look found: `end` is how far it went, also where the filter hid events. `heard`: after how many commits. */
type Page = { events: StoredEvent[]; end: Cursor; more: boolean; heard: number };

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
  const { cursor, reset } = await waiting.inTurn(() => locate(store, wish));
  if (reset) throw cannotContinue(reset, cursor);
  // Not beyond the end of its token: an event of later is none of its business.
  const left = (scope.expiresAt ?? Number.POSITIVE_INFINITY) - Date.now();
  const until = performance.now() + Math.min((seconds ?? 0) * 1000, left);
  let page = await look(waiting, cursor, limit, filter, res);
  // Goes on while there is nothing to tell: through what the filter hides, and then, if asked, until a commit.
  while (page.events.length === 0 && waiting.mayWait(res, until)) {
    if (!page.more) await waiting.commitAfter(page.heard, res, until);
    page = await look(waiting, page.end, limit, filter, res);
  }
  if (res.destroyed) return;
  // RFC 7240 §3: says that the wish was heard, also where the wait was cut to the longest that there is.
  if (seconds !== undefined) res.common['Preference-Applied'] = `wait=${seconds}`;
  sendEvents(call, page, wish.cursor !== undefined);
}

/** What there is after a place, read by read. Nobody reads for who has left. @throws {Problem} 410 the place is gone */
async function look(log: Waiting, start: Cursor, limit: number, filter: Filter, res: Answer): Promise<Page> {
  // Noted before the look: a commit between that and the wait would wake nobody.
  const page: Page = { events: [], end: start, more: true, heard: log.heard };
  let count = Math.max(limit, FIRST_READ_EVENTS);
  for (let reads = 1; !res.destroyed; reads += 1) {
    await readOn(log, page, count, limit, filter);
    if (!page.more || hasEnough(page, limit) || reads === MAX_READS) break;
    count = Math.min(2 * count, READ_EVENTS);
    await nextSlice();
  }
  return page;
}

/**
 * Reads once, and adds what the filter lets through. A function of its own: `look` would keep what was read as long as
 * it waits for its next turn. @throws {Problem} 410 the place is gone
 */
async function readOn(log: Waiting, page: Page, count: number, limit: number, filter: Filter): Promise<void> {
  // The store stops at the head by itself.
  const stretch = await log.readEvents(page.end, Number.MAX_SAFE_INTEGER, count, READ_BYTES);
  if (stretch.reset) throw cannotContinue(stretch.reset, stretch.head);
  take(page, stretch, limit, filter);
}

/** Up to the limit. */
function take(page: Page, { events, end, head }: Stretch, limit: number, filter: Filter): void {
  const wanted = events.filter((event) => filter.matches(event)).slice(0, limit - page.events.length);
  page.events.push(...wanted);
  // A full page ends with its last event; else the filter hid what follows that, up to the end of what was read.
  const { seq, stamp } = page.events.length === limit ? page.events.at(-1)! : end;
  page.end = { seq, stamp };
  page.more = seq < head.seq;
}

function hasEnough({ events }: Page, limit: number): boolean {
  return events.length === limit || events.reduce((sum, event) => sum + textBytes(event), 0) > ENOUGH_BYTES;
}

/**
 * A page that ends below the head stays as it is, as long as its cursor is good: caches may keep it for a while. One
 * that ends at the head, or that began nowhere in particular, is another one after the next commit or pruning.
 */
function sendEvents(call: Call, { events, end, more }: Page, hasCursor: boolean): void {
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
