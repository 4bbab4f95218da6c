// The handlers of `/api/events`: publish, so that any program can notify the clients, and catch up
// over plain HTTP with the same ids and cursors that the streams use.

import { eventId, parseCursor, parseNewEvent, parseTypes, type StoredEvent, toCloudEvent } from '../event.ts';
import { type Call, queryInteger, queryValue, readJson } from '../http/request.ts';
import { sendJson } from '../http/response.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';
import type { Hub, Start } from '../stream/hub.ts';
import { readIdempotency } from './idempotency.ts';

const MAX_READ_EVENTS = 10_000; // how far one request looks for events that `types` lets through
const MAX_ANSWER_BYTES = 1024 * 1024;
const STEP = 1000;

export function createEventsApi(store: Store, hub: Hub) {
  return {
    async publish(call: Call): Promise<void> {
      const body = await readJson(call);
      const idempotency = readIdempotency(call, body.text);
      const { json, isReplay } = await store.publish(parseNewEvent(body.value), idempotency);
      sendJson(call.res, 201, json, isReplay ? { 'Idempotency-Replayed': 'true' } : {});
    },

    async catchUp({ res, query }: Call): Promise<void> {
      const cursor = parseCursor(queryValue(query, 'lastEventId'));
      const limit = queryInteger(query, 'limit', 100, 1, 1000);
      const types = parseTypes(queryValue(query, 'types'));
      const start = cursor && (await hub.locate(cursor));
      if (start?.reset) throw cannotContinue(start.reset, eventId(store.log, start.seq));
      const page = await read(start?.seq, limit, types.matches);
      const events = page.events.map((event) => toCloudEvent(store.log, event)).join();
      const lastEventId = eventId(store.log, page.upTo);
      const json = `{"events":[${events}],"lastEventId":"${lastEventId}","more":${page.more}}`;
      sendJson(res, 200, json, { 'Cache-Control': 'no-store' });
    },
  };

  /** Without a cursor from the oldest event that is kept. */
  async function read(cursor: number | undefined, limit: number, matches: (type: string) => boolean) {
    const events: StoredEvent[] = [];
    const start = cursor ?? (await store.position()).pruned;
    let upTo = start;
    let head = start;
    let bytes = 0;
    do {
      const stretch = await store.readEvents(upTo, Number.MAX_SAFE_INTEGER, STEP, MAX_ANSWER_BYTES);
      head = stretch.head;
      if (upTo < stretch.pruned && (cursor !== undefined || upTo > start))
        throw cannotContinue('expired', eventId(store.log, head));
      const end = Math.min(stretch.upTo, head);
      for (const event of stretch.events) {
        if (!matches(event.type)) continue;
        bytes += event.data.length;
        if (events.length > 0 && bytes > MAX_ANSWER_BYTES) return { events, upTo, more: true };
        events.push(event);
        upTo = event.seq;
        if (events.length === limit) return { events, upTo, more: upTo < head };
      }
      upTo = end;
    } while (upTo < head && upTo - start < MAX_READ_EVENTS);
    return { events, upTo, more: upTo < head };
  }
}

function cannotContinue(reason: Start['reset'], lastEventId: string): Problem {
  const why = {
    'unknown-log': 'it is of another log',
    expired: 'events after it are no longer kept',
    ahead: 'it is ahead of the log',
  }[reason!];
  const detail = `This cursor can't be continued: ${why}. Load a fresh snapshot, then go on from its lastEventId.`;
  return new Problem(410, detail, { reason, lastEventId });
}
