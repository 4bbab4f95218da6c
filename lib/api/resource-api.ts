// The handlers of a resource, such as `/api/customers`. Each parses, asks the store, and answers; none announces
// anything: the event is written by the database with the row, and the hub reads it from the log. Rows travel as the
// JSON that the database made, so that an answer, a snapshot and an event are the same to the byte.
import { CUSTOMERS } from '../customer.ts';
import { etagOf, parsePreconditions } from '../etag.ts';
import { eventId } from '../event.ts';
import { type Call, queryInteger, queryValue, readJson } from '../http/request.ts';
import { sendEmpty, sendJson, sendTagged } from '../http/response.ts';
import { readIdempotency } from '../idempotency.ts';
import { nothingAt } from '../problem.ts';
import { parsePatch, parseWhole, type Resource } from '../resource.ts';
import type { Order, RowPage, Store } from '../store/store.ts';

/** What a PATCH may be (RFC 7396). */
export const MERGE_PATCH = ['application/json', 'application/merge-patch+json'];

/**
 * Six handlers for one resource. Each answers with what is durable, or throws a Problem: beside what stands at each of
 * them 413 and 415 for a body, and 503 where the database is full, locked or gone.
 */
export function createResourceApi(store: Store, resource: Resource) {
  const { table, type, source } = resource;
  const path = `/api/${table}`;

  return {
    /** A snapshot in pages: rows and `lastEventId` of one moment. @throws {Problem} 400 the query, 403, 404 */
    async list({ res, query, scope }: Call): Promise<void> {
      // Who may see only some of the rows' events gets no list: one with holes would pass for the whole table.
      scope.checkRead(type, `${source}/*`);
      // 500 rows are some hundred kilobytes: no page keeps the event loop busy for long.
      const limit = queryInteger(query, 'limit', 100, 1, 500);
      const page = await store.readRows(table, placeIn(query, resource), limit);
      if (!page) throw nothingAt(path);
      sendPage(res, `"${table}":[${page.rows.join()}]`, path, limit, page);
    },

    /** 201 with the row, and where to find it. @throws {Problem} 400, 403, 409 a rule of the database, 422 */
    async create(call: Call): Promise<void> {
      // Before the body is read: who may not write shall not make us work.
      call.scope.checkWrite();
      const body = await readJson(call);
      // The text, not the value: a repeat is known by its bytes.
      const idempotency = readIdempotency(call.req, call.path, body.text);
      const fields = parseWhole(resource, body.value);
      const json = await write(call, store, { op: 'create', table, fields, idempotency });
      // The first that looks like it is the id: inside of a text its quotes would be escaped.
      const id = /"id":(\d+)/.exec(json)?.[1];
      sendJson(call.res, 201, json, { Location: `${path}/${id}`, ETag: etagOf(json) });
    },

    /** 200 with its tag, or 304 for whoever has it. @throws {Problem} 400, 403, 404, 412 */
    async read(call: Call): Promise<void> {
      const id = idIn(call);
      // Before the look: who may not read it must not learn whether it is there.
      call.scope.checkRead(type, `${source}/${id}`);
      const json = await store.readRow(table, `${id}`);
      if (json === undefined) throw nothingAt(`${path}/${id}`);
      sendTagged(call, json);
    },

    /** PUT: the whole row; what isn't named gets what stands for it. @throws {Problem} as `update` */
    replace: (call: Call) => update(call, parseWhole),

    /** PATCH: only the fields that are named. @throws {Problem} as `update` */
    patch: (call: Call) => update(call, parsePatch, MERGE_PATCH),

    /** 204; the event still tells the row as it last was. @throws {Problem} 400, 403, 404, 409, 412 */
    async remove(call: Call): Promise<void> {
      call.scope.checkWrite();
      const preconditions = parsePreconditions(call.req);
      await write(call, store, { op: 'delete', table, id: idIn(call), preconditions });
      sendEmpty(call.res, 204);
    },
  };

  /**
   * 200 with the row after the write, and the tag that the next `If-Match` needs.
   * @throws {Problem} 400 malformed, 403, 404, 409 a rule of the database, 412 a precondition, 422 with every bad field
   */
  async function update(call: Call, parse: typeof parseWhole, mediaTypes?: string[]): Promise<void> {
    call.scope.checkWrite();
    // Read here, judged in the transaction: a look before the write would leave time for another one in between.
    const preconditions = parsePreconditions(call.req);
    const fields = parse(resource, (await readJson(call, { mediaTypes })).value);
    const json = await write(call, store, { op: 'update', table, id: idIn(call), fields, preconditions });
    sendJson(call.res, 200, json, { ETag: etagOf(json) });
  }
}

/** Where a page begins; of the customers after any number, since the customer of that id may be gone. @throws {Problem} 400 */
function placeIn(query: URLSearchParams, resource: Resource): string | undefined {
  if (resource !== CUSTOMERS) return queryValue(query, 'after') ?? undefined;
  return `${queryInteger(query, 'after', 0, 0, Number.MAX_SAFE_INTEGER)}`;
}

/**
 * A page of a snapshot: rows, and the place in the log at which they are true.
 * @param members of the answer, as JSON: its rows stay as the database made them, to the byte
 */
export function sendPage(
  res: Call['res'],
  members: string,
  path: string,
  limit: number,
  { head, hasMore, last = '' }: Pick<RowPage, 'head' | 'hasMore' | 'last'>,
): void {
  // Behind the last row of this page: so the next one begins there, whatever was deleted meanwhile.
  const next = hasMore ? JSON.stringify(`${path}?limit=${limit}&after=${encodeURIComponent(last)}`) : 'null';
  sendJson(res, 200, `{${members},"lastEventId":"${eventId(head)}","next":${next}}`);
}

/**
 * Resolves when the order is durable, with what it made, as JSON. Every answer to a write then says from where a stream
 * sees it, and whether an earlier request made it.
 */
export async function write({ res }: Call, store: Store, order: Order): Promise<string> {
  const answer = store.write(order);
  res.queued(); // its place is certain at once, so the client's next write may come in meanwhile
  const { json, lastEventId, isReplay } = await answer;
  res.common['Last-Event-ID'] = lastEventId;
  if (isReplay) res.common['Idempotency-Replayed'] = 'true';
  return json;
}

/** The id in the path. @throws {Problem} 404 for digits beyond all ids: no row can have such a number */
function idIn({ path, params: [digits] }: Call): number {
  const id = Number(digits);
  if (Number.isSafeInteger(id)) return id;
  throw nothingAt(path);
}
