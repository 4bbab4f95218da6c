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
  'its columns are named as what stands in our own statements': {
    made: (
      t,
    ) => `CREATE TABLE ${t} (id int PRIMARY KEY DEFERRABLE, gone text, now text, moved text, t text, this_row text, watched text, page text);
      INSERT INTO ${t} VALUES (1, 'a'), (2, 'b'), (3, 'c')`,
    done: (t) => [
      `UPDATE ${t} SET id = 5 - id WHERE id > 1`,
      `TRUNCATE ${t}; INSERT INTO ${t} VALUES (4, 'd')`,
    ],
  },
  'it is renamed, written to, and renamed back': {
    done: (t) => [
      `ALTER TABLE ${t} RENAME TO ${t}_x`,
      `INSERT INTO ${t}_x VALUES (3, 'c')`,
      `ALTER TABLE ${t}_x RENAME TO ${t}`,
      `INSERT INTO ${t} VALUES (4, 'd')`,
    ],
  },
  'it is dropped and made anew, the same, in one transaction': {
    done: (t) => [`BEGIN; DROP TABLE ${t}; ${PLAIN(t)}; DELETE FROM ${t} WHERE id = 1; COMMIT`],
  },
  'a column is computed, and then no more': {
    made: (t) =>
      `CREATE TABLE ${t} (id int PRIMARY KEY, item text, twice text GENERATED ALWAYS AS (item || item) STORED); INSERT INTO ${t} VALUES (1, 'a')`,
    done: (t) => [
      `UPDATE ${t} SET item = 'b'`,
      `ALTER TABLE ${t} ALTER twice DROP EXPRESSION; UPDATE ${t} SET twice = 'c'`,
    ],
  },
  'a transaction goes back to its savepoints': {
    done: (t) => [
      `BEGIN; INSERT INTO ${t} VALUES (3, 'c'); SAVEPOINT a; UPDATE ${t} SET item = 'z'; DELETE FROM ${t} WHERE id = 1; ROLLBACK TO a;
      INSERT INTO ${t} VALUES (4, 'd'); SAVEPOINT b; DELETE FROM ${t} WHERE id = 2; RELEASE b; ROLLBACK TO a; UPDATE ${t} SET item = 'y' WHERE id = 3; COMMIT`,
    ],
  },
  'rows come by replication': {
    done: (t) => [
      `SET session_replication_role = replica; INSERT INTO ${t} VALUES (3, 'c'); UPDATE ${t} SET id = 7 WHERE id = 1; DELETE FROM ${t} WHERE id = 2; TRUNCATE ${t}; INSERT INTO ${t} VALUES (5, 'e'); RESET session_replication_role`,
    ],
  },
  'it is written anew on the disk': {
    done: (t) => [
      `DELETE FROM ${t} WHERE id = 1`,
      `VACUUM FULL ${t}`,
      `VACUUM FREEZE ${t}`,
      `CLUSTER ${t} USING ${t}_pkey`,
      `INSERT INTO ${t} VALUES (3, 'c')`,
    ],
  },
  'its key has more columns in its index': {
    made: (t) =>
      `CREATE TABLE ${t} (id int, item text, PRIMARY KEY (id) INCLUDE (item)); INSERT INTO ${t} VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')`,
    done: (t) => [`UPDATE ${t} SET item = 'c' WHERE id = 1`, `DELETE FROM ${t} WHERE id = 2`],
  },
  'an attribute of a composite type gets another name': {
    made: (t) =>
      `CREATE TYPE c_${t} AS (a int, b text); CREATE TABLE ${t} (id int PRIMARY KEY, item c_${t}); INSERT INTO ${t} VALUES (1, (1, 'x'))`,
    done: (t) => [`ALTER TYPE c_${t} RENAME ATTRIBUTE b TO c`],
  },
  'an attribute comes to a composite type, inside an array': {
    made: (t) =>
      `CREATE TYPE c_${t} AS (a int, b text); CREATE TYPE d_${t} AS (deep c_${t}[]); CREATE TABLE ${t} (id int PRIMARY KEY, item d_${t}); INSERT INTO ${t} VALUES (1, ROW(ARRAY[(1, 'x')]::c_${t}[]))`,
    done: (t) => [`ALTER TYPE c_${t} ADD ATTRIBUTE c int`],
  },
  'a value of an enum inside an array or a domain gets another name': {
    made: (
      t,
    ) => `CREATE TYPE m_${t} AS ENUM ('sad', 'ok'); CREATE DOMAIN n_${t} AS m_${t}; CREATE TABLE ${t} (id int PRIMARY KEY, item m_${t}[], one n_${t});
      INSERT INTO ${t} VALUES (1, '{sad}', 'ok')`,
    done: (t) => [`ALTER TYPE m_${t} RENAME VALUE 'sad' TO 'blue'`],
  },
  'rows go with those that they refer to': {
    made: (
      t,
    ) => `CREATE TABLE p_${t} (id int PRIMARY KEY); INSERT INTO p_${t} VALUES (1), (2), (3); CREATE TABLE ${t} (id int PRIMARY KEY, up int REFERENCES p_${t} ON DELETE SET NULL ON UPDATE CASCADE, far int REFERENCES p_${t} ON DELETE CASCADE ON UPDATE CASCADE);
      INSERT INTO ${t} VALUES (1, 1, 2), (2, 2, 1), (3, 3, 3)`,
    done: (t) => [`DELETE FROM p_${t} WHERE id = 1; UPDATE p_${t} SET id = 9 WHERE id = 3`],
    later: (t) => [`TRUNCATE p_${t} CASCADE`, `INSERT INTO ${t} VALUES (5)`],
  },
  'one statement inserts, changes and deletes': {
    done: (t) => [
      `WITH a AS (INSERT INTO ${t} VALUES (3, 'c') RETURNING id), b AS (DELETE FROM ${t} WHERE id = 1) UPDATE ${t} SET id = 8, item = 'n' WHERE id = 2`,
    ],
  },
  'a row goes to another partition': {
    made: (t) =>
      `CREATE TABLE ${t} (id int, k int, item text, PRIMARY KEY (id, k)) PARTITION BY LIST (k); CREATE TABLE ${t}_1 PARTITION OF ${t} FOR VALUES IN (1); CREATE UNLOGGED TABLE ${t}_2 PARTITION OF ${t} FOR VALUES IN (2); INSERT INTO ${t} VALUES (1, 1, 'a'), (2, 1, 'b')`,
    done: (t) => [
      `UPDATE ${t} SET k = 2 WHERE id = 1`,
      `INSERT INTO ${t}_2 VALUES (3, 2, 'c')`,
      `DELETE FROM ${t} WHERE id = 2`,
    ],
  },
  'a trigger of the application changes rows before they are written': {
    made: (
      t,
    ) => `${PLAIN(t)}; CREATE FUNCTION f_${t}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.item := upper(NEW.item); NEW.id := NEW.id + 100; IF NEW.item = ''NO'' THEN RETURN NULL; END IF; RETURN NEW; END';
       CREATE TRIGGER zz BEFORE INSERT OR UPDATE ON ${t} FOR EACH ROW EXECUTE FUNCTION f_${t}()`,
    done: (t) => [`INSERT INTO ${t} VALUES (3, 'c'), (4, 'no'); UPDATE ${t} SET item = 'q' WHERE id = 1`],
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
      const pages: object[] = [];
      for (let next = `/api/watch/${table}?limit=2`; next; ) {
        const { status, body } = await get(server.url + next);
        if (status !== 200) return { status };
        pages.push(...body.rows);
        next = body.next;
      }
      const rows = sorted(pages);
      assert.equal(rows.length, await program.count(table), 'a snapshot is the table');
      return { status: 200, rows, copy: sorted(copies.get(table)!.values()) };
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

  test('a table that a crash of the database has emptied is empty in its copies, and so is a partition', async () => {
    const url = await cluster.createDatabase('crashed');
    const program = await cluster.connect('crashed');
    await program.query(`CREATE UNLOGGED TABLE carts (id int PRIMARY KEY); INSERT INTO carts VALUES (1), (2);
      CREATE TABLE sales (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE sales_1 PARTITION OF sales FOR VALUES IN (1);
      CREATE UNLOGGED TABLE sales_2 PARTITION OF sales FOR VALUES IN (2); INSERT INTO sales VALUES (1), (2)`);
    const server = await openServer({ DATABASE_URL: url, WATCH: 'carts,sales' });
    const copies = ['carts', 'sales'].map(
      (name) => new LiveTable(`${server.url}/api/watch/${name}`, { WebSocket }),
    );
    await Promise.all(copies.map(({ ready }) => ready));
    await cluster.crash();
    await cluster.restart();
    const keys = () => copies.map((copy) => [...copy.keys()].join()).join('; ');
    await eventually(keys, (all) => all === '; 1', 'what is left', 6000);
    for (const copy of copies) copy.close();
    await server.stop();
    await program.end();
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
