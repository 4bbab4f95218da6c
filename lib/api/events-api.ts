// `GET /api/events`: catching up over plain HTTP, with the same ids and cursors that the streams use.
import {
  type Cursor,
  eventId,
  parseCursor,
  type ResetReason,
  type StoredEvent,
  toCloudEvent,
} from '../event.ts';
import { type Filter, parseFilter } from '../filter.ts';
import { type Call, queryInteger, queryValue } from '../http/request.ts';
import { sendJson } from '../http/response.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';

const MAX_READ_EVENTS = 10_000; // how far one request looks for events that its filter lets through
const MAX_ANSWER_BYTES = 1024 * 1024;
const STEP = 1000;

/** What one request read: `lastEventId` is how far, also where the filter hid events. */
type Page = { events: StoredEvent[]; end: Cursor; more: boolean };

export function createEventsApi(store: Store) {
  return {
    async catchUp({ res, query, scope }: Call): Promise<void> {
      const cursor = parseCursor(queryValue(query, 'lastEventId'));
      const limit = queryInteger(query, 'limit', 100, 1, 1000);
      const filter = scope.narrow(parseFilter(queryValue(query, 'types'), queryValue(query, 'sources')));
      const { events, end, more } = await readPage(store, cursor, limit, filter);
      const json = `{"events":[${events.map(toCloudEvent).join()}],"lastEventId":"${eventId(end)}","more":${more}}`;
      sendJson(res, 200, json, { 'Cache-Control': 'no-store' });
    },
  };
}

/** Without a cursor from the oldest event that is kept. @throws {Problem} 410 if the cursor can't be continued */
async function readPage(
  store: Store,
  cursor: Cursor | undefined,
  limit: number,
  filter: Filter,
): Promise<Page> {
  const page: Page = { events: [], end: cursor ?? (await store.position()).pruned, more: true };
  const first = page.end.seq;
  let bytes = 0;
  while (page.more && page.end.seq - first < MAX_READ_EVENTS) {
    const { head, events, end, reset } = await store.readEvents(
      page.end,
      Number.MAX_SAFE_INTEGER,
      STEP,
      MAX_ANSWER_BYTES,
    );
    if (reset) throw cannotContinue(reset, head);
    for (const event of events) {
      if (!filter.matches(event)) continue;
      bytes += event.data.length;
      if (page.events.length > 0 && bytes > MAX_ANSWER_BYTES) return page;
      page.events.push(event);
      page.end = { seq: event.seq, stamp: event.stamp };
      page.more = event.seq < head.seq;
      if (page.events.length === limit) return page;
    }
    page.end = end;
    page.more = end.seq < head.seq;
  }
  return page;
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
