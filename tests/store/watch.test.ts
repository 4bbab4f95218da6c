// WATCH: the tables of other programs. On both engines the same promises, asked with SQL that both understand;
// then what each engine's own kinds of values become.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { describeWatched } from '../../lib/store/watch.ts';
import { LiveTable } from '../../public/changebell.js';
import {
  connect,
  eventually,
  get,
  post,
  range,
  skipWithout,
  startServer,
  temporaryFolder,
  within,
} from '../support/helpers.ts';
import { openServer } from '../support/open-server.ts';
import { openStore, refusalToStart } from '../support/open-store.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';

type Program = { run: (sql: string) => Promise<unknown>; close: () => Promise<void> };

/** `connect` makes the database if it isn't there; `fingerprint` changes with the schema. */
type Connect = (name: string) => Promise<Program & { url: string; fingerprint: () => Promise<unknown> }>;

/** The databases that nothing of ours may be in before their test begins. */
const MADE_BY_START = ['shop', 'refused', 'theirs'];

function testWatch(open: Connect): void {
  test('every change of a watched table is an event with the row, whoever makes it; no change is none', async () => {
    const program = await open('shop');
    await program.run('CREATE TABLE orders (id integer PRIMARY KEY, "group" text, paid boolean)');
    const watching = await openServer({ DATABASE_URL: program.url, WATCH: ' orders ,,orders' });
    const client = await connect(watching.wsUrl, { query: { types: 'orders.*' } });
    await client.next();
    for (const sql of [
      'INSERT INTO orders (id, "group") VALUES (7, \'a "quoted" 🔔\'), (8, NULL)',
      'UPDATE orders SET "group" = "group"',
      'UPDATE orders SET "group" = \'b\' WHERE id = 7',
      'DELETE FROM orders WHERE id = 7',
    ])
      await program.run(sql);
    const heard = [];
    for (const _ of [1, 2, 3, 4]) heard.push(await client.nextEvent());
    const row = (id: number, group: string | null) => ({ id, group, paid: null });
    assert.deepEqual(
      heard.map(({ type, source, data }) => [type, source, data]),
      [
        ['orders.created', '/watch/orders/7', row(7, 'a "quoted" 🔔')],
        ['orders.created', '/watch/orders/8', row(8, null)],
        ['orders.updated', '/watch/orders/7', row(7, 'b')],
        ['orders.deleted', '/watch/orders/7', row(7, 'b')],
      ],
    );
    assert.equal((await post(`${watching.url}/api/customers`, { name: 'Ada' })).status, 201);
    await client.close();
    await watching.stop();

    const watched = await program.fingerprint();
    await (await openStore({ DATABASE_URL: program.url, WATCH: 'orders' })).close();
    assert.deepEqual(await program.fingerprint(), watched, 'the same WATCH changes nothing');
    const unwatched = await openStore({ DATABASE_URL: program.url });
    const { head } = await unwatched.position();
    await program.run('DELETE FROM orders');
    assert.deepEqual((await unwatched.position()).head, head, 'no longer watched: not announced');
    await unwatched.close();
    await program.close();
  });

  test('a row whose key changes is deleted, then created; what is rolled back is not; a copy ends as the table', async () => {
    const program = await open('moved');
    await program.run('CREATE TABLE orders (id integer PRIMARY KEY, item text)');
    await program.run("INSERT INTO orders VALUES (1, 'a'), (2, 'b')");
    const server = await openServer({ DATABASE_URL: program.url, WATCH: 'orders' });
    const table = new LiveTable(`${server.url}/api/watch/orders`, { WebSocket });
    await table.ready;
    const client = await connect(server.wsUrl);
    await client.next();
    await program.run('BEGIN');
    await program.run('UPDATE orders SET id = 99 WHERE id = 1');
    await program.run('ROLLBACK');
    for (const sql of [
      'UPDATE orders SET id = id + 10',
      "UPDATE orders SET id = 2, item = 'c' WHERE id = 11",
      'UPDATE orders SET id = id',
      "UPDATE orders SET id = id, item = 'd' WHERE id = 12",
    ])
      await program.run(sql);
    const heard: unknown[] = [];
    for (const _ of range(1, 7)) {
      const { type, source, data } = await client.nextEvent();
      heard.push([type, source, data]);
    }
    const event = (change: string, id: number, item: string) => [
      `orders.${change}`,
      `/watch/orders/${id}`,
      { id, item },
    ];
    assert.deepEqual(heard, [
      event('deleted', 1, 'a'),
      event('created', 11, 'a'),
      event('deleted', 2, 'b'),
      event('created', 12, 'b'),
      event('deleted', 11, 'a'),
      event('created', 2, 'c'),
      event('updated', 12, 'd'),
    ]);
    await table.reached(client.events().at(-1)!.id);
    const rows = { 2: { id: 2, item: 'c' }, 12: { id: 12, item: 'd' } };
    assert.deepEqual(Object.fromEntries(table), rows);
    table.close();
    await client.close();
    await server.stop();
    await program.close();
  });

  test('who goes on where a table was made anew while no server ran is told to load it again', async () => {
    const program = await open('anew');
    await program.run(
      'CREATE TABLE orders (id integer PRIMARY KEY); CREATE TABLE quiet (id integer PRIMARY KEY)',
    );
    const env = { DATABASE_URL: program.url, WATCH: 'orders,quiet' };
    let server = await openServer(env);
    await program.run('INSERT INTO orders VALUES (1)');
    const first = await connect(server.wsUrl, { query: { from: 'earliest' } });
    await first.next();
    const { id, type } = await first.nextEvent();
    assert.equal(type, 'orders.created', 'nobody can have a copy of a table that was never watched');
    await first.close();
    await server.stop();
    await program.run('DROP TABLE orders; CREATE TABLE orders (id integer PRIMARY KEY, more text)');
    await program.run("ALTER TABLE quiet ADD COLUMN more text DEFAULT 'none of its rows was told of'");
    await program.run('INSERT INTO orders (id) VALUES (7)');
    server = await openServer(env);
    await program.run('INSERT INTO orders (id) VALUES (8)');
    const client = await connect(server.wsUrl, { query: { lastEventId: id } });
    await client.next();
    const heard = [await client.nextEvent(), await client.nextEvent(), await client.nextEvent()];
    assert.deepEqual(
      heard.map(({ type, source, data }) => [type, source, data]),
      [
        ['orders.reset', '/watch/orders/*', null],
        ['quiet.reset', '/watch/quiet/*', null],
        ['orders.created', '/watch/orders/8', { id: 8, more: null }],
      ],
    );
    assert.equal((await post(`${server.url}/api/events`, { type: 'orders.reset' })).status, 422);
    const newest = async () => (await get(`${server.url}/healthz`)).body.lastEventId;
    const before = await newest();
    await client.close();
    await server.stop();
    server = await openServer(env);
    assert.equal(await newest(), before, 'and once');
    await server.stop();
    await program.close();
  });

  test('who goes on where a table was not watched for a while is told to load it again, though none of its events is kept', async () => {
    const program = await open('unwatched');
    await program.run('CREATE TABLE orders (id integer PRIMARY KEY)');
    const env = { DATABASE_URL: program.url, WATCH: 'orders' };
    const before = await openServer(env);
    const { id } = (await post(`${before.url}/api/events`, { message: 'the last that this reader hears' }))
      .body;
    await before.stop();
    const without = await openServer({ DATABASE_URL: program.url });
    await program.run('INSERT INTO orders VALUES (1); DELETE FROM changebell_events');
    await without.stop();
    const server = await openServer(env);
    const client = await connect(server.wsUrl, { query: { lastEventId: id } });
    assert.equal((await client.next()).type, 'stream.ready');
    assert.equal((await client.nextEvent()).type, 'orders.reset');
    await client.close();
    await server.stop();
    await program.close();
  });

  test('a snapshot is all that was ever read of a table, and it is made anew while no server runs: its copy hears so', async () => {
    const program = await open('silent');
    const make = 'CREATE TABLE orders (id integer PRIMARY KEY)';
    await program.run(`${make}; INSERT INTO orders VALUES (1)`);
    const env = { DATABASE_URL: program.url, WATCH: 'orders' };
    const first = await openServer(env);
    const { rows, lastEventId } = (await get(`${first.url}/api/watch/orders`)).body;
    assert.deepEqual(rows, [{ id: 1 }]);
    assert.match(lastEventId, /-0$/, 'no event was ever logged');
    await first.stop();
    await program.run(`DROP TABLE orders; ${make}; INSERT INTO orders VALUES (2)`);
    const server = await openServer(env);
    const client = await connect(server.wsUrl, { query: { lastEventId } });
    assert.equal((await client.next()).type, 'stream.ready');
    assert.equal((await client.nextEvent()).type, 'orders.reset');
    await client.close();
    await server.stop();
    await program.close();
  });

  test('where nobody has watched a table for a while, its copies hear so, though no event of it was ever logged', async () => {
    const program = await open('paused');
    await program.run('CREATE TABLE orders (id integer PRIMARY KEY)');
    const env = { DATABASE_URL: program.url, WATCH: 'orders' };
    const first = await openServer(env);
    const { lastEventId } = (await get(`${first.url}/api/watch/orders`)).body;
    await first.stop();
    const without = await openServer({ DATABASE_URL: program.url });
    await program.run('INSERT INTO orders VALUES (1)');
    await without.stop();
    const server = await openServer(env);
    const client = await connect(server.wsUrl, { query: { lastEventId } });
    await client.next();
    assert.equal((await client.nextEvent()).type, 'orders.reset');
    const newest = (await get(`${server.url}/healthz`)).body.lastEventId;
    await client.close();
    await server.stop();
    const again = await openServer(env);
    assert.equal((await get(`${again.url}/healthz`)).body.lastEventId, newest, 'and once');
    await again.stop();
    await program.close();
  });

  test('odd names, keys of several columns and changes of the schema survive', async () => {
    const program = await open('odd');
    const odd = `"Odd ""näme's"" %41"`;
    const watch = `Odd "näme's" %41`;
    await program.run(
      `CREATE TABLE ${odd} ("A b" text, "ü" integer, "select" text, PRIMARY KEY ("ü", "A b"))`,
    );
    const env = { DATABASE_URL: program.url, WATCH: watch };
    let server = await openServer(env);
    let client = await connect(server.wsUrl);
    await client.next();
    await program.run(`INSERT INTO ${odd} VALUES ('x/ y,ß', 7, '1')`);
    const event = await client.nextEvent();
    assert.deepEqual(
      [event.type, event.source, event.data],
      [
        'odd__n_me_s___41.created',
        "/watch/Odd%20%22n%C3%A4me's%22%20%2541/7,x%2F%20y%2C%C3%9F",
        { 'A b': 'x/ y,ß', ü: 7, select: '1' },
      ],
    );
    await program.run(`UPDATE ${odd} SET "A b" = '${'ß€🔔'.repeat(100)}'`);
    const gone = await client.nextEvent();
    assert.deepEqual([gone.type, gone.source], ['odd__n_me_s___41.deleted', event.source]);
    const long = await client.nextEvent();
    assert.equal(long.source, event.source.replace(/x%2F.*/, encodeURIComponent('ß€🔔'.repeat(100))));
    assert.deepEqual((await get(`${server.url}/api${long.source}`)).body, long.data, 'and leads to its row');
    await program.run(`UPDATE ${odd} SET "A b" = '${'ß€🔔'.repeat(1000)}'`);
    assert.equal((await client.nextEvent()).source, long.source);
    const longer = await client.nextEvent();
    assert.ok(longer.source.length <= 8192 && longer.source.length > 4000, 'no room for more');
    assert.equal(
      longer.source.replace(/[^,]*,(%C3%9F%E2%82%AC%F0%9F%94%94)*/, '').length % 3,
      0,
      'in no escape',
    );
    await program.run(`UPDATE ${odd} SET "A b" = '${'ß€🔔'.repeat(100)}'`);
    for (const _ of [1, 2]) await client.nextEvent();
    await client.close();
    await server.stop();

    await program.run(`ALTER TABLE ${odd} ADD COLUMN t integer`); // as the rows are called where they are read
    await program.run(`ALTER TABLE ${odd} RENAME COLUMN "select" TO "renamed"`);
    await program.run(`ALTER TABLE ${odd} RENAME COLUMN "A b" TO "C d"`);
    server = await openServer(env);
    const types = ['created', 'deleted'].map((change) => `odd__n_me_s___41.${change}`).join();
    client = await connect(server.wsUrl, { query: { types } });
    await client.next();
    await program.run(`UPDATE ${odd} SET "C d" = 'a', t = 5`);
    assert.deepEqual((await client.nextEvent()).data, {
      'C d': 'ß€🔔'.repeat(100),
      ü: 7,
      renamed: '1',
      t: null,
    });
    const last = await client.nextEvent();
    assert.deepEqual(last.data, { 'C d': 'a', ü: 7, renamed: '1', t: 5 });
    assert.deepEqual(
      (await get(`${server.url}/api${last.source}`)).body,
      last.data,
      'one row is read as it is told',
    );
    const list = last.source.slice(0, last.source.lastIndexOf('/'));
    for (const key of ['7,a', '%2B7,a', '07,a', '%207,a', '7,%61'])
      assert.equal((await get(`${server.url}/api${list}/${key}`)).status, key === '7,a' ? 200 : 404, key);
    assert.deepEqual((await get(`${server.url}/api${list}`)).body.rows, [last.data], 'and so are all');
    await program.run(`DROP TABLE ${odd}`);
    for (const path of [list, last.source])
      assert.equal((await get(`${server.url}/api${path}`)).status, 404, 'a table that is gone');
    await client.close();
    await server.stop();
    await program.close();
  });

  test('a table that cannot be watched is one line that names it, and nothing is changed', async () => {
    const program = await open('refused');
    await program.run('CREATE TABLE keyless (a integer)');
    await program.run('CREATE TABLE good (id integer PRIMARY KEY)');
    await program.run('CREATE TABLE "a b" (id integer PRIMARY KEY)');
    await program.run('CREATE TABLE "a_b" (id integer PRIMARY KEY)');
    await program.run('CREATE VIEW seen AS SELECT * FROM good');
    const before = await program.fingerprint();
    const cases: [string, RegExp][] = [
      ['good,missing', /WATCH names "missing".*no such table.*(refused|upper)/],
      ['good,keyless', /"keyless".*no primary key/],
      ['seen', /"seen".*view|"seen".*not a table/],
      ['a b,a_b', /"a b" and "a_b".*a_b\.created/],
      ['changebell_events', /"changebell_events".*no table of an application/],
    ];
    // One after the other: at the same time they would wait for each other's locks, and on a busy machine for too long.
    for (const [watch, line] of cases)
      assert.match(await refusalToStart({ DATABASE_URL: program.url, WATCH: watch }), line);
    assert.deepEqual(await program.fingerprint(), before);
    await (await openStore({ DATABASE_URL: program.url })).close();
    assert.match(
      await refusalToStart({ DATABASE_URL: program.url, WATCH: 'customers' }),
      /"customers".*announced anyway/,
    );
    await program.close();
  });

  test('a customers table of another program is watched, and /api/customers is off', async () => {
    const program = await open('theirs');
    await program.run('CREATE TABLE customers (id integer PRIMARY KEY, full_name text)');
    assert.match(await refusalToStart({ DATABASE_URL: program.url }), /"customers".*WATCH/);
    const server = await openServer({ DATABASE_URL: program.url, WATCH: 'customers' });
    const client = await connect(server.wsUrl);
    await client.next();
    await program.run("INSERT INTO customers VALUES (1, 'Grace Hopper')");
    const { type, data } = await client.nextEvent();
    assert.deepEqual([type, data], ['customers.created', { id: 1, full_name: 'Grace Hopper' }]);
    for (const path of ['/api/customers', '/api/customers/1'])
      assert.equal((await get(server.url + path)).status, 404);
    assert.equal((await post(`${server.url}/api/customers`, { name: 'Ada' })).status, 404);
    const { body } = await post(`${server.url}/api/events`, { message: 'still here' });
    assert.deepEqual(await client.nextEvent(), body);
    await client.close();
    await server.stop();
    await program.close();
  });
}

test('every name of a table becomes a type of the right form', () => {
  const types = Object.fromEntries(
    describeWatched([
      'orders',
      'Übung',
      '2024',
      'stream',
      'customer',
      'заказы',
      'оплаты',
      'わ'.repeat(300),
      'Stream.x',
      'x'.repeat(300),
      '\ud800',
    ]).map(({ table, type, source }) => {
      assert.match(`${type}.created`, /^(?!stream\.|customer\.)[a-z][a-z0-9._-]{0,99}$/);
      assert.match(source, /^\/watch\/[!-~]{1,2000}$/);
      return [table, type];
    }),
  );
  assert.equal(types.orders, 'orders');
  assert.equal(types.stream, 't_stream');
  assert.equal(types['2024'], 't_2024');
  assert.equal(types.Übung, 't__bung');
  // Of one length, so that only the hash tells them apart; and it is the same at each start.
  assert.deepEqual([types.заказы, types.оплаты], ['t_______-c359203e', 't_______-46fb5136']);
});

const PATIENT = ['-cmd', '.timeout 5000']; // by itself the shell fails where the server writes at that moment

describe('SQLite', () => {
  const folder = temporaryFolder();
  const fileOf = (name: string) => join(folder, `${name}.db`);
  testWatch(async (name) => {
    const db = openDatabase(fileOf(name), { timeout: 5000 });
    return {
      url: fileOf(name),
      run: async (sql) => db.exec(sql),
      fingerprint: async () => db.pragma('schema_version'),
      close: async () => void db.close(),
    };
  });

  test('a key that is changed by another name of the row, or through a foreign key, is told as gone and made', async () => {
    const db = openDatabase(fileOf('cascade'));
    db.exec(`PRAGMA foreign_keys = ON; CREATE TABLE parent (id integer PRIMARY KEY);
      CREATE TABLE child (parent REFERENCES parent ON UPDATE CASCADE, no, PRIMARY KEY (parent, no)) WITHOUT ROWID;
      INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1)`);
    const server = await openServer({ DATABASE_URL: fileOf('cascade'), WATCH: 'parent,child' });
    const client = await connect(server.wsUrl);
    await client.next();
    db.exec('UPDATE parent SET rowid = 2; UPDATE child SET no = 1.0; UPDATE OR REPLACE child SET no = 1');
    const heard: string[] = [];
    for (const _ of range(1, 8)) {
      const { type, source } = await client.nextEvent();
      heard.push(`${type} ${source}`);
    }
    const [ofParent, ofChild] = ['parent', 'child'].map((table) =>
      heard.filter((line) => line.startsWith(`${table}.`)).map((line) => line.slice(table.length + 1)),
    );
    assert.deepEqual(ofParent, ['deleted /watch/parent/1', 'created /watch/parent/2']);
    assert.deepEqual(ofChild, [
      'deleted /watch/child/1,1',
      'created /watch/child/2,1',
      'deleted /watch/child/2,1',
      'created /watch/child/2,1.0',
      'deleted /watch/child/2,1.0',
      'created /watch/child/2,1',
    ]);
    await client.close();
    await server.stop();
    db.close();
  });

  test('a row that REPLACE pushes out is told as deleted, once, and no row that is still there ever is', async () => {
    const db = openDatabase(fileOf('replaced'), { timeout: 5000 });
    db.exec(`CREATE TABLE orders (id integer PRIMARY KEY, no text UNIQUE COLLATE NOCASE, a, b, sum AS (a + b), UNIQUE (sum, b));
      CREATE TABLE codes (code text COLLATE NOCASE PRIMARY KEY, more UNIQUE) WITHOUT ROWID;
      CREATE TRIGGER one_best BEFORE INSERT ON orders WHEN NEW.no = 'best' BEGIN
        UPDATE orders SET no = id WHERE no = 'best';
      END`);
    const server = await openServer({ DATABASE_URL: fileOf('replaced'), WATCH: 'orders,codes' });
    const client = await connect(server.wsUrl);
    await client.next();
    const hears = async (sql: string, ...expected: string[]) => {
      db.exec(sql);
      const { body: mark } = await post(`${server.url}/api/events`, { type: 'mark' });
      await client.event(mark.id);
      const heard = client
        .events()
        .map(({ type, source, data }) => `${type} ${source.split('/').at(-1)} ${data?.no ?? ''}`.trim());
      const since = heard.slice(heard.lastIndexOf('mark events', heard.length - 2) + 1, -1);
      assert.deepEqual(since.sort(), expected.sort(), sql);
    };
    await hears(
      "INSERT INTO orders (id, no) VALUES (1, 'a'), (2, 'b'), (3, 'c')",
      'orders.created 1 a',
      'orders.created 2 b',
      'orders.created 3 c',
    );
    await hears(
      "INSERT OR REPLACE INTO orders (no) VALUES ('A')",
      'orders.deleted 1 a',
      'orders.created 4 A',
    );
    await hears(
      "INSERT OR REPLACE INTO orders (id, no) VALUES (2, 'c')",
      'orders.deleted 3 c',
      'orders.created 2 c',
    );
    await hears(
      "UPDATE OR REPLACE orders SET no = 'a' WHERE id = 2",
      'orders.deleted 4 A',
      'orders.updated 2 a',
    );
    await hears("INSERT OR IGNORE INTO orders (id, no) VALUES (5, 'a')");
    await hears("INSERT INTO orders (id, no) VALUES (5, 'e')", 'orders.created 5 e');
    await hears(
      "INSERT INTO orders (id, no) VALUES (6, 'e') ON CONFLICT (no) DO UPDATE SET a = 1",
      'orders.updated 5 e',
    );
    await hears("REPLACE INTO orders (id, no) VALUES (5, 'e')", 'orders.created 5 e');
    await hears("INSERT INTO orders VALUES (7, 'best', 1, 2)", 'orders.created 7 best');
    await hears("INSERT INTO orders VALUES (8, 'best', 3, 4)", 'orders.updated 7 7', 'orders.created 8 best');
    await hears(
      'UPDATE OR REPLACE orders SET a = 1, b = 2 WHERE id = 8',
      'orders.deleted 7 7',
      'orders.updated 8 best',
    );
    await hears(
      'UPDATE OR REPLACE orders SET id = 2 WHERE id = 8',
      'orders.deleted 8 best',
      'orders.created 2 best',
    );
    db.pragma('recursive_triggers = ON');
    await hears("REPLACE INTO orders (id, no) VALUES (9, 'E')", 'orders.deleted 5 e', 'orders.created 9 E');
    db.pragma('recursive_triggers = OFF');
    await hears("INSERT INTO codes VALUES ('x', 1), ('y', 2)", 'codes.created x', 'codes.created y');
    await hears(
      "REPLACE INTO codes VALUES ('X', 2)",
      'codes.deleted x',
      'codes.deleted y',
      'codes.created X',
    );
    assert.throws(() => db.exec("INSERT INTO orders (no) VALUES ('E')"), /UNIQUE/);
    await hears(
      "INSERT OR IGNORE INTO codes VALUES ('z', 2); DELETE FROM codes; INSERT INTO codes VALUES ('z', 2)",
      'codes.deleted X',
      'codes.created z',
    );
    await client.close();
    await server.stop();
    db.close();
  });

  test('a row that gives way under an index of an expression, or of a part of the table, is told as deleted', async () => {
    const db = openDatabase(fileOf('expressions'), { timeout: 5000 });
    db.exec(`CREATE TABLE orders (id integer PRIMARY KEY, no text COLLATE NOCASE, "a, (b" text);
      CREATE UNIQUE INDEX one ON orders (lower("a, (b") DESC, abs(id) % 10 -- a comment, with a )
        ASC) WHERE no IN ('open', ('late')) -- and one at the end
      ;
      CREATE UNIQUE INDEX two ON orders (no) WHERE no = 'Best';
      CREATE UNIQUE INDEX three ON orders ((no || 'x') COLLATE BINARY) WHERE no LIKE 'X%'`);
    db.function('ours_alone', { deterministic: true }, (value) => value);
    db.exec('CREATE UNIQUE INDEX four ON orders (ours_alone(id))');
    const server = await openServer({ DATABASE_URL: fileOf('expressions'), WATCH: 'orders' });
    const client = await connect(server.wsUrl);
    await client.next();
    const hears = async (values: string, ...expected: string[]) => {
      db.exec(`INSERT OR REPLACE INTO orders VALUES ${values}`);
      const heard = [];
      for (const _ of expected) heard.push(await client.nextEvent());
      const lines = heard.map(({ type, source }) => `${type.slice(7)} ${source.split('/').at(-1)}`);
      assert.deepEqual(lines.sort(), expected.sort(), values);
    };
    await hears(
      "(1, 'open', 'A'), (2, 'done', 'a'), (3, 'late', 'a')",
      'created 1',
      'created 2',
      'created 3',
    );
    await hears("(11, 'LATE', 'a')", 'created 11', 'deleted 1');
    await hears("(13, 'done', 'a')", 'created 13');
    await hears("(14, 'best', NULL), (15, 'BEST', NULL)", 'created 14', 'deleted 14', 'created 15');
    await hears(
      "(16, 'x', NULL), (17, 'X', NULL), (18, 'x', 1)",
      'created 16',
      'created 17',
      'deleted 16',
      'created 18',
    );
    db.exec("UPDATE OR REPLACE orders SET \"a, (b\" = 'A', no = 'OPEN' WHERE id = 13");
    assert.deepEqual([(await client.nextEvent()).source, (await client.nextEvent()).source].sort(), [
      '/watch/orders/13',
      '/watch/orders/3',
    ]);
    await client.close();
    await server.stop();
    db.close();
  });

  test('a row that gives way under an index of an expression is told, however the index is written', async () => {
    const texts = [
      'CREATE UNIQUE INDEX one ON bills (lower(item)) ;',
      'CREATE UNIQUE INDEX one ON bills (lower(item))\n-- the last word (of all)\n;',
      'CREATE UNIQUE INDEX "one (1)" ON bills /* (so) */ (lower(item)) /* ) */ WHERE id > 0 ;',
      `CREATE UNIQUE INDEX one ON bills (lower(item) -- ${'-'.repeat(80)}\n, abs(id - id)) -- ${'-'.repeat(80)}\n`,
      `CREATE UNIQUE INDEX one -- ${'-'.repeat(80)}\n ON bills (lower(item)) WHERE (id + 1) > 0 /* ${'*'.repeat(80)} */`,
      'CREATE UNIQUE INDEX [one (1)] ON `bills`(lower(item)) WHERE (id > 0)\n',
    ];
    for (const [i, text] of texts.entries()) {
      const db = openDatabase(fileOf(`texts ${i}`));
      db.exec(`CREATE TABLE bills (id integer PRIMARY KEY, item text); ${text}`);
      const store = await openStore({ DATABASE_URL: fileOf(`texts ${i}`), WATCH: 'bills' });
      db.exec("INSERT INTO bills VALUES (1, 'a'); REPLACE INTO bills VALUES (2, 'A')");
      const { pruned } = await store.position();
      const { events } = await store.readEvents(pruned, 100, 100, 1000);
      const told = events.map(({ type, source }) => `${type} ${source.split('/').at(-1)}`);
      assert.deepEqual(told.sort(), ['bills.created 1', 'bills.created 2', 'bills.deleted 1'], text);
      db.close();
    }
  });

  test('what a server watched that was killed is announced for its lease, and then taken down by another', async () => {
    const DATABASE_URL = fileOf('lease');
    const db = openDatabase(DATABASE_URL, { timeout: 5000 });
    db.exec('CREATE TABLE a (id integer PRIMARY KEY); CREATE TABLE b (id integer PRIMARY KEY)');
    const killed = await startServer({ DATABASE_URL, WATCH: 'a' });
    await killed.kill9();
    const server = await openServer({ DATABASE_URL, WATCH: 'b' });
    const client = await connect(server.wsUrl);
    await client.next();
    db.exec('INSERT INTO a VALUES (1)');
    assert.equal((await client.nextEvent()).source, '/watch/a/1', 'its lease has not run out');
    const lease = db.prepare(
      "SELECT until - strftime('%s', 'now') FROM changebell_watching WHERE watched = 'a' AND server <> ''",
    );
    assert.ok(Number(lease.pluck().get()) > 30, 'a lease lasts longer than the time between two renewals');
    db.exec("UPDATE changebell_watching SET until = 0 WHERE watched = 'a'; CREATE TABLE any_change (x)");
    const left = db
      .prepare("SELECT count(*) FROM sqlite_schema WHERE name GLOB 'changebell_watch_a_*'")
      .pluck();
    await eventually(
      () => left.get(),
      (many) => many === 0,
      'the triggers of a are gone',
      1500,
    );
    db.exec('INSERT INTO a VALUES (2); INSERT INTO b VALUES (3)');
    assert.equal((await client.nextEvent()).source, '/watch/b/3', 'what nobody watches is not announced');
    await client.close();
    await server.stop();
    db.close();
  });

  test('a table that is altered, moved aside or made anew is watched as it is; one that is gone is a 404, and nothing else is', async () => {
    const db = openDatabase(fileOf('altered'), { timeout: 5000 });
    db.exec(
      'CREATE TABLE orders (id integer PRIMARY KEY, item); CREATE TABLE other (id integer PRIMARY KEY)',
    );
    const server = await openServer({ DATABASE_URL: fileOf('altered'), WATCH: 'orders,other' });
    const client = await connect(server.wsUrl);
    await client.next();
    const page = () => get(`${server.url}/api/watch/orders`);
    const isReset = async () => assert.equal((await client.nextEvent()).type, 'orders.reset');
    const find = db
      .prepare(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'orders' AND instr(sql, ?)",
      )
      .pluck();
    const isTold = async (column: string, insert: string, row: object, triggers = 4) => {
      await eventually(
        () => find.get(column),
        (many) => many === triggers,
        `triggers that know ${column}`,
        1500,
      );
      db.exec(insert);
      assert.deepEqual((await client.nextEvent()).data, row);
      assert.deepEqual((await page()).body.rows, [row]);
      db.exec('DELETE FROM orders');
      assert.deepEqual((await client.nextEvent()).data, row);
    };
    db.exec('ALTER TABLE orders ADD COLUMN more');
    await isReset();
    await isTold('more', 'INSERT INTO orders VALUES (1, 2, 3)', { id: 1, item: 2, more: 3 });
    db.exec('ALTER TABLE orders RENAME TO old_orders; CREATE TABLE orders (no integer PRIMARY KEY)');
    await isReset();
    await isTold('"no"', 'INSERT INTO orders VALUES (5)', { no: 5 });
    db.exec('PRAGMA legacy_alter_table = ON; CREATE UNIQUE INDEX one ON orders (no)');
    await isReset();
    await isTold('changebell_evicted', 'INSERT INTO orders VALUES (6)', { no: 6 }, 5);
    db.exec('ALTER TABLE orders RENAME TO older_orders; PRAGMA legacy_alter_table = OFF');
    const ours = db.prepare("SELECT count(*) FROM sqlite_schema WHERE name GLOB 'changebell_watch_orders_*'");
    await eventually(
      () => Number(ours.pluck().get()),
      (many) => many === 0,
      'no trigger is on the renamed table',
      1500,
    );
    db.exec(
      'INSERT INTO older_orders VALUES (1); CREATE TABLE orders (id integer PRIMARY KEY); DROP TABLE orders',
    );
    assert.equal((await page()).status, 404);
    assert.equal((await get(`${server.url}/api/customers`)).status, 200);
    db.exec('INSERT INTO other VALUES (1)');
    assert.equal((await client.nextEvent()).source, '/watch/other/1');
    db.exec('CREATE TABLE orders (id integer PRIMARY KEY, anew)');
    await isReset();
    await isTold('anew', 'INSERT INTO orders VALUES (7, 8)', { id: 7, anew: 8 });
    await client.close();
    await server.stop();
    db.close();
  });

  test('a copy of a table that is made anew while the server runs becomes what the table is', async () => {
    const db = openDatabase(fileOf('copied'), { timeout: 5000 });
    db.exec(
      "CREATE TABLE orders (id integer PRIMARY KEY, item); INSERT INTO orders VALUES (1, 'a'), (2, 'b')",
    );
    const server = await openServer({ DATABASE_URL: fileOf('copied'), WATCH: 'orders' });
    const copy = new LiveTable(`${server.url}/api/watch/orders`, { WebSocket });
    await copy.ready;
    // As SQLite's documentation has it for changes that ALTER TABLE can't make.
    db.exec(`BEGIN; CREATE TABLE new_orders (id integer PRIMARY KEY, item NOT NULL, price DEFAULT 5);
      INSERT INTO new_orders (id, item) SELECT id, item FROM orders WHERE id > 1; DROP TABLE orders;
      ALTER TABLE new_orders RENAME TO orders; COMMIT; INSERT INTO orders VALUES (3, 'c', 6)`);
    await eventually(
      () => [...copy.values()],
      (rows) => rows.length === 2 && rows.every(({ price }) => price > 0),
      'the copy has the new rows and no others',
      1500,
    );
    copy.close();
    await server.stop();
    db.close();
  });

  test('every kind of value that SQLite holds survives, written by the sqlite3 shell as well', async () => {
    const db = openDatabase(fileOf('kinds'));
    db.exec(`CREATE TABLE kinds (k text COLLATE NOCASE PRIMARY KEY, v, double AS (v || v), once integer DEFAULT 5) WITHOUT ROWID;
      CREATE TABLE wide (id integer PRIMARY KEY, ${Array.from({ length: 300 }, (_, i) => `c${i}`).join()})`);
    const server = await openServer({ DATABASE_URL: fileOf('kinds'), WATCH: 'KINDS,wide' });
    const client = await connect(server.wsUrl);
    await client.next();
    const values: [unknown, unknown][] = [
      [null, null],
      [0.1 + 0.2, 0.1 + 0.2],
      [1e300, 1e300],
      [5e-324, 5e-324],
      [-0.5, -0.5],
      [Number.POSITIVE_INFINITY, 'Infinity'],
      [Number.NEGATIVE_INFINITY, '-Infinity'],
      [9007199254740991n, 9007199254740991],
      [-9007199254740992n, '-9007199254740992'],
      [9223372036854775807n, '9223372036854775807'],
      ['{"json":[1]}', '{"json":[1]}'],
      ['\u0000\n\u2028🔔"\\', '\u0000\n\u2028🔔"\\'],
      ...['', 'a', 'ab', 'abc', 'abcd', '\0\xff\x80'].map((text): [unknown, unknown] => {
        const bytes = Buffer.from(text, 'latin1');
        return [bytes, bytes.toString('base64')];
      }),
    ];
    const insert = db.prepare('INSERT INTO kinds (k, v) VALUES (?, ?)');
    for (const [i, [value]] of values.entries()) insert.run(`key ${i}`, value);
    for (const [, expected] of values) assert.deepEqual((await client.nextEvent()).data.v, expected);
    db.exec("UPDATE kinds SET k = 'KEY 3' WHERE k = 'key 3'");
    const [gone, renamed] = [await client.nextEvent(), await client.nextEvent()];
    assert.deepEqual([gone.type, gone.source], ['kinds.deleted', '/watch/kinds/key%203']);
    assert.deepEqual([renamed.type, renamed.source], ['kinds.created', '/watch/kinds/KEY%203']);
    db.exec(`INSERT INTO kinds (k, v) VALUES (x'00ff', 'x')`);
    const { source, data } = await client.nextEvent();
    assert.deepEqual([source, data], ['/watch/kinds/00FF', { k: 'AP8=', v: 'x', double: 'xx', once: 5 }]);
    db.exec('INSERT INTO wide (id, c299) VALUES (1, 2)');
    assert.equal((await client.nextEvent()).data.c299, 2);
    const nested = '['.repeat(5000) + ']'.repeat(5000);
    db.prepare("UPDATE kinds SET v = ? WHERE k = 'key 1'").run(nested);
    assert.equal((await client.nextEvent()).data.v, nested);
    if (!skipWithout('/usr/bin/sqlite3', 'sqlite3')) {
      execFileSync('sqlite3', [
        ...PATIENT,
        fileOf('kinds'),
        "UPDATE kinds SET v = x'616263' WHERE k = 'key 2'",
      ]);
      assert.equal((await client.nextEvent()).data.v, 'YWJj');
    }
    await client.close();
    await server.stop();
    db.close();
  });

  test('a row whose key is a real has one place, whichever SQLite writes it, and no other row has that', async (t) => {
    if (skipWithout('/usr/bin/sqlite3', 'sqlite3')) return t.skip('sqlite3 is missing');
    const db = openDatabase(fileOf('reals'));
    db.exec('CREATE TABLE readings (at real PRIMARY KEY, v)');
    const server = await openServer({ DATABASE_URL: fileOf('reals'), WATCH: 'readings' });
    const client = await connect(server.wsUrl);
    await client.next();
    // Other versions of SQLite have only 15 digits when they CAST to TEXT: all that is written here is one moment to them.
    const times = [0.3, 0.1 + 0.2, 1732612345.123456, 1732612345.123457, 1e15, 1e300];
    execFileSync('sqlite3', [
      ...PATIENT,
      fileOf('reals'),
      `INSERT INTO readings VALUES ${times.map((at) => `(${at}, 1)`)}`,
    ]);
    const created = new Map<number, string>();
    for (const _ of times) {
      const { source, data } = await client.nextEvent();
      created.set(data.at, source);
    }
    assert.equal(new Set(created.values()).size, times.length, [...created.values()].join());
    db.exec('UPDATE readings SET v = 2');
    for (const _ of times) {
      const { source, data } = await client.nextEvent();
      assert.equal(source, created.get(data.at));
      assert.deepEqual((await get(`${server.url}/api${source}`)).body, data, source);
    }
    await client.close();
    await server.stop();
    db.close();
  });
});

describe('PostgreSQL', { skip: skipWithout(INITDB, 'postgresql') }, () => {
  let cluster: Cluster;
  const urls = new Map<string, string>();
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster?.stop());
  const open = async (name: string) => {
    const make = MADE_BY_START.includes(name) ? cluster.createDatabase : cluster.createStarted;
    const url = urls.get(name) ?? (await make(name));
    urls.set(name, url);
    return { url, client: await cluster.connect(name) };
  };
  testWatch(async (name) => {
    const { url, client } = await open(name);
    const schema = `SELECT oid::text FROM pg_trigger UNION ALL SELECT oid::text FROM pg_class
        UNION ALL SELECT oid || ' ' || xmin FROM pg_proc WHERE oid >= 16384 ORDER BY 1`;
    return {
      url,
      run: (sql) => client.query(sql),
      fingerprint: async () => (await client.query(schema)).rows,
      close: () => client.end(),
    };
  });

  test('a table is found on the search path of the server’s role, as in any statement', async () => {
    const { url, client: program } = await open('paths');
    await program.query(
      'CREATE SCHEMA bell; CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE bell.items (id int PRIMARY KEY)',
    );
    await program.query(
      'CREATE TABLE items (other int PRIMARY KEY); ALTER DATABASE paths SET search_path = bell, public',
    );
    const server = await openServer({ DATABASE_URL: url, WATCH: 'orders,items' });
    const client = await connect(server.wsUrl);
    await client.next();
    await program.query(
      'INSERT INTO public.items VALUES (1); INSERT INTO public.orders VALUES (2); INSERT INTO bell.items VALUES (3)',
    );
    const sources = [(await client.nextEvent()).source, (await client.nextEvent()).source];
    assert.deepEqual(sources, ['/watch/orders/2', '/watch/items/3']);
    assert.deepEqual((await get(`${server.url}/api/watch/orders`)).body.rows, [{ id: 2 }]);
    await client.close();
    await server.stop();
    assert.match(await refusalToStart({ DATABASE_URL: url, WATCH: 'pg_class' }), /no such table/);
    await program.end();
  });

  test('every kind of value that PostgreSQL holds survives, whatever the session of the writer is set to', async () => {
    const { url, client: program } = await open('kinds');
    await program.query(`CREATE SCHEMA sales; CREATE TABLE sales.kinds (id uuid PRIMARY KEY,
      big bigint, exact numeric, float float8, yes boolean, bytes bytea, moment timestamptz, day date, span interval,
      doc jsonb, raw json, list text[], sum bigint GENERATED ALWAYS AS (big) STORED)`);
    const server = await openServer({ DATABASE_URL: url, WATCH: 'sales.kinds' });
    const types = ['created', 'updated', 'deleted'].map((change) => `sales.kinds.${change}`).join();
    const client = await connect(server.wsUrl, { query: { types } });
    await client.next();
    await program.query(`SET TimeZone = 'Asia/Tokyo'; SET IntervalStyle = 'postgres_verbose'; SET DateStyle = 'German';
      SET bytea_output = 'escape'; SET extra_float_digits = -5; SET search_path = pg_catalog; SET synchronous_commit = off`);
    const id = '6f1c2b1e-0000-4000-8000-000000000001';
    await program.query(`INSERT INTO sales.kinds VALUES ('${id}', 9007199254740993, 12345678901234567.5, 0.1::float8 + 0.2,
      true, '\\x00ff10', '2026-01-01 10:00:00.123456+02', '2026-02-03', '1 day 2 hours', '{"a": [1, null]}', '{"a":1,"a":"\\ud83d\\udd14"}',
      '{x,"y z"}')`);
    const event = await client.nextEvent();
    assert.deepEqual([event.type, event.source], ['sales.kinds.created', `/watch/sales.kinds/${id}`]);
    const { moment, raw, ...rest } = event.data;
    assert.equal(new Date(moment).toISOString(), '2026-01-01T08:00:00.123Z');
    assert.deepEqual(raw, { a: '🔔' });
    assert.deepEqual(rest, {
      id,
      big: '9007199254740993',
      exact: '12345678901234567.5',
      float: 0.1 + 0.2,
      yes: true,
      bytes: 'AP8Q',
      day: '2026-02-03',
      span: 'P1DT2H',
      doc: { a: [1, null] },
      list: ['x', 'y z'],
      sum: '9007199254740993',
    });
    await program.query(`UPDATE sales.kinds SET big = 9007199254740991, exact = 'NaN', float = '-Infinity', moment = 'infinity',
      raw = '${'['.repeat(3000)}${']'.repeat(3000)}'`);
    const { big, exact, float, moment: never } = (await client.nextEvent()).data;
    assert.deepEqual([big, exact, float, never], [9007199254740991, 'NaN', '-Infinity', 'infinity']);
    // A column of type json holds what no function of PostgreSQL can take apart; the row is announced as it is.
    await program.query(`UPDATE sales.kinds SET raw = '["\\u0000","\\ud800"]'`);
    assert.deepEqual((await client.nextEvent()).data.raw, ['\u0000', '\ud800']);
    await program.query('UPDATE sales.kinds SET exact = exact, raw = raw');
    await program.query(`UPDATE sales.kinds SET exact = 1e-300, float = 1e300`);
    assert.equal((await client.nextEvent()).data.float, 1e300);

    // A column of text that only looks like that takes nothing from the others.
    // A program of long ago, whose session reads strings in another way.
    const { client: legacy } = await open('kinds');
    await legacy.query('SET standard_conforming_strings = off');
    await legacy.query(`UPDATE sales.kinds SET big = 1, raw = '["\\\\u00fc", 12345678901234567890]'`);
    assert.deepEqual((await client.nextEvent()).data.raw[0], 'ü');
    await legacy.end();
    await program.query(`ALTER TABLE sales.kinds ADD COLUMN note text; UPDATE sales.kinds SET raw = 'null',
      big = 9007199254740993, bytes = '\\x00', note = 'regex \\u0000 and \\\\ud800'`);
    const odd = (await client.nextEvent()).data;
    assert.deepEqual(
      [odd.big, odd.bytes, odd.note],
      ['9007199254740993', 'AA==', 'regex \\u0000 and \\\\ud800'],
    );
    await program.query('ALTER TABLE sales.kinds DROP COLUMN note');
    // One that held bytes may come back as something else.
    for (const [kind, value] of [
      ['boolean', true],
      ['text', '\\xabc'],
      ['jsonb', { a: 1 }],
    ] as const) {
      await program.query(`ALTER TABLE sales.kinds DROP COLUMN bytes, ADD COLUMN bytes ${kind}`);
      await program.query('UPDATE sales.kinds SET bytes = $1', [value]);
      assert.deepEqual((await client.nextEvent()).data.bytes, value);
    }

    // A column may go, and come, while it is watched: the writes of the application go on.
    await program.query(
      'ALTER TABLE sales.kinds DROP COLUMN bytes; ALTER TABLE sales.kinds ADD COLUMN extra int',
    );
    await program.query(
      'BEGIN; UPDATE sales.kinds SET extra = 1; ALTER TABLE sales.kinds ADD COLUMN later int; COMMIT',
    );
    const { bytes, extra } = (await client.nextEvent()).data;
    assert.deepEqual([bytes, extra], [undefined, 1]);
    await program.query('TRUNCATE sales.kinds');
    const gone = await client.nextEvent();
    assert.deepEqual([gone.type, gone.data.extra], ['sales.kinds.deleted', 1]);
    await client.close();
    await server.stop();
    await program.end();
  });

  test('rows that hand on their keys, within a statement or from one transaction to another, are all there in a copy', async () => {
    const { url, client: program } = await open('swapped');
    await program.query(`CREATE TABLE seats (a int, b text, who text, PRIMARY KEY (a, b) DEFERRABLE);
      INSERT INTO seats VALUES (1, 'x', 'Ada'), (2, 'x', 'Bob'), (3, 'x', 'Cy')`);
    const server = await openServer({ DATABASE_URL: url, WATCH: 'seats' });
    const table = new LiveTable(`${server.url}/api/watch/seats`, { WebSocket });
    await table.ready;
    let marks = 0;
    const marked = (table: LiveTable, key: string) =>
      new Promise((resolve) => {
        table.addEventListener('change', (change) => change.key === key && !change.row && resolve(key));
      });
    const shows = async (sql: string, seats: string) => {
      marks += 1;
      await program.query(`${sql}; INSERT INTO seats VALUES (0, '${marks}'); DELETE FROM seats WHERE a = 0`);
      await within(marked(table, `0,${marks}`), 'what comes after it');
      const shown = [...table].map(([key, { who }]) => `${key} ${who}`);
      assert.equal(shown.sort().join('; '), seats, sql);
    };
    await shows('UPDATE seats SET a = 3 - a WHERE a < 3', '1,x Bob; 2,x Ada; 3,x Cy');
    await shows('UPDATE seats SET a = a + 1', '2,x Bob; 3,x Ada; 4,x Cy');
    await shows('UPDATE seats SET a = a % 3 + 1', '1,x Ada; 2,x Cy; 3,x Bob');
    await shows(
      `BEGIN; SET CONSTRAINTS ALL DEFERRED; UPDATE seats SET a = 2 WHERE who = 'Ada';
       UPDATE seats SET a = 1 WHERE who = 'Cy'; COMMIT`,
      '1,x Cy; 2,x Ada; 3,x Bob',
    );
    await shows('UPDATE seats SET a = 9 WHERE a = 1', '2,x Ada; 3,x Bob; 9,x Cy');
    await shows(
      `BEGIN; SET CONSTRAINTS ALL DEFERRED; UPDATE seats SET a = 2 WHERE a = 3; UPDATE seats SET who = 'Al' WHERE who = 'Ada';
       UPDATE seats SET a = 9 WHERE who = 'Al'; DELETE FROM seats WHERE who = 'Cy'; COMMIT`,
      '2,x Bob; 9,x Al',
    );
    const other = await cluster.connect('swapped');
    for (const level of ['READ COMMITTED', 'REPEATABLE READ']) {
      await program.query('VACUUM seats'); // the younger row stands before the older one, on its page
      await program.query(`BEGIN ISOLATION LEVEL ${level}; SET CONSTRAINTS ALL DEFERRED`);
      await program.query("UPDATE seats SET a = 9 WHERE who = 'Bob'");
      await other.query("BEGIN; UPDATE seats SET a = 7 WHERE who = 'Al'");
      const taken = shows('COMMIT', '7,x Al; 9,x Bob'); // it waits for the other's
      await other.query('COMMIT');
      await taken;
      await shows('UPDATE seats SET a = CASE a WHEN 7 THEN 9 ELSE 2 END', '2,x Bob; 9,x Al');
    }
    await other.end();
    table.close();
    await server.stop();
    await program.end();
  });

  test('what a trigger of the application makes of a row in turn is what the answer says, and what copies end with', async () => {
    const { url, client: program } = await open('turns');
    await program.query('CREATE TABLE orders (id int PRIMARY KEY, name text, email text)');
    const server = await openServer({ DATABASE_URL: url, WATCH: 'orders' });
    await program.query(`CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'DELETE' AND OLD.name = 'stays' THEN EXECUTE format('INSERT INTO %s (id, name) VALUES (%s, %L)', TG_RELID::regclass, OLD.id, 'back');
        ELSIF TG_OP <> 'DELETE' AND NEW.name = 'goes' THEN EXECUTE format('DELETE FROM %s WHERE id = %s', TG_RELID::regclass, NEW.id);
        ELSIF TG_OP <> 'DELETE' THEN EXECUTE format($e$UPDATE %s SET email = name || '@x' WHERE id = %s AND email IS DISTINCT FROM name || '@x'$e$, TG_RELID::regclass, NEW.id);
        END IF; RETURN NULL; END $$;
      CREATE TRIGGER again AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION again();
      CREATE TRIGGER again AFTER INSERT OR UPDATE OR DELETE ON customers FOR EACH ROW EXECUTE FUNCTION again()`);
    const tables = ['watch/orders', 'customers'].map(
      (path) => new LiveTable(`${server.url}/api/${path}`, { WebSocket }),
    );
    await Promise.all(tables.map(({ ready }) => ready));
    const { body: made } = await post(`${server.url}/api/customers`, { name: 'Ada' });
    assert.equal(made.email, 'Ada@x');
    for (const table of ['orders', 'customers'])
      await program.query(`INSERT INTO ${table} (id, name) VALUES (2, 'Bob'), (3, 'goes'), (4, 'stays'), (5, 'Cy');
        UPDATE ${table} SET name = 'Al' WHERE id = 2; UPDATE ${table} SET name = 'goes' WHERE id = 5;
        DELETE FROM ${table} WHERE id = 4; INSERT INTO ${table} (id, name) VALUES (9, 'last')`);
    for (const table of tables) {
      const shown = () => [...table.values()].map(({ id, name, email }) => `${id} ${name} ${email}`).sort();
      await eventually(shown, (rows) => rows.at(-1) === '9 last last@x', 'the last row of it is told');
      assert.deepEqual(
        shown().filter((row) => row !== '1 Ada Ada@x'),
        ['2 Al Al@x', '4 back back@x', '9 last last@x'],
      );
      table.close();
    }
    await server.stop();
    await program.end();
  });

  test('a writer without any right on our tables is announced too', async () => {
    const { url, client: owner } = await open('rights');
    await owner.query(`CREATE TABLE orders (id integer PRIMARY KEY); CREATE ROLE clerk LOGIN PASSWORD 'hunter2';
      GRANT INSERT ON orders TO clerk`);
    const server = await openServer({ DATABASE_URL: url, WATCH: 'orders' });
    const stream = await connect(server.wsUrl);
    await stream.next();
    const clerk = await cluster.connect('rights', 'clerk');
    await clerk.query('INSERT INTO orders VALUES (1)');
    assert.equal((await stream.nextEvent()).source, '/watch/orders/1');
    await assert.rejects(clerk.query('DELETE FROM changebell_events'), /permission denied/);
    await Promise.all([clerk.end(), owner.end(), stream.close()]);
    await server.stop();
  });
});
