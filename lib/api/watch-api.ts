// `/api/watch/{table}`: snapshots of watched tables. Rows are the same to the byte as in their events' `data`, and
// `lastEventId` is of the same moment, so that a stream resumed from it continues this very snapshot.
import { eventId } from '../event.ts';
import { type Call, queryInteger, queryValue } from '../http/request.ts';
import { sendJson } from '../http/response.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';
import { describeWatched, type Watched } from '../store/watch.ts';

/** @param watch the tables that WATCH names */
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
    async list({ res, query, scope, params: [name = ''] }: Call): Promise<void> {
      const { table, type, source } = find(name);
      scope.checkRead(type, `${source}/*`);
      const limit = queryInteger(query, 'limit', 100, 1, 500);
      const page = await store.readRows(table, queryValue(query, 'after') ?? undefined, limit);
      if (!page) throw notThere(name);
      const after = encodeURIComponent(page.last ?? '');
      const next = page.hasMore ? JSON.stringify(`/api${source}?limit=${limit}&after=${after}`) : 'null';
      const json = `{"rows":[${page.rows.join()}],"keys":${JSON.stringify(page.keys)},"lastEventId":"${eventId(page.head)}","next":${next}}`;
      sendJson(res, 200, json);
    },

    /** The key is written as in the event's source. */
    async read({ res, scope, params: [name = '', key = ''] }: Call): Promise<void> {
      const { table, type, source } = find(name);
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
