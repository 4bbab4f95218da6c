// The handlers of `/api/events`: publish, so that any program can notify the clients, and catch up over plain HTTP
// with the same ids and cursors that the streams use.
import { type Call, readJson } from '../http/request.ts';
import { sendJson } from '../http/response.ts';
import { parseNewEvent } from '../new-event.ts';
import type { Store } from '../store/store.ts';
import { createCatchUp } from './catch-up.ts';
import { headersOf } from './customers-api.ts';
import { readIdempotency } from './idempotency.ts';

export function createEventsApi(store: Store) {
  return {
    async publish(call: Call): Promise<void> {
      const body = await readJson(call);
      const idempotency = readIdempotency(call, body.text);
      const events = [parseNewEvent(body.value)];
      const answer = await store.write({ op: 'publish', events, isList: false, idempotency });
      sendJson(call.res, 201, answer.json, headersOf(answer));
    },

    ...createCatchUp(store),
  };
}
