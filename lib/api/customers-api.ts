// The handlers of `/api/customers`. Each parses, asks the store, and answers; none announces anything:
// the event is written by the database with the row, and the hub reads it from the log.

import { parseCustomer, parseCustomerPatch } from '../customer.ts';
import { etagOf, matchesWeakly, parseEtagList } from '../etag.ts';
import { eventId } from '../event.ts';
import { type Call, queryInteger, readJson } from '../http/request.ts';
import { sendEmpty, sendJson } from '../http/response.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';
import { readIdempotency } from './idempotency.ts';

/** What a PATCH may be (RFC 7396). */
export const MERGE_PATCH = ['application/json', 'application/merge-patch+json'];

export function createCustomersApi(store: Store) {
  return {
    async list({ res, query }: Call): Promise<void> {
      const limit = queryInteger(query, 'limit', 100, 1, 500);
      const after = queryInteger(query, 'after', 0, 0, Number.MAX_SAFE_INTEGER);
      const page = await store.listCustomers(after, limit);
      const next = page.hasMore ? `"/api/customers?limit=${limit}&after=${page.lastId}"` : 'null';
      const lastEventId = eventId(store.log, page.head);
      const json = `{"customers":[${page.customers.join()}],"lastEventId":"${lastEventId}","next":${next}}`;
      sendJson(res, 200, json, { 'Cache-Control': 'no-store' });
    },

    async create(call: Call): Promise<void> {
      const body = await readJson(call);
      const idempotency = readIdempotency(call, body.text);
      const { json, isReplay } = await store.createCustomer(parseCustomer(body.value), idempotency);
      sendJson(call.res, 201, json, {
        Location: `/api/customers/${(JSON.parse(json) as { id: number }).id}`,
        ETag: etagOf(json),
        ...(isReplay ? { 'Idempotency-Replayed': 'true' } : {}),
      });
    },

    async read({ req, res, id }: Call): Promise<void> {
      const noneMatch = parseEtagList(req.headers['if-none-match'], 'If-None-Match');
      const json = found(await store.getCustomer(id), id);
      const headers = { ETag: etagOf(json), 'Cache-Control': 'private, no-cache' };
      if (noneMatch && matchesWeakly(noneMatch, headers.ETag)) sendEmpty(res, 304, headers);
      else sendJson(res, 200, json, headers);
    },

    async replace(call: Call): Promise<void> {
      const ifMatch = parseEtagList(call.req.headers['if-match'], 'If-Match');
      const fields = parseCustomer((await readJson(call)).value);
      const json = found(await store.updateCustomer(call.id, fields, ifMatch), call.id);
      sendJson(call.res, 200, json, { ETag: etagOf(json) });
    },

    async patch(call: Call): Promise<void> {
      const ifMatch = parseEtagList(call.req.headers['if-match'], 'If-Match');
      const fields = parseCustomerPatch((await readJson(call, { mediaTypes: MERGE_PATCH })).value);
      const json = found(await store.updateCustomer(call.id, fields, ifMatch), call.id);
      sendJson(call.res, 200, json, { ETag: etagOf(json) });
    },

    async remove({ req, res, id }: Call): Promise<void> {
      const ifMatch = parseEtagList(req.headers['if-match'], 'If-Match');
      const isGone = await store.deleteCustomer(id, ifMatch);
      if (!isGone) found(undefined, id);
      sendEmpty(res, 204);
    },
  };
}

function found(json: string | undefined, id: number): string {
  if (json === undefined) throw new Problem(404, `There is no customer ${id}.`);
  return json;
}
