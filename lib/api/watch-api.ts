// `/api/watch/{table}`: snapshots of watched tables. Rows are the same to the byte as in their events' `data`, and
// `lastEventId` is of the same moment, so that a stream resumed from it continues this very snapshot. Without them a copy
// of a table would have to begin with its first event, and that is perhaps no longer kept.
import { eventId } from '../event.ts';
import { type Call, queryInteger, queryValue } from '../http/request.ts';
import { sendJson } from '../http/response.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';
import { describeWatched, type Watched } from '../store/watch.ts';

/** Handlers for all watched tables: the path says which. @param watch the tables that WATCH names */
export function createWatchApi(store: Store, watch: Iterable<string>) {
  const tables = describeWatched(watch);

  /** By its name as it stands in the source of its events. @throws {Problem} 404 */
  function find(name: string): Watched {
    const found = tables.find(({ source }) => source === `/watch/${name}`);
    if (found) return found;
    throw new Problem(
      404,
      `No table ${decodeURIComponent(name)} is watched here: WATCH names those that are.`,
    );
  }

  return {
    /** Pages follow each other by `next`; `keys` are what a copy knows its rows by. @throws {Problem} 403, 404 */
    async list({ res, query, scope, params: [name = ''] }: Call): Promise<void> {
      const { table, type, source } = find(name);
      // As for a resource: a list with holes would pass for the whole table.
      scope.checkRead(type, `${source}/*`);
      const limit = queryInteger(query, 'limit', 100, 1, 500);
      const page = await store.readRows(table, queryValue(query, 'after') ?? undefined, limit);
      // Named by WATCH and yet not there: it was dropped while the server runs.
      if (!page) throw notThere(name);
      // A place is told as the store wrote it: only the store knows the columns of the key.
      const after = encodeURIComponent(page.last ?? '');
      const next = page.hasMore ? JSON.stringify(`/api${source}?limit=${limit}&after=${after}`) : 'null';
      // Rows are JSON already, and stay as they are to the byte: large numbers would not survive being parsed.
      const json = `{"rows":[${page.rows.join()}],"keys":${JSON.stringify(page.keys)},"lastEventId":"${eventId(page.head)}","next":${next}}`;
      sendJson(res, 200, json);
    },

    /** One row; its key is written as in the event's source. @throws {Problem} 403, 404 */
    async read({ res, scope, params: [name = '', key = ''] }: Call): Promise<void> {
      const { table, type, source } = find(name);
      // Before the look: who may not read it must not learn whether it is there.
      scope.checkRead(type, `${source}/${key}`);
      const json = await store.readRow(table, key);
      if (json === undefined) throw notThere(`${name}/${key}`);
      sendJson(res, 200, json);
    },
  };
}

function notThere(what: string): Problem {
  return new Problem(404, `There is nothing at /api/watch/${what}.`);
}
