// Snapshots of watched tables: rows as in their events, and a position from which a stream continues them. On both engines the same.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SignJWT } from 'jose';
import { WebSocket } from 'ws';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { LiveTable } from '../../public/changebell.js';
import { connect, type Frame, get, range, skipWithout, temporaryFolder } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';

type Page = { rows: unknown[]; keys: string[]; next: string | null };
type Program = { run: (sql: string) => Promise<unknown>; close: () => Promise<void> };

/** `bytes` writes hexadecimal digits as the engine's SQL does. */
type Engine = { url: string; program: Program; bytes: (hex: string) => string };

function testWatchApi(open: () => Promise<Engine>): void {
  let program: Program;
  let bytes: Engine['bytes'];
  let server: OpenServer;
  before(async () => {
    const engine = await open();
    ({ program, bytes } = engine);
    await program.run(`
    CREATE TABLE orders (id integer PRIMARY KEY, item text, paid double precision);
    CREATE TABLE lines ("order" integer, name text, picture ${bytes('').startsWith('x') ? 'blob' : 'bytea'}, PRIMARY KEY ("order", name));
    CREATE TABLE "a*b" (id integer PRIMARY KEY);
    INSERT INTO "a*b" VALUES (1), (2);
    CREATE TABLE "odd name" (code text PRIMARY KEY, big bigint);
    CREATE TABLE odd_keys (no integer, name text, code ${bytes('').startsWith('x') ? 'blob' : 'bytea'}, more text, PRIMARY KEY (no, name, code));
    CREATE TABLE tags (name text PRIMARY KEY, many integer);
    INSERT INTO tags VALUES ('', 1), ('a', 2);
    CREATE TABLE many (id integer PRIMARY KEY, item text);
    CREATE TABLE long_keys (name text PRIMARY KEY);
    INSERT INTO long_keys VALUES ('a'), ('b'), ${[1, 2, 3].map((n) => `('${'я'.repeat(3000)}${n}')`).join()};
    INSERT INTO orders VALUES (1, 'Engine', 0.1), (2, NULL, 1e300), (30, '"\\', NULL);
    INSERT INTO lines VALUES (1, 'a,b/ü', ${bytes('00ff')}), (1, 'b', NULL), (2, 'a', ${bytes('')});
    INSERT INTO "odd name" VALUES ('x y', 9007199254740993);
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
    INSERT INTO many SELECT n, 'Engine' FROM numbers;`);
    server = await openServer({
      DATABASE_URL: engine.url,
      WATCH: 'orders,lines,odd name,a*b,many,odd_keys,tags,long_keys',
      CUSTOMERS: '0',
    });
  });
  after(async () => {
    await program?.close();
    await server?.stop();
  });
  const at = (path: string) => `${server.url}/api/watch/${path}`;

  test('pages follow the primary key by next, and together they are the table', async () => {
    for (const [table, count] of [
      ['orders', 3],
      ['lines', 3],
      ['odd%20name', 1],
      ['a%2Ab', 2],
    ] as const) {
      const whole = (await get(at(table))).body;
      assert.deepEqual([whole.rows.length, whole.next], [count, null], table);
      const rows: unknown[] = [];
      const keys: string[] = [];
      let next: string | null = `/api/watch/${table}?limit=1`;
      for (const _ of range(1, count)) {
        const page: Page = (await get(new URL(next!, server.url).href)).body;
        rows.push(...page.rows);
        keys.push(...page.keys);
        next = page.next;
      }
      assert.deepEqual([rows, keys, next], [whole.rows, whole.keys, null], table);
      for (const [i, key] of keys.entries())
        assert.deepEqual((await get(at(`${table}/${key}`))).body, rows[i], `the row at ${table}/${key}`);
    }
  });

  test('a row is the same in a page, by itself, and in its event; its key is written as in the event’s source', async () => {
    const { lastEventId } = (await get(at('lines'))).body;
    const client = await connect(server.wsUrl, { query: { lastEventId } });
    await program.run(
      `UPDATE lines SET picture = ${bytes('010203')} WHERE name <> ''; UPDATE orders SET item = 'New'; UPDATE "odd name" SET big = big + 1`,
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

  test('a copy knows its rows by the keys of the page: several columns, text, bytes, and what is cut', async () => {
    const long = 'ü'.repeat(300);
    const kept = [`1, 'a,b/ü', ${bytes('00ff')}`, `2, '', ${bytes('')}`, `3, '%2F''', ${bytes('61')}`];
    for (const row of [...kept, `4, '${long}', ${bytes('62')}`])
      await program.run(`INSERT INTO odd_keys (no, name, code) VALUES (${row})`);
    const table = new LiveTable(at('odd_keys'), { WebSocket });
    await table.ready;
    const before = new Map(table);
    assert.equal(before.size, 4);
    await program.run("UPDATE odd_keys SET more = 'new'");
    await program.run(`DELETE FROM odd_keys WHERE name = '${long}'`);
    const { lastEventId, rows, keys } = (await get(at('odd_keys'))).body;
    await table.reached(lastEventId);
    assert.deepEqual([...table.values()], rows);
    assert.deepEqual([...table.keys()], keys);
    assert.deepEqual(keys, [...before.keys()].slice(0, 3), 'the keys of the events are those of the page');
    table.close();
  });

  test('a page ends at a row whose key fits into a link; where none does, the answer says so', async () => {
    const page = (query: string) => get(at(`long_keys?${query}`));
    const first = (await page('limit=3')).body;
    assert.deepEqual(first.keys, ['a', 'b'], 'and not the third one');
    const rest = await get(new URL(first.next, server.url).href);
    assert.deepEqual(
      [rest.body.rows.length, rest.body.next],
      [3, null],
      'nothing needs a link behind the last',
    );
    const none = await get(new URL(first.next.replace('limit=3', 'limit=2'), server.url).href);
    assert.equal(none.status, 400);
    assert.match(none.body.detail, /too long for a link/);
  });

  test('a row whose key is an empty text is read at a path that ends with a slash, as its source does', async () => {
    const { rows, keys, lastEventId } = (await get(at('tags'))).body;
    assert.deepEqual(keys, ['', 'a']);
    assert.deepEqual((await get(at('tags/'))).body, rows[0]);
    const client = await connect(server.wsUrl, { query: { lastEventId } });
    await program.run("UPDATE tags SET many = 3 WHERE name = ''");
    const { source, data } = await client.nextEvent();
    assert.equal(source, '/watch/tags/');
    assert.deepEqual((await get(`${server.url}/api${source}`)).body, data);
    await client.close();
  });

  test('what is not there, or not watched, is a 404; a page that nobody gave is a 400', async () => {
    for (const path of [
      'orders/7',
      'orders/x',
      'orders/%00',
      'orders/99999999999999999999',
      'lines/1',
      'customers',
      'ORDERS',
      'sqlite_schema',
      'orders/',
    ]) {
      assert.equal((await get(at(path))).status, 404, path);
    }
    assert.equal((await get(`${server.url}/api/customers`)).status, 404);
    for (const query of ['after=nonsense', 'after=[]', 'limit=0', 'limit=501', 'limit=x']) {
      assert.equal((await get(at(`orders?${query}`))).status, 400, query);
    }
  });

  test('of a table of 100,000 rows, a page and a row cost what they cost of a table of three', async () => {
    const time = async (paths: string[]) => {
      const begin = performance.now();
      for (const _ of range(1, 20)) for (const path of paths) assert.equal((await get(at(path))).status, 200);
      return performance.now() - begin;
    };
    const { next } = (await get(at('many?limit=500'))).body;
    const small = ['orders?limit=1', 'orders/2'];
    const large = [next.replace(/^.*many\?limit=500/, 'many?limit=1'), 'many/50001'];
    await time([...small, ...large]);
    const [ofSmall, ofLarge] = [await time(small), await time(large)];
    assert.ok(ofLarge < 5 * ofSmall + 20, `${ofLarge} ms of the large table, ${ofSmall} ms of the small one`);
  });
}

describe('SQLite', () => {
  testWatchApi(async () => {
    const url = join(temporaryFolder(), 'shop.db');
    const db = openDatabase(url);
    const program = { run: async (sql: string) => db.exec(sql), close: async () => void db.close() };
    return { url, program, bytes: (hex) => `x'${hex}'` };
  });
});

test('rows of SQLite with NULL in their key are in the pages of their table, and what is behind them too', async () => {
  const DATABASE_URL = join(temporaryFolder(), 'nulls.db');
  const db = openDatabase(DATABASE_URL);
  db.exec(`CREATE TABLE nulls (a text, b integer, PRIMARY KEY (a, b));
    INSERT INTO nulls VALUES (NULL, NULL), (NULL, 1), ('a', NULL), ('a', 2), ('b', 1)`);
  db.close();
  const server = await openServer({ DATABASE_URL, WATCH: 'nulls' });
  const keys: string[] = [];
  for (let next: string | null = '/api/watch/nulls?limit=1'; next; ) {
    const page: Page = (await get(new URL(next, server.url).href)).body;
    keys.push(...page.keys);
    next = page.next;
  }
  assert.deepEqual(keys, [',', ',1', 'a,', 'a,2', 'b,1']);
  await server.stop();
});

test('a table of SQLite is at the name that its events have, however WATCH writes it', async () => {
  const DATABASE_URL = join(temporaryFolder(), 'names.db');
  const db = openDatabase(DATABASE_URL);
  db.exec('CREATE TABLE Orders (id integer PRIMARY KEY); INSERT INTO Orders VALUES (7)');
  db.close();
  const server = await openServer({ DATABASE_URL, WATCH: 'ORDERS,orders' });
  const page = await get(`${server.url}/api/watch/Orders`);
  assert.equal(page.status, 200, `the table is created as Orders, and its page says: ${page.text}`);
  assert.deepEqual(page.body.keys, ['7']);
  assert.deepEqual((await get(`${server.url}/api/watch/Orders/7`)).body, { id: 7 });
  await server.stop();
});

test('a table is found however much of its name a client escapes', async () => {
  const DATABASE_URL = join(temporaryFolder(), 'escapes.db');
  const db = openDatabase(DATABASE_URL);
  db.exec(`CREATE TABLE "it's (old)" (id integer PRIMARY KEY); INSERT INTO "it's (old)" VALUES (7)`);
  db.close();
  const server = await openServer({ DATABASE_URL, WATCH: "it's (old)" });
  for (const name of ["it's%20(old)", 'it%27s%20%28old%29', '%69t%27s%20(old)']) {
    const { body } = await get(`${server.url}/api/watch/${name}?limit=1`);
    assert.deepEqual(body.rows, [{ id: 7 }], name);
    assert.deepEqual((await get(`${server.url}/api/watch/${name}/7`)).body, { id: 7 });
  }
  await server.stop();
});

test('a table with a star or a percent sign in its name is read, followed and opened by a token as any other', async () => {
  const DATABASE_URL = join(temporaryFolder(), 'stars.db');
  const db = openDatabase(DATABASE_URL, { timeout: 5000 });
  const names = ['a*b', '*', '50%', 'x%2Ay'];
  for (const name of names)
    db.exec(`CREATE TABLE "${name}" (id text PRIMARY KEY, n int); INSERT INTO "${name}" VALUES ('*,%', 1)`);
  const server = await openServer({ DATABASE_URL, WATCH: names.join(), JWT_SECRET: 'x'.repeat(32) });
  for (const name of names) {
    const path = `/watch/${encodeURIComponent(name).replace('*', '%2A')}`;
    const token = await new SignJWT({ changebell: { subscribe: ['*'], sources: [`${path}/*`] } })
      .setProtectedHeader({ alg: 'HS256' })
      .setAudience('changebell')
      .setExpirationTime('1m')
      .sign(Buffer.from('x'.repeat(32)));
    const page = await get(`${server.url}/api${path}`, { Authorization: `Bearer ${token}` });
    assert.deepEqual([page.status, page.body.rows], [200, [{ id: '*,%', n: 1 }]], page.text);
    const client = await connect(server.wsUrl, { query: { access_token: token, sources: `${path}/*` } });
    const table = new LiveTable(`${server.url}/api/watch/${encodeURIComponent(name)}`, { WebSocket, token });
    await table.ready;
    const changed = once(table, 'change');
    db.exec(`UPDATE "${name}" SET n = 2`);
    const { source } = await client.nextEvent();
    assert.equal(source, `${path}/%2A%2C%25`);
    await changed;
    assert.deepEqual([...table], [['%2A%2C%25', { id: '*,%', n: 2 }]]);
    table.close();
    await client.close();
  }
  db.close();
  await server.stop();
});

describe('PostgreSQL', { skip: skipWithout(INITDB, 'postgresql') }, () => {
  let cluster: Cluster;
  after(() => cluster?.stop());
  testWatchApi(async () => {
    cluster = await startCluster();
    const url = await cluster.createStarted('shop');
    const client = await cluster.connect('shop');
    const program = { run: (sql: string) => client.query(sql), close: () => client.end() };
    return { url, program, bytes: (hex) => `'\\x${hex}'::bytea` };
  });

  test('a row whose key is an array is read by it, as its event has it', async () => {
    const DATABASE_URL = await cluster.createStarted('arrays');
    const client = await cluster.connect('arrays');
    await client.query(`CREATE TABLE cells (place integer[], names text[], PRIMARY KEY (place, names));
      INSERT INTO cells VALUES ('{1,2}', '{a}'), ('{}', '{"b,c","\\"",NULL,""}')`);
    const server = await openServer({ DATABASE_URL, WATCH: 'cells' });
    const { rows, keys } = (await get(`${server.url}/api/watch/cells`)).body;
    assert.equal(rows.length, 2);
    for (const [i, key] of keys.entries()) {
      const one = await get(`${server.url}/api/watch/cells/${key}`);
      assert.deepEqual([one.status, one.body], [200, rows[i]], key);
    }
    for (const key of ['x,y', '%7B1%2C2%7D,%7Ba%7D', '%5B1%5D,%5B%5D', '%5B1%2C2%5D,%7B%7D'])
      assert.equal((await get(`${server.url}/api/watch/cells/${key}`)).status, 404, key);
    await client.end();
    await server.stop();
  });

  test('a row whose key stands in its source as JSON is read by it, whatever its type is', async () => {
    const DATABASE_URL = await cluster.createStarted('nested');
    const client = await cluster.connect('nested');
    await client.query(`CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TYPE place AS (x int, y text); CREATE DOMAIN spot AS place;
      CREATE TABLE a (id jsonb PRIMARY KEY); INSERT INTO a VALUES ('{"a": 1}'), ('"text"'), ('12'), ('[1, "b"]'), ('true');
      CREATE TABLE b (id place, n int, PRIMARY KEY (n, id)); INSERT INTO b VALUES ('(1,a)', 1), ('(1,"b, c")', 1), ('(,)', 2);
      CREATE TABLE c (id mood[] PRIMARY KEY); INSERT INTO c VALUES ('{sad,happy}'), ('{}');
      CREATE TABLE d (id spot PRIMARY KEY); INSERT INTO d VALUES ('(1,a)'), ('(2,"")');
      CREATE TABLE e (id place[] PRIMARY KEY); INSERT INTO e VALUES (ARRAY['(1,a)']::place[]), ('{}')`);
    const server = await openServer({ DATABASE_URL, WATCH: 'a,b,c,d,e' });
    for (const [table, many] of Object.entries({ a: 5, b: 3, c: 2, d: 2, e: 2 })) {
      const { rows, keys } = (await get(`${server.url}/api/watch/${table}`)).body;
      assert.equal(rows.length, many);
      for (const [i, key] of keys.entries()) {
        const one = await get(`${server.url}/api/watch/${table}/${key}`);
        assert.deepEqual([one.status, one.body], [200, rows[i]], `${table} ${key}`);
      }
      assert.equal((await get(`${server.url}/api/watch/${table}/%7B%7D,1`)).status, 404);
    }
    await client.end();
    await server.stop();
  });
});
