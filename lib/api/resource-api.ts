// The handlers of a resource, such as `/api/customers`. Each parses, asks the store, and answers; none announces
// anything: the event is written by the database with the row, and the hub reads it from the log.
import { CUSTOMERS } from '../customer.ts';
import { etagOf, matchesWeakly, parseEtagList } from '../etag.ts';
import { eventId } from '../event.ts';
import { type Call, parsePreconditions, queryInteger, queryValue, readJson } from '../http/request.ts';
import { sendEmpty, sendJson } from '../http/response.ts';
import { Problem } from '../problem.ts';
import { parsePatch, parseWhole, type Resource } from '../resource.ts';
import type { Answer, RowPage, Store } from '../store/store.ts';
import { readIdempotency } from './idempotency.ts';

/** What a PATCH may be (RFC 7396). */
export const MERGE_PATCH = ['application/json', 'application/merge-patch+json'];

/** How its rows are read. */
type Reading = {
  one(id: number): Promise<string | undefined>;
  page(query: URLSearchParams, limit: number): Promise<Omit<RowPage, 'keys'> | undefined>;
};

export function createResourceApi(store: Store, resource: Resource) {
  const { table, type, source } = resource;
  const reading = resource === CUSTOMERS ? readingCustomers(store) : readingTable(store, table);
  const path = `/api/${table}`;

  return {
    async list({ res, query, scope }: Call): Promise<void> {
      scope.checkRead(type, `${source}/*`);
      const limit = queryInteger(query, 'limit', 100, 1, 500);
      const page = await reading.page(query, limit);
      if (!page) throw notThere(path);
      const after = encodeURIComponent(page.last ?? '');
      const next = page.hasMore ? `"${path}?limit=${limit}&after=${after}"` : 'null';
      const json = `{"${table}":[${page.rows.join()}],"lastEventId":"${eventId(page.head)}","next":${next}}`;
      sendJson(res, 200, json, { 'Cache-Control': 'no-store' });
    },

    async create(call: Call): Promise<void> {
      call.scope.checkWrite();
      const body = await readJson(call);
      const idempotency = readIdempotency(call, body.text);
      const fields = parseWhole(resource, body.value);
      const answer = await store.write({ op: 'create', table, fields, idempotency });
      const id = /"id":(\d+)/.exec(answer.json)?.[1]; // inside of a text its quotes would be escaped
      const headers = { Location: `${path}/${id}`, ETag: etagOf(answer.json) };
      sendJson(call.res, 201, answer.json, headers, headersOf(answer));
    },

    async read(call: Call): Promise<void> {
      const { req, res, scope } = call;
      const id = idIn(call);
      scope.checkRead(type, `${source}/${id}`);
      const noneMatch = parseEtagList(req.headers['if-none-match'], 'If-None-Match');
      const json = await reading.one(id);
      if (json === undefined) throw notThere(`${path}/${id}`);
      const headers = { ETag: etagOf(json), 'Cache-Control': 'private, no-cache' };
      if (noneMatch && matchesWeakly(noneMatch, headers.ETag)) sendEmpty(res, 304, headers);
      else sendJson(res, 200, json, headers);
    },

    async replace(call: Call): Promise<void> {
      call.scope.checkWrite();
      const preconditions = parsePreconditions(call.req);
      const fields = parseWhole(resource, (await readJson(call)).value);
      sendRow(call, await store.write({ op: 'update', table, id: idIn(call), fields, preconditions }));
    },

    async patch(call: Call): Promise<void> {
      call.scope.checkWrite();
      const preconditions = parsePreconditions(call.req);
      const fields = parsePatch(resource, (await readJson(call, { mediaTypes: MERGE_PATCH })).value);
      sendRow(call, await store.write({ op: 'update', table, id: idIn(call), fields, preconditions }));
    },

    async remove(call: Call): Promise<void> {
      call.scope.checkWrite();
      const preconditions = parsePreconditions(call.req);
      const answer = await store.write({ op: 'delete', table, id: idIn(call), preconditions });
      sendEmpty(call.res, 204, headersOf(answer));
    },
  };
}

/** Their pages begin after an id. */
function readingCustomers(store: Store): Reading {
  return {
    one: (id) => store.getCustomer(id),
    async page(query, limit) {
      const after = queryInteger(query, 'after', 0, 0, Number.MAX_SAFE_INTEGER);
      const { customers: rows, lastId, hasMore, head } = await store.listCustomers(after, limit);
      return { rows, hasMore, last: String(lastId), head };
    },
  };
}

/** As of any table that is watched. */
function readingTable(store: Store, table: string): Reading {
  return {
    one: (id) => store.readRow(table, String(id)),
    page: (query, limit) => store.readRows(table, queryValue(query, 'after') ?? undefined, limit),
  };
}

function sendRow({ res }: Call, answer: Answer): void {
  sendJson(res, 200, answer.json, { ETag: etagOf(answer.json) }, headersOf(answer));
}

/** What every answer to a write says: from where a stream sees it, and whether it was made by an earlier request. */
export function headersOf({ lastEventId, isReplay }: Answer): Record<string, string> {
  return isReplay
    ? { 'Last-Event-ID': lastEventId, 'Idempotency-Replayed': 'true' }
    : { 'Last-Event-ID': lastEventId };
}

/** @throws {Problem} 404 for digits beyond all ids */
function idIn({ path, params: [digits = ''] }: Call): number {
  const id = Number(digits);
  if (Number.isSafeInteger(id)) return id;
  throw notThere(path);
}

function notThere(path: string): Problem {
  return new Problem(404, `There is nothing at ${path}.`);
}
