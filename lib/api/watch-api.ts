// `/api/watch/{table}`: snapshots of watched tables. Rows are the same to the byte as in their events' `data`, and
// `lastEventId` is of the same moment, so that a stream resumed from it continues this very snapshot. Without them a copy
// of a table would have to begin with its first event, and that is perhaps no longer kept.
import { type Call, queryInteger, queryValue } from '../http/request.ts';
import { sendJson } from '../http/response.ts';
import { nothingAt, Problem } from '../problem.ts';
import type { Scope } from '../scope.ts';
import type { Store } from '../store/store.ts';
import { describeWatched, type Watched } from '../store/watch.ts';
import { sendPage } from './resource-api.ts';

/** Handlers for all watched tables: the path says which. */
export function createWatchApi(store: Store) {
  const tables = describeWatched(store.watch);

  /**
   * By its name, however it is escaped. Asked before the look: who may not read it must not learn whether it is there.
   * @throws {Problem} 403, 404
   */
  function find(name: string, key: string, scope: Scope): Watched {
    const table = decodeURIComponent(name);
    // Clients escape more or less of a name (RFC 3986 §6.2.2.2), so it is written anew, as in the sources.
    const { type, source } = describeWatched([table])[0]!;
    scope.checkRead(type, `${source}/${key}`);
    const found = tables.find((one) => one.source === source);
    if (found) return found;
    throw new Problem(404, `No table ${table} is watched here: WATCH names those that are.`);
  }

  return {
    /** Pages follow each other by `next`; `keys` are what a copy knows its rows by, `type` its events. @throws {Problem} 403, 404 */
    async list({ res, query, scope, params: [name = ''] }: Call): Promise<void> {
      // All rows, as for a resource: a list with holes would pass for the whole table.
      const { table, type, source } = find(name, '*', scope);
      const limit = queryInteger(query, 'limit', 100, 1, 500);
      const page = await store.readRows(table, queryValue(query, 'after') ?? undefined, limit);
      // Named by WATCH and yet not there: it was dropped while the server runs.
      if (!page) throw nothingAt(`/api/watch/${name}`);
      const members = `"type":"${type}","rows":[${page.rows.join()}],"keys":${JSON.stringify(page.keys)}`;
      sendPage(res, members, `/api${source}`, limit, page);
    },

    /** One row; its key is written as in the event's source. @throws {Problem} 403, 404 */
    async read({ res, scope, params: [name = '', key = ''] }: Call): Promise<void> {
      const { table } = find(name, key, scope);
      const json = await store.readRow(table, key);
      if (json === undefined) throw nothingAt(`/api/watch/${name}/${key}`);
      sendJson(res, 200, json);
    },
  };
}
