// What programs do to a watched table besides writing rows, while the server runs: at rest every copy is as its table
// is, and no writer fails. Each case has a table of its own, and all of an engine share one server.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { LiveTable } from '../../public/changebell.js';
import { connect, eventually, get, post, skipWithout, temporaryFolder, within } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';

/**
 * What is done to table `t`, which begins with the rows (1, 'a') and (2, 'b') of (id, item) unless it is made otherwise.
 * What stands in a second list is done when the copies have followed the first.
 */
type Case = { made?: (t: string) => string; done: (t: string) => string[]; later?: (t: string) => string[] };

const PLAIN = (t: string) =>
  `CREATE TABLE ${t} (id integer PRIMARY KEY, item text); INSERT INTO ${t} VALUES (1, 'a'), (2, 'b')`;
const LONG = 'x'.repeat(300);

const BOTH: Record<string, Case> = {
  'a column of the key gets another name, and rows are written under it at once': {
    done: (t) => [
      `ALTER TABLE ${t} RENAME COLUMN id TO "n o"`,
      `INSERT INTO ${t} VALUES (3, 'c')`,
      `UPDATE ${t} SET item = '${LONG.repeat(20)}' WHERE "n o" = 1`,
      `UPDATE ${t} SET item = 'short' WHERE "n o" = 1`,
    ],
  },
  'another column gets another name': { done: (t) => [`ALTER TABLE ${t} RENAME COLUMN item TO thing`] },
  'a column comes with a value for rows that are there': {
    done: (t) => [`ALTER TABLE ${t} ADD COLUMN more int DEFAULT 5`],
  },
  'a column goes, and rows are written at once': {
    done: (t) => [
      `ALTER TABLE ${t} DROP COLUMN item`,
      `INSERT INTO ${t} VALUES (3), (4)`,
      `UPDATE ${t} SET id = 5 WHERE id = 1`,
      `DELETE FROM ${t} WHERE id = 2`,
    ],
  },
  'another table is put in its place, and the old one is still written to': {
    done: (t) => [
      `BEGIN; CREATE TABLE ${t}_new (id integer PRIMARY KEY, item text); INSERT INTO ${t}_new SELECT * FROM ${t} WHERE id > 1;
       ALTER TABLE ${t} RENAME TO ${t}_old; ALTER TABLE ${t}_new RENAME TO ${t}; COMMIT`,
      `INSERT INTO ${t} VALUES (7, 'new')`,
    ],
    later: (t) => [`INSERT INTO ${t}_old VALUES (9, 'old')`, `INSERT INTO ${t} VALUES (8, 'newer')`],
  },
  'it is dropped, and made anew with another key': {
    done: (t) => [
      `DROP TABLE ${t}; CREATE TABLE ${t} (no text PRIMARY KEY)`,
      `INSERT INTO ${t} VALUES ('n')`,
    ],
  },
  'keys differ only behind their first 200 characters': {
    made: (t) => `CREATE TABLE ${t} (id text PRIMARY KEY)`,
    done: (t) => [
      `INSERT INTO ${t} VALUES ('${LONG}1'), ('${LONG}2'), ('${'é/'.repeat(150)}1'), ('${'é/'.repeat(150)}2')`,
    ],
  },
  'a row is written that conflicts with another one': {
    done: (t) => [
      `INSERT INTO ${t} VALUES (1, 'm'), (3, 'n') ON CONFLICT (id) DO UPDATE SET item = excluded.item`,
      `INSERT INTO ${t} VALUES (1, 'q') ON CONFLICT DO NOTHING`,
    ],
  },
};

const ON_SQLITE: Record<string, Case> = {
  'one of our triggers is dropped': {
    done: (t) => [`DROP TRIGGER changebell_watch_${t}_created`, `INSERT INTO ${t} VALUES (3, 'c')`],
  },
  'a row gives way under an index that was made in the same transaction': {
    done: (t) => [
      `BEGIN; CREATE UNIQUE INDEX one_${t} ON ${t} (item); REPLACE INTO ${t} VALUES (9, 'a'); COMMIT`,
    ],
  },
  'a trigger of the application, younger than ours, changes what was written': {
    done: (t) => [
      `CREATE TRIGGER again_${t} AFTER INSERT ON ${t} BEGIN UPDATE ${t} SET item = item || '+' WHERE id = NEW.id; END`,
      `INSERT INTO ${t} VALUES (3, 'c')`,
    ],
    later: (t) => [`INSERT INTO ${t} VALUES (4, 'd')`],
  },
  'columns go beside an index and a trigger of the application, and one comes back': {
    made: (t) => `CREATE TABLE ${t} (id integer PRIMARY KEY, item text, one int, two blob);
      CREATE UNIQUE INDEX u_${t} ON ${t} (item); CREATE UNIQUE INDEX l_${t} ON ${t} (lower(item)) WHERE id > 0; INSERT INTO ${t} VALUES (1, 'a', 1, x'00'), (2, 'b', 2, x'01');
      CREATE TRIGGER idle_${t} AFTER INSERT ON ${t} WHEN 0 BEGIN SELECT 1; END`,
    done: (t) => [
      `ALTER TABLE ${t} DROP COLUMN one; ALTER TABLE ${t} DROP COLUMN two`,
      `REPLACE INTO ${t} VALUES (3, 'b'); UPDATE ${t} SET item = 'c' WHERE id = 1`,
      `UPDATE OR REPLACE ${t} SET item = 'b' WHERE id = 1`,
      `ALTER TABLE ${t} ADD COLUMN two int; INSERT INTO ${t} VALUES (4, 'd', 4)`,
    ],
    later: (t) => [`DROP INDEX u_${t}; DROP INDEX l_${t}`, `INSERT INTO ${t} VALUES (5, 'd', 5)`],
  },
  'a row that refers to itself gets another key': {
    made: (t) => `CREATE TABLE ${t} (id integer PRIMARY KEY, up REFERENCES ${t} ON UPDATE CASCADE);
      INSERT INTO ${t} VALUES (1, 1)`,
    done: (t) => [`PRAGMA foreign_keys = ON; UPDATE ${t} SET id = 10`],
  },
  'a key becomes one that its collation calls equal, beside a trigger of the application': {
    made: (
      t,
    ) => `CREATE TABLE ${t} (id text COLLATE NOCASE PRIMARY KEY); INSERT INTO ${t} VALUES ('a'), ('b');
      CREATE TRIGGER idle_${t} AFTER INSERT ON ${t} WHEN 0 BEGIN SELECT 1; END`,
    done: (t) => [`UPDATE ${t} SET id = 'A' WHERE id = 'a'`],
  },
  'such a trigger deletes what was written, or writes again what was deleted': {
    made: (t) => `${PLAIN(t)}; CREATE TRIGGER any_${t} BEFORE DELETE ON ${t} BEGIN SELECT 1; END`,
    done: (t) => [
      `CREATE TRIGGER goes_${t} AFTER INSERT ON ${t} WHEN NEW.item = 'goes' BEGIN DELETE FROM ${t} WHERE id = NEW.id; END`,
      `CREATE TRIGGER went_${t} AFTER UPDATE ON ${t} WHEN NEW.item = 'goes' BEGIN DELETE FROM ${t} WHERE id = NEW.id; END`,
      `CREATE TRIGGER stays_${t} AFTER DELETE ON ${t} WHEN OLD.item = 'stays' BEGIN INSERT INTO ${t} VALUES (OLD.id, 'back'); END`,
    ],
    later: (t) => [
      `INSERT INTO ${t} VALUES (3, 'goes'), (4, 'stays')`,
      `UPDATE ${t} SET item = 'goes' WHERE id = 1`,
      `DELETE FROM ${t} WHERE id = 4`,
    ],
  },
};

const ON_POSTGRES: Record<string, Case> = {
  'its key gets another type': {
    done: (t) => [
      `ALTER TABLE ${t} ALTER id TYPE text USING 'k' || id`,
      `INSERT INTO ${t} VALUES ('z', 'c')`,
    ],
  },
  'the values of a column are made anew, of the type that they had': {
    done: (t) => [`ALTER TABLE ${t} ALTER item TYPE text USING upper(item)`],
  },
  'another column becomes the key': {
    done: (t) => [
      `ALTER TABLE ${t} DROP CONSTRAINT ${t}_pkey, ADD PRIMARY KEY (item)`,
      `INSERT INTO ${t} VALUES (1, 'c')`,
    ],
  },
  'it is without a key for a while': {
    done: (t) => [`ALTER TABLE ${t} DROP CONSTRAINT ${t}_pkey; INSERT INTO ${t} VALUES (1, 'c')`],
    later: (t) => [`ALTER TABLE ${t} ADD PRIMARY KEY (item); INSERT INTO ${t} VALUES (1, 'd')`],
  },
  'a column goes, and one of bytes comes': {
    done: (t) => [
      `ALTER TABLE ${t} DROP COLUMN item, ADD COLUMN more bytea DEFAULT '\\x00ff'`,
      `INSERT INTO ${t} VALUES (3, '\\x01')`,
    ],
  },
  'its triggers are off while a row is written': {
    done: (t) => [
      `ALTER TABLE ${t} DISABLE TRIGGER ALL; INSERT INTO ${t} VALUES (3, 'c'); ALTER TABLE ${t} ENABLE TRIGGER ALL`,
    ],
  },
  'its triggers are off, and nobody turns them on again': {
    done: (t) => [`ALTER TABLE ${t} DISABLE TRIGGER ALL`, `INSERT INTO ${t} VALUES (3, 'c')`],
    later: (t) => [`INSERT INTO ${t} VALUES (4, 'd')`],
  },
  'those of a partition are off while a row is written': {
    made: (t) => `CREATE TABLE ${t} (id int PRIMARY KEY, item text) PARTITION BY RANGE (id);
      CREATE TABLE ${t}_all PARTITION OF ${t} DEFAULT`,
    done: (t) => [
      `ALTER TABLE ${t}_all DISABLE TRIGGER ALL; INSERT INTO ${t} VALUES (3, 'c'); ALTER TABLE ${t}_all ENABLE TRIGGER ALL`,
      `INSERT INTO ${t} VALUES (4, 'd')`,
    ],
  },
  'our trigger is dropped': {
    done: (t) => [`DROP TRIGGER changebell_watch ON ${t}; INSERT INTO ${t} VALUES (3, 'c')`],
  },
  'it goes to another schema, and another is made': {
    done: (t) => [
      `CREATE SCHEMA s_${t}; ALTER TABLE ${t} SET SCHEMA s_${t}; CREATE TABLE ${t} (id int PRIMARY KEY)`,
    ],
    later: (t) => [`INSERT INTO s_${t}.${t} VALUES (5, 'aside'); INSERT INTO ${t} VALUES (6)`],
  },
  'a value of an enum gets another name': {
    made: (
      t,
    ) => `CREATE TYPE mood_${t} AS ENUM ('sad', 'ok'); CREATE TABLE ${t} (id int PRIMARY KEY, item mood_${t});
      INSERT INTO ${t} VALUES (1, 'sad')`,
    done: (t) => [`ALTER TYPE mood_${t} RENAME VALUE 'sad' TO 'blue'`],
  },
  'a table inherits from it': {
    done: (t) => [`CREATE TABLE ${t}_kid () INHERITS (${t}); INSERT INTO ${t}_kid VALUES (3, 'c')`],
  },
};

type Program = { run: (sql: string) => Promise<unknown>; count: (table: string) => Promise<number> };

/** `open` makes the database; its statements are those of another program. */
function testAltered(cases: Record<string, Case>, open: () => Promise<Program & { url: string }>): void {
  const all = Object.entries(cases).map(([name, one], i) => ({ name, table: `t${i}`, made: PLAIN, ...one }));
  const copies = new Map<string, LiveTable>();
  let server: OpenServer;
  let program: Program & { url: string };

  before(async () => {
    program = await open();
    for (const { made, table } of all) await program.run(made(table));
    server = await openServer({ DATABASE_URL: program.url, WATCH: all.map(({ table }) => table).join() });
    for (const { table } of all)
      copies.set(table, new LiveTable(`${server.url}/api/watch/${table}`, { WebSocket }));
    await Promise.all([...copies.values()].map(({ ready }) => ready));
    for (const { done, table } of all) for (const sql of done(table)) await program.run(sql);
  });
  after(async () => {
    for (const copy of copies.values()) copy.close();
    await server.stop();
  });

  /** Waits until the copy is what the table is, or the table one that can't be watched: in the end none is. */
  async function isRight(table: string, mayBeAway = true): Promise<void> {
    const sorted = (rows: Iterable<object>) => [...rows].map((row) => JSON.stringify(row)).sort();
    const look = async () => {
      const { status, body } = await get(`${server.url}/api/watch/${table}?limit=500`);
      if (status !== 200) return { status };
      const rows = sorted(body.rows);
      assert.equal(rows.length, await program.count(table), 'a snapshot is the table');
      return { status, rows, copy: sorted(copies.get(table)!.values()) };
    };
    const isSame = ({ status, rows, copy }: Awaited<ReturnType<typeof look>>) =>
      (status === 404 && mayBeAway) || (rows !== undefined && rows.join() === copy?.join());
    await eventually(look, isSame, `the copy of ${table} is as the table`, 2000);
  }

  for (const { name, table, later } of all)
    test(`a copy ends as its table where ${name}`, async () => {
      await isRight(table);
      for (const sql of later?.(table) ?? []) await program.run(sql);
      await isRight(table);
    });

  test('and stays so', async () => {
    for (const { table } of all) await isRight(table, false);
  });
}

describe('SQLite', () => {
  const url = join(temporaryFolder(), 'altered.db');
  const db = openDatabase(url, { timeout: 5000 });
  after(() => db.close());
  testAltered({ ...BOTH, ...ON_SQLITE }, async () => ({
    url,
    run: async (sql) => db.exec(sql),
    count: async (table) => Number(db.prepare(`SELECT count(*) FROM ${table}`).pluck().get()),
  }));

  test('two versions of the program on one file tell copies nothing when they put up their own texts in turn', async () => {
    const DATABASE_URL = join(temporaryFolder(), 'versions.db');
    const file = openDatabase(DATABASE_URL, { timeout: 5000 });
    file.exec(PLAIN('orders'));
    const server = await openServer({ DATABASE_URL, WATCH: 'orders' });
    const read = file.prepare<[], string>(
      "SELECT sql FROM sqlite_schema WHERE name = 'changebell_watch_orders_created'",
    );
    const ours = read.pluck().get()!;
    file.exec(
      `BEGIN; DROP TRIGGER changebell_watch_orders_created; ${ours.replace('WHEN 1', 'WHEN 2')}; COMMIT`,
    );
    await eventually(
      () => read.get(),
      (text) => text === ours,
      'our text is there again',
      2000,
    );
    assert.equal(file.prepare('SELECT count(*) FROM changebell_events').pluck().get(), 0);
    file.close();
    await server.stop();
  });

  test('a column that was dropped is in no event of its table, also before the server has looked', async () => {
    const DATABASE_URL = join(temporaryFolder(), 'dropped.db');
    const file = openDatabase(DATABASE_URL, { timeout: 5000 });
    file.exec('CREATE TABLE orders (id integer PRIMARY KEY, item text, gone int)');
    const server = await openServer({ DATABASE_URL, WATCH: 'orders' });
    const client = await connect(server.wsUrl);
    file.exec("ALTER TABLE orders DROP COLUMN gone; INSERT INTO orders VALUES (1, 'a')");
    file.exec("UPDATE orders SET item = 'a'; UPDATE orders SET item = 'b'; DELETE FROM orders");
    const told = [await client.nextEvent(), await client.nextEvent(), await client.nextEvent()];
    assert.deepEqual(
      told.map(({ type, data }) => [type, data]),
      [
        ['orders.created', { id: 1, item: 'a' }],
        ['orders.updated', { id: 1, item: 'b' }],
        ['orders.deleted', { id: 1, item: 'b' }],
      ],
    );
    await client.close();
    file.close();
    await server.stop();
  });

  test('a customer that gives way under an index that was made just now is gone from copies as well', async () => {
    const server = await openServer({ DATABASE_URL: join(temporaryFolder(), 'customers.db') });
    for (const name of ['Ada', 'Bob']) await post(`${server.url}/api/customers`, { name });
    const copy = new LiveTable(`${server.url}/api/customers`, { WebSocket });
    await copy.ready;
    const other = openDatabase(server.databaseFile, { timeout: 5000 });
    other.exec(
      `BEGIN; CREATE UNIQUE INDEX one ON customers (name); REPLACE INTO customers (name) VALUES ('Ada'); COMMIT`,
    );
    await eventually(
      () => [...copy.keys()].join(),
      (keys) => keys === '2,3',
      'the first one is gone',
      2000,
    );
    copy.close();
    other.close();
    await server.stop();
  });
});

describe('PostgreSQL', { skip: skipWithout(INITDB, 'postgresql') }, () => {
  let cluster: Cluster;
  after(() => cluster?.stop());
  testAltered({ ...BOTH, ...ON_POSTGRES }, async () => {
    cluster = await startCluster();
    const url = await cluster.createStarted('altered');
    const client = await cluster.connect('altered');
    const count = async (table: string) => {
      // Of a partitioned table there is nothing that would be its own.
      const only = `SELECT relkind FROM pg_class WHERE oid = '${table}'::regclass AND relkind = 'r'`;
      const { rowCount } = await client.query(only);
      return (await client.query(`SELECT count(*)::int AS it FROM ${rowCount ? 'ONLY' : ''} ${table}`))
        .rows[0].it;
    };
    return { url, run: (sql) => client.query(sql), count };
  });

  test('nobody who writes waits for us: what was missed is told when whoever holds the table has ended', async () => {
    const url = await cluster.createStarted('held');
    const [program, holder] = [await cluster.connect('held'), await cluster.connect('held')];
    await program.query(PLAIN('orders'));
    const server = await openServer({ DATABASE_URL: url, WATCH: 'orders' });
    const copy = new LiveTable(`${server.url}/api/watch/orders`, { WebSocket });
    await copy.ready;
    await program.query("ALTER TABLE orders DISABLE TRIGGER ALL; SET lock_timeout = '50ms'");
    await holder.query("BEGIN; INSERT INTO orders VALUES (0, 'held')");
    const reset = new Promise((resolve) => copy.stream.addEventListener('message', resolve, { once: true }));
    let id = 2;
    for (const end = performance.now() + 2500; performance.now() < end; await delay(10))
      await program.query('INSERT INTO orders VALUES ($1)', [++id]); // two looks at least, and it never fails
    assert.equal(copy.size, 2, 'while it is held nobody can hear of it');
    await holder.query('COMMIT');
    await within(reset, 'copies are told to begin anew', 3000);
    await program.query('INSERT INTO orders VALUES (-1)');
    await eventually(
      () => copy.size,
      (size) => size === id + 2,
      'the copy has all rows',
    );
    copy.close();
    await server.stop();
    await Promise.all([program.end(), holder.end()]);
  });
});
