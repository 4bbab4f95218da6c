// Snapshots of watched tables: rows as in their events, and a position from which a stream continues them.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  connect,
  type Frame,
  get,
  range,
  type Server,
  startServer,
  temporaryFolder,
} from '../support/helpers.ts';

const file = join(temporaryFolder(), 'shop.db');
const db = openDatabase(file);
let server: Server;
before(async () => {
  db.exec(`
    CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT, paid REAL);
    CREATE TABLE lines ("order" INTEGER, name TEXT, picture BLOB, PRIMARY KEY ("order", name)) WITHOUT ROWID;
    CREATE TABLE "odd name" (code TEXT PRIMARY KEY, big INTEGER);
    INSERT INTO orders VALUES (1, 'Engine', 0.1), (2, NULL, 1e300), (30, '"\\', NULL);
    INSERT INTO lines VALUES (1, 'a,b/ü', x'00ff'), (1, 'b', NULL), (2, 'a', x'');
    INSERT INTO "odd name" VALUES ('x y', 9007199254740993);`);
  server = await startServer({ DATABASE_URL: file, WATCH: 'orders,lines,odd name', CUSTOMERS: '0' });
});
after(async () => {
  db.close();
  await server?.stop();
});
const at = (path: string) => `${server.url}/api/watch/${path}`;

test('pages follow the primary key by next, and together they are the table', async () => {
  for (const [table, count] of [
    ['orders', 3],
    ['lines', 3],
    ['odd%20name', 1],
  ] as const) {
    const whole = (await get(at(table))).body;
    assert.deepEqual([whole.rows.length, whole.next], [count, null], table);
    const rows: unknown[] = [];
    let next: string | null = `/api/watch/${table}?limit=1`;
    for (const _ of range(1, count)) {
      const page: { rows: unknown[]; next: string | null } = (await get(new URL(next!, server.url).href))
        .body;
      rows.push(...page.rows);
      next = page.next;
    }
    assert.deepEqual([rows, next], [whole.rows, null], table);
  }
});

test('a row is the same in a page, by itself, and in its event; its key is written as in the event’s source', async () => {
  const { lastEventId } = (await get(at('lines'))).body;
  const client = await connect(server.wsUrl, { query: { lastEventId } });
  db.exec(
    `UPDATE lines SET picture = x'010203' WHERE name <> ''; UPDATE orders SET item = 'New'; UPDATE "odd name" SET big = big + 1`,
  );
  const events: Frame[] = [];
  for (const _ of range(1, 7)) events.push(await client.nextEvent());
  for (const { source, data } of events) {
    const alone = await get(`${server.url}/api${source}`);
    assert.deepEqual([alone.status, alone.body], [200, data], source);
    const table = source.split('/')[2]!;
    const page = await get(at(table));
    assert.ok(page.text.includes(alone.text), `${source} is in the page, to the byte`);
  }
  await client.close();
});

test('what is not there, or not watched, is a 404; a page that nobody gave is a 400', async () => {
  for (const path of ['orders/7', 'orders/x', 'lines/1', 'customers', 'ORDERS', 'sqlite_schema', 'orders/']) {
    assert.equal((await get(at(path))).status, 404, path);
  }
  assert.equal((await get(`${server.url}/api/customers`)).status, 404);
  for (const query of ['after=nonsense', 'after=[]', 'limit=0', 'limit=501', 'limit=x']) {
    assert.equal((await get(at(`orders?${query}`))).status, 400, query);
  }
});
