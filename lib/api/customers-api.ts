// The handlers of `/api/customers`. Each parses, asks the store, and answers; none announces anything: the event
// is written by the database with the row, and the hub reads it from the log.
import { parseCustomer, parseCustomerPatch } from '../customer.ts';
import { etagOf, matchesWeakly, parseEtagList } from '../etag.ts';
import { eventId } from '../event.ts';
import { type Call, parsePreconditions, queryInteger, readJson } from '../http/request.ts';
import { sendEmpty, sendJson } from '../http/response.ts';
import { Problem } from '../problem.ts';
import type { Answer, Store } from '../store/store.ts';
import { readIdempotency } from './idempotency.ts';

/** What a PATCH may be (RFC 7396). */
export const MERGE_PATCH = ['application/json', 'application/merge-patch+json'];

export function createCustomersApi(store: Store) {
  return {
    async list({ res, query, scope }: Call): Promise<void> {
      scope.checkRead('customer', '/api/customers/*');
      const limit = queryInteger(query, 'limit', 100, 1, 500);
      const after = queryInteger(query, 'after', 0, 0, Number.MAX_SAFE_INTEGER);
      const page = await store.listCustomers(after, limit);
      const next = page.hasMore ? `"/api/customers?limit=${limit}&after=${page.lastId}"` : 'null';
      const json = `{"customers":[${page.customers.join()}],"lastEventId":"${eventId(page.head)}","next":${next}}`;
      sendJson(res, 200, json, { 'Cache-Control': 'no-store' });
    },

    async create(call: Call): Promise<void> {
      call.scope.checkWrite();
      const body = await readJson(call);
      const idempotency = readIdempotency(call, body.text);
      const answer = await store.write({ op: 'create', fields: parseCustomer(body.value), idempotency });
      const id = /\d+/.exec(answer.json)?.[0]; // a customer's JSON begins with it: no need to parse the rest
      const headers = { Location: `/api/customers/${id}`, ETag: etagOf(answer.json) };
      sendJson(call.res, 201, answer.json, headers, headersOf(answer));
    },

    async read({ req, res, params, scope }: Call): Promise<void> {
      const id = idIn(params);
      scope.checkRead('customer', `/api/customers/${id}`);
      const noneMatch = parseEtagList(req.headers['if-none-match'], 'If-None-Match');
      const json = await store.getCustomer(id);
      if (json === undefined) throw new Problem(404, `There is no customer ${id}.`);
      const headers = { ETag: etagOf(json), 'Cache-Control': 'private, no-cache' };
      if (noneMatch && matchesWeakly(noneMatch, headers.ETag)) sendEmpty(res, 304, headers);
      else sendJson(res, 200, json, headers);
    },

    async replace(call: Call): Promise<void> {
      call.scope.checkWrite();
      const preconditions = parsePreconditions(call.req);
      const fields = parseCustomer((await readJson(call)).value);
      sendCustomer(call, await store.write({ op: 'update', id: idIn(call.params), fields, preconditions }));
    },

    async patch(call: Call): Promise<void> {
      call.scope.checkWrite();
      const preconditions = parsePreconditions(call.req);
      const fields = parseCustomerPatch((await readJson(call, { mediaTypes: MERGE_PATCH })).value);
      sendCustomer(call, await store.write({ op: 'update', id: idIn(call.params), fields, preconditions }));
    },

    async remove(call: Call): Promise<void> {
      call.scope.checkWrite();
      const preconditions = parsePreconditions(call.req);
      const answer = await store.write({ op: 'delete', id: idIn(call.params), preconditions });
      sendEmpty(call.res, 204, headersOf(answer));
    },
  };
}

function sendCustomer({ res }: Call, answer: Answer): void {
  sendJson(res, 200, answer.json, { ETag: etagOf(answer.json) }, headersOf(answer));
}

/** What every answer to a write says: from where a stream sees it, and whether it was made by an earlier request. */
export function headersOf({ lastEventId, isReplay }: Answer): Record<string, string> {
  return isReplay
    ? { 'Last-Event-ID': lastEventId, 'Idempotency-Replayed': 'true' }
    : { 'Last-Event-ID': lastEventId };
}

/** @throws {Problem} 404 for digits beyond all ids */
function idIn([digits = '']: string[]): number {
  const id = Number(digits);
  if (Number.isSafeInteger(id)) return id;
  throw new Problem(404, `There is no customer ${digits}.`);
}
