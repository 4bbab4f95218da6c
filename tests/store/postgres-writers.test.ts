// Programs beside us on one PostgreSQL: nothing of ours makes them wait, fail or obey, and whatever they do is told.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { Client } from 'pg';
import type { StoredEvent } from '../../lib/event.ts';
import { Hosts } from '../../lib/store/postgres-hosts.ts';
import { openPostgresStore } from '../../lib/store/postgres-store.ts';
import type { Order, Store } from '../../lib/store/store.ts';
import { eventually, range, skipWithout } from '../support/helpers.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';

/** Of the largest row; in the soak it is 280: as JSON, that is more than PostgreSQL can hold. */
const ROW_MB = Number(process.env.ROW_MB ?? 20);

describe('programs on one PostgreSQL', { skip: skipWithout(INITDB, 'postgresql') }, () => {
  let cluster: Cluster;
  let names = 0;
  before(async () => {
    cluster = await startCluster(['max_prepared_transactions=5', 'wal_level=logical']);
  });
  after(() => cluster?.stop());

  /** A database with these tables, a program on it, and a store that watches some of them. */
  async function open(
    sql: string,
    watch: string[],
    { isNew = false, ...more }: { isNew?: boolean; hasCustomers?: boolean; databaseUrl?: string } = {},
  ) {
    names += 1;
    const make = isNew || more.hasCustomers === false ? cluster.createDatabase : cluster.createStarted;
    const databaseUrl = await make(`beside_${names}`);
    const program = await cluster.connect(`beside_${names}`);
    await program.query(sql);
    const store = await openPostgresStore({
      databaseUrl,
      eventRetention: 1_000_000,
      watch: new Set(watch),
      ...more,
    });
    const close = async () => {
      await program.end();
      await store.close();
    };
    return { store, program, databaseUrl, name: `beside_${names}`, close };
  }

  /** All events, once there are so many. */
  async function events(store: Store, many: number): Promise<StoredEvent[]> {
    const read = async () => {
      const { pruned } = await store.position();
      return (await store.readEvents(pruned, 2 ** 52, 1_000_000, 2 ** 30)).events;
    };
    return eventually(read, (found) => found.length >= many, `${many} events are in the log`);
  }

  /** Every place in the log once, and what it tells of the customers is what they are. */
  async function isTold(store: Store, program: Client, why: string): Promise<void> {
    const { rows } = await program.query(
      "SELECT '/api/customers/' || id AS source, changebell_json(customers) AS json FROM customers",
    );
    const customers = new Map(rows.map(({ source, json }) => [source, json]));
    const drafts = () => program.query('SELECT FROM changebell_events WHERE seq < 0 LIMIT 1');
    await eventually(drafts, ({ rowCount }) => rowCount === 0, 'all is numbered');
    const told = await events(store, 0);
    assert.deepEqual(
      told.map(({ seq }) => seq),
      range(1, told.length),
    );
    const copy = new Map<string, string>();
    for (const { type, source, data } of told) {
      if (type === 'customer.deleted') copy.delete(source);
      else if (type.startsWith('customer.')) copy.set(source, data);
    }
    const last = told.slice(-6).map(({ seq, type, source }) => `${seq} ${type} ${source}`);
    assert.deepEqual([...copy].sort(), [...customers].sort(), `${why}: ${last}`);
  }

  const create = (name: string) => ({ op: 'create', fields: { name } }) as const;
  const publication = (type: string): Order => ({
    op: 'publish',
    events: [{ type, source: '/x', data: '1', extensions: null }],
    isList: false,
  });

  const types = (found: StoredEvent[]) => found.map(({ type }) => type);
  const orders = 'CREATE TABLE orders (id int PRIMARY KEY, item text)';

  test('a transaction that is prepared is told when it is committed, and passes over nothing before', async () => {
    const { store, program, close } = await open(orders, ['orders']);
    await program.query(
      "BEGIN; INSERT INTO orders VALUES (1, 'a'); INSERT INTO customers (name) VALUES ('a')",
    );
    await program.query("PREPARE TRANSACTION 'two phases'");
    await program.query("INSERT INTO orders VALUES (2, 'b')");
    assert.deepEqual(types(await events(store, 1)), ['orders.created']);
    await program.query("COMMIT PREPARED 'two phases'");
    assert.deepEqual(types(await events(store, 3)).slice(1), ['orders.created', 'customer.created']);
    await close();
  });

  test('rows that come by replication are told', async () => {
    const from = await startCluster(['wal_level=logical']);
    const publisher = await from.connect('postgres');
    await publisher.query(`${orders}; CREATE PUBLICATION all_orders FOR TABLE orders`);
    const { store, program, close } = await open(orders, ['orders']);
    await program.query(
      `CREATE SUBSCRIPTION taken CONNECTION '${from.url('postgres')}' PUBLICATION all_orders`,
    );
    const state = () => program.query('SELECT srsubstate FROM pg_subscription_rel');
    await eventually(state, ({ rows }) => rows[0]?.srsubstate === 'r', 'the subscription is ready');
    await publisher.query(
      "INSERT INTO orders VALUES (1, 'a'); UPDATE orders SET item = 'b'; DELETE FROM orders",
    );
    assert.deepEqual(types(await events(store, 3)), ['orders.created', 'orders.updated', 'orders.deleted']);
    await program.query('DROP SUBSCRIPTION taken');
    await publisher.end();
    await close();
    await from.stop();
  });

  test('a transaction left open, with deferred keys and a short lock timeout, meets no lock of ours', async () => {
    const { store, program, name, close } = await open(
      `CREATE TABLE parent (id int PRIMARY KEY, n text);
       CREATE TABLE child (id serial PRIMARY KEY, parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
       INSERT INTO parent VALUES (1), (2)`,
      ['parent', 'child'],
    );
    const other = await cluster.connect(name);
    await program.query('BEGIN; INSERT INTO child (parent) VALUES (1), (2)');
    await other.query("SET lock_timeout = '100ms'; BEGIN ISOLATION LEVEL SERIALIZABLE");
    await other.query("UPDATE parent SET n = 'x' WHERE id = 2; SET CONSTRAINTS ALL IMMEDIATE");
    const written = await store.write({ op: 'create', fields: { name: 'meanwhile', email: null } });
    assert.equal(written.isReplay, false);
    await other.query('COMMIT');
    await program.query('COMMIT');
    assert.deepEqual(types(await events(store, 4)).sort(), [
      'child.created',
      'child.created',
      'customer.created',
      'parent.updated',
    ]);
    await other.end();
    await close();
  });

  test('a bulk of rows is numbered in steps, in the order of its rows, and our writes go on meanwhile', async () => {
    const { store, program, close } = await open(orders, ['orders']);
    let isOver = false;
    const writes = (async () => {
      for (let n = 0; !isOver; n += 1)
        await store.write({ op: 'create', fields: { name: `${n}`, email: null } });
    })();
    await program.query("INSERT INTO orders SELECT i, 'x' FROM generate_series(1, 2500) AS i");
    const isNumbered = () =>
      program.query('SELECT count(*)::int AS many FROM changebell_events WHERE seq < 0');
    await eventually(isNumbered, ({ rows }) => rows[0].many === 0, 'all is numbered');
    isOver = true;
    await writes;
    const told = (await events(store, 2500)).filter(({ type }) => type === 'orders.created');
    assert.deepEqual(
      told.map(({ data }) => JSON.parse(data).id),
      range(1, 2500),
    );
    await close();
  });

  test('a list and its place are of one moment, whatever others commit', async () => {
    const { store, program, close } = await open('SELECT 1', []);
    for (const n of range(1, 20)) {
      await program.query(`INSERT INTO customers (name) VALUES ('${n}')`);
      const { rows, head } = (await store.readRows('customers', undefined, 100))!;
      assert.deepEqual([rows.length, head.seq], [n, n]);
    }
    await close();
  });

  test('a role that may create things runs nothing with our rights, and forges no event', async () => {
    const { store, program, name, close } = await open(
      `CREATE ROLE mallory LOGIN PASSWORD 'hunter2'; GRANT CREATE ON SCHEMA public TO mallory; GRANT CREATE ON SCHEMA public TO PUBLIC;
       SET ROLE mallory; CREATE TABLE mine (id int PRIMARY KEY, note text); RESET ROLE`,
      ['mine'],
    );
    const mallory: Client = await cluster.connect(name, 'mallory');
    await mallory.query(`CREATE TYPE evil AS ENUM ('x'); CREATE TABLE loot (who text);  GRANT INSERT ON loot TO PUBLIC;
      CREATE FUNCTION evil_json(evil) RETURNS json LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.loot VALUES (current_user); RETURN '1'; END $$;
      CREATE CAST (evil AS json) WITH FUNCTION evil_json(evil); ALTER TABLE mine ADD COLUMN e evil;
      INSERT INTO mine VALUES (1, 'a', 'x')`);
    assert.deepEqual((await mallory.query('SELECT * FROM loot')).rows, []);
    assert.equal((await events(store, 1))[0]!.data, '{"id":1,"note":"a","e":"x"}');
    assert.deepEqual((await store.readRows('mine', undefined, 10))!.rows, ['{"id":1,"note":"a","e":"x"}']);
    assert.deepEqual((await mallory.query('SELECT * FROM loot')).rows, []);
    const { rows } = await program.query(
      "SELECT proname AS name FROM pg_proc WHERE proname LIKE 'changebell%' AND prorettype = 'trigger'::regtype",
    );
    for (const { name: call } of rows) {
      const forge = `CREATE TRIGGER forge AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION ${call}('customer.created')`;
      await assert.rejects(mallory.query(forge), /permission denied/, call);
    }
    await mallory.end();
    await close();
  });

  test('a session that claims to number as our own writes do gives no event a place, and its changes are told', async () => {
    const { store, program, name, close } = await open("CREATE ROLE eve LOGIN PASSWORD 'hunter2'", []);
    await program.query('GRANT INSERT ON customers, changebell_events TO eve');
    const eve = await cluster.connect(name, 'eve');
    await eve.query("SET changebell.numbering = 'on'");
    await assert.rejects(eve.query('INSERT INTO changebell_events (seq) VALUES (1000)'), /leave seq out/);
    await program.query('BEGIN; SELECT pg_advisory_xact_lock(1130918254, 1)'); // as while a server numbers
    await eve.query("INSERT INTO customers (name) VALUES ('a')");
    await program.query('COMMIT');
    await eve.query("INSERT INTO customers (name) VALUES ('b')");
    assert.deepEqual((await events(store, 2)).map(({ source }) => source).sort(), [
      '/api/customers/1',
      '/api/customers/2',
    ]);
    await eve.end();
    await close();
  });

  test('rows that a trigger of an application deletes and makes anew beside ours are told as they are', async () => {
    const { store, program, close } = await open('', []);
    await program.query(`CREATE FUNCTION count_them() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM customers WHERE id = 100;
        INSERT INTO customers (id, name) VALUES (100, 'those who came');
        RETURN NEW; END $$;
      CREATE TRIGGER count_them AFTER INSERT ON customers FOR EACH ROW WHEN (NEW.name = 'new') EXECUTE FUNCTION count_them();
      CREATE TRIGGER count_them BEFORE INSERT ON changebell_events FOR EACH ROW WHEN (NEW.type = 'lead') EXECUTE FUNCTION count_them();
      INSERT INTO customers (id, name) VALUES (100, 'none')`);
    await store.write(create('new'));
    await isTold(store, program, 'after a creation');
    await store.write(publication('lead'));
    await isTold(store, program, 'after a publication');
    await close();
  });

  test('a role that claims to number as our own writes do can’t have what it does told in another order', async () => {
    const { store, program, name, close } = await open("CREATE ROLE ivan LOGIN PASSWORD 'hunter2'", []);
    await program.query('GRANT SELECT, INSERT, DELETE ON customers TO ivan');
    const ivan = await cluster.connect(name, 'ivan');
    await ivan.query(`SET changebell.numbering = 'on'; BEGIN; INSERT INTO customers (id, name) VALUES (5, 'a');
      DELETE FROM customers; INSERT INTO customers (id, name) VALUES (5, 'b'); COMMIT`);
    await isTold(store, program, 'ivan');
    await ivan.end();
    await close();
  });

  test('customers whose ids come once more, since a program has emptied the table, are told after those before them', async () => {
    const { store, program, close } = await open('', []);
    for (const ms of [4, 8, 12, 16]) {
      await store.write(create('before'));
      await program.query('BEGIN; TRUNCATE customers RESTART IDENTITY');
      const writing = store.write(create('after'));
      await delay(ms); // the creation waits for 20
      await program.query('COMMIT');
      await writing;
      await isTold(store, program, `TRUNCATE, ${ms} ms`);
    }
    await program.query("INSERT INTO customers (name) SELECT 'one of many' FROM generate_series(1, 10000)");
    await program.query(`BEGIN; DELETE FROM customers WHERE id > 10; DELETE FROM customers;
      ALTER SEQUENCE customers_id_seq RESTART; COMMIT`);
    await Promise.all(range(1, 5).map(() => store.write(create('after'))));
    await isTold(store, program, 'DELETE');
    await close();
  });

  test('a constraint that is checked late is so for each write of a batch', async () => {
    const { store, program, close } = await open('', []);
    await program.query(`CREATE TABLE parents (id bigint PRIMARY KEY);
      CREATE TABLE children (id bigint REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
      CREATE FUNCTION child_first() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO children VALUES (NEW.id); INSERT INTO parents VALUES (NEW.id); RETURN NULL; END $$;
      CREATE TRIGGER child_first AFTER INSERT ON customers FOR EACH ROW EXECUTE FUNCTION child_first()`);
    const alone = { ...create('alone'), idempotency: { key: 'k', request: 'r' } };
    await Promise.all([store.write(create('together')), store.write(alone)]);
    await isTold(store, program, 'both');
    await close();
  });

  test('what was committed before a write of ours comes before it', async () => {
    const { store, program, close } = await open('', []);
    const event = { type: 'ours', source: '/x', data: '1', extensions: null };
    for (const _ of range(1, 10)) {
      await program.query("INSERT INTO customers (name) VALUES ('a')");
      await store.write({ op: 'publish', events: [event], isList: false });
    }
    const expected = range(1, 10).flatMap(() => ['customer.created', 'ours']);
    assert.deepEqual(types(await events(store, 20)), expected);
    await close();
  });

  test('what a trigger of an application makes of an event of ours has its form, or is refused alone', async () => {
    // A start mends the form of a table that is there: here it is that of a new one.
    const { store, program, close } = await open('', [], { isNew: true });
    await program.query(`CREATE FUNCTION garble() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.data := 'no JSON'; RETURN NEW; END $$;
      CREATE TRIGGER garble BEFORE INSERT ON changebell_events FOR EACH ROW WHEN (NEW.type = 'bad') EXECUTE FUNCTION garble()`);
    const publish = (type: string) =>
      store.write({
        op: 'publish',
        events: [{ type, source: '/x', data: '1', extensions: null }],
        isList: false,
      });
    const results = await Promise.allSettled(['good', 'bad', 'good'].map(publish));
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(
      (await events(store, 2)).map(({ seq, data }) => [seq, data]),
      [1, 2].map((seq) => [seq, '1']),
    );
    await close();
  });

  test('an id that was given by hand while our triggers were off is stepped over as well', async () => {
    const { store, program, close } = await open('', []);
    await program.query(`ALTER TABLE customers DISABLE TRIGGER changebell_customer_created; INSERT INTO customers (id, name) VALUES (1, 'by hand');
      ALTER TABLE customers ENABLE TRIGGER changebell_customer_created`);
    const writing = store.write({ op: 'create', fields: { name: 'next' } });
    await assert.doesNotReject(writing);
    assert.equal(JSON.parse((await writing).json).id, 2);
    await close();
  });

  test('ids that are given by hand one after the other while we create refuse nobody', async () => {
    const { store, program, name, close } = await open('', []);
    const others = await Promise.all(range(1, 3).map(() => cluster.connect(name)));
    for (const round of range(0, 4)) {
      const next = 1 + Number((await program.query('SELECT max(id) FROM customers')).rows[0].max);
      for (const [i, other] of others.entries())
        await other.query(`BEGIN; INSERT INTO customers (id, name) VALUES (${next + i}, 'by hand')`);
      const writing = store.write(create('ours'));
      for (const other of others) {
        await delay(4 + round); // it waits for 20
        await other.query('COMMIT');
      }
      await assert.doesNotReject(writing);
    }
    for (const other of others) await other.end();
    await close();
  });

  test('a program that writes on while a newer version starts is not ended by it', async () => {
    const { store, program, databaseUrl, name, close } = await open(orders, ['orders']);
    const other = await cluster.connect(name);
    await other.query(`ALTER TABLE changebell_events DROP CONSTRAINT changebell_form,
      ADD CONSTRAINT changebell_form CHECK (seq > 0 OR length(source) <= 8192)`);
    await other.query("BEGIN; INSERT INTO customers (name) VALUES ('a')");
    const starting = openPostgresStore({ databaseUrl, eventRetention: 1000, watch: new Set(['orders']) });
    await delay(400); // by now it waits for the log
    await other.query("INSERT INTO orders VALUES (1, 'a'); COMMIT");
    await (await starting).close();
    await isTold(store, program, 'after the start');
    await other.end();
    await close();
  });

  test('operators and functions that another role has made in our schema are never taken for those of PostgreSQL', async () => {
    const trap = (name: string, args: string) =>
      `CREATE FUNCTION public.${name}(${args}) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped by ${name}'; END $$;`;
    const operators = [
      ...['->', '->>', '?', '?|', '-', '||', '='].map((name) => ['jsonb', name, 'text[]']),
      ...['->', '->>', '?', '-'].map((name) => ['jsonb', name, 'jsonb']),
      ['oid', '=', 'regclass'],
      ['oid', '=', 'regproc'],
      ['name', '~~', 'name'],
    ].map(
      ([left, name, right], i) => `${trap(`trap_${i}`, `${left}, ${right}`)}
        DO $$ BEGIN CREATE OPERATOR public.${name} (LEFTARG = ${left}, RIGHTARG = ${right}, FUNCTION = trap_${i}); END $$;`,
    );
    const functions = [
      'quote_ident(name)',
      'unnest(text[])',
      'has_table_privilege(regclass, text)',
      'to_json(text)',
    ];
    const traps = functions.map((one) => trap(...(one.slice(0, -1).split('(') as [string, string])));
    const { store, close } = await open(
      `CREATE TABLE orders (id int PRIMARY KEY, item text); INSERT INTO orders VALUES (1, 'a'); ${operators.join(' ')} ${traps.join(' ')}`,
      ['orders'],
    );
    const idempotency = { key: 'k', request: 'r' };
    const event = { type: 'x', source: '/x', data: '1', extensions: null };
    for (const order of [
      create('plain'),
      { ...create('with a key'), idempotency },
      { op: 'update', id: 1, fields: { email: 'a@b' } },
      { op: 'delete', id: 1, preconditions: { ifMatch: ['*'] } },
      { op: 'publish', events: [event], isList: false },
      { op: 'publish', events: [event, event], isList: true, idempotency: { key: 'l', request: 'r' } },
    ] as Order[])
      await assert.doesNotReject(store.write(order), order.op);
    await store.readRows('customers', undefined, 10);
    assert.equal((await store.readRows('orders', undefined, 10))!.rows.length, 1);
    await events(store, 7);
    await close();
  });

  test('a key of a domain is read without running its check, which another role may have written', async () => {
    const { store, program, close } = await open(
      `CREATE TABLE ran (who text);
       CREATE FUNCTION spy(n int) RETURNS boolean LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO public.ran VALUES (current_user); RETURN true; END $$;
       CREATE DOMAIN inner_key AS int CHECK (spy(VALUE)); CREATE DOMAIN outer_key AS inner_key;
       CREATE TABLE keyed (id outer_key PRIMARY KEY); INSERT INTO keyed VALUES (1), (2); TRUNCATE ran`,
      ['keyed'],
    );
    assert.equal(await store.readRow('keyed', '2'), '{"id":2}');
    const { last } = (await store.readRows('keyed', undefined, 1))!;
    assert.deepEqual((await store.readRows('keyed', last, 1))!.rows, ['{"id":2}']);
    assert.deepEqual((await program.query('SELECT * FROM ran')).rows, []);
    await close();
  });

  test('pages by a key of an extension’s type are in the order of its index, wherever its operators are', async () => {
    const { store, close } = await open(
      `CREATE SCHEMA elsewhere; CREATE EXTENSION citext SCHEMA elsewhere;
       CREATE TABLE named (name elsewhere.citext PRIMARY KEY); INSERT INTO named VALUES ('D'), ('b'), ('C'), ('a');
       CREATE TABLE mixed (tenant int, name elsewhere.citext, PRIMARY KEY (tenant, name));
       INSERT INTO mixed VALUES (2, 'a'), (1, 'D'), (1, 'b'), (1, 'C'), (1, 'a')`,
      ['named', 'mixed'],
    );
    for (const [table, names] of [
      ['named', 'abCD'],
      ['mixed', 'abCDa'],
    ] as const) {
      let seen = '';
      for (let last: string | undefined, more = true; more; ) {
        const page = (await store.readRows(table, last, 1))!;
        seen += page.rows.map((row) => JSON.parse(row).name).join('');
        [last, more] = [page.last, page.hasMore && seen.length < 10];
      }
      assert.equal(seen, names);
    }
    await close();
  });

  test('a row over 1 MiB is told by its key, and its writer doesn’t fail, however large it is', async () => {
    const { store, program, close } = await open(orders, ['orders']);
    await program.query(
      `INSERT INTO orders VALUES (1, repeat('x', 1048000)), (2, repeat('x', 1048576)), (3, repeat('x', ${ROW_MB} * 1000000))`,
    );
    const told = await events(store, 3);
    assert.ok(told[0]!.data.length > 1_048_000);
    assert.deepEqual(
      told.slice(1).map(({ data, extensions, source }) => [source, data, extensions]),
      [2, 3].map((id) => [`/watch/orders/${id}`, `{"id":${id}}`, '{"truncated":true}']),
    );
    await close();
  });

  test('a large row that PostgreSQL can’t make JSON of is told by its key, and its writer doesn’t fail', async () => {
    const { store, program, close } = await open(
      `CREATE TYPE mood AS ENUM ('sad');
       CREATE FUNCTION fails(mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RAISE 'no JSON'; END $$;
       CREATE CAST (mood AS json) WITH FUNCTION fails(mood); CREATE TABLE orders (id int PRIMARY KEY, mood mood, item bytea)`,
      ['orders'],
    );
    await program.query(`INSERT INTO orders
      SELECT 1, 'sad', string_agg(sha512(n::text::bytea), '') FROM generate_series(1, 1100) AS n`);
    const [told] = await events(store, 1);
    assert.deepEqual([told!.data, told!.extensions], ['{"id":1}', '{"truncated":true}']);
    await close();
  });

  test('two servers that watch different tables both go on; what nobody watches any more goes silent', async () => {
    const { store, program, databaseUrl, close } = await open(
      `${orders}; CREATE TABLE bills (id int PRIMARY KEY)`,
      ['orders'],
    );
    const two = await openPostgresStore({ databaseUrl, eventRetention: 1000, watch: new Set(['bills']) });
    await program.query("INSERT INTO orders VALUES (1, 'a'); INSERT INTO bills VALUES (1)");
    assert.deepEqual(types(await events(store, 2)), ['orders.created', 'bills.created']);
    await two.close();
    const three = await openPostgresStore({ databaseUrl, eventRetention: 1000, watch: new Set() });
    await program.query("INSERT INTO bills VALUES (2); INSERT INTO orders VALUES (2, 'b')");
    assert.deepEqual(types(await events(store, 3)).slice(2), ['orders.created']);
    await three.close();
    await close();
  });

  test('a right that is missing to put triggers up is a refusal that names it; to drop them, they are idle, and a line says so', async (t) => {
    await cluster.createDatabase('clerks');
    const program = await cluster.connect('clerks');
    await program.query(
      `CREATE ROLE clerk LOGIN PASSWORD 'hunter2'; GRANT CREATE ON SCHEMA public TO clerk; ${orders}`,
    );
    const databaseUrl = cluster.url('clerks', 'clerk');
    const start = (...watch: string[]) =>
      openPostgresStore({ databaseUrl, eventRetention: 1000, watch: new Set(watch) });
    await assert.rejects(
      start('orders'),
      /"orders", but .*GRANT SELECT, TRIGGER ON public\.orders TO clerk\.$/,
    );
    await program.query('GRANT SELECT, TRIGGER ON orders TO clerk');
    const watching = await start('orders');
    await program.query("INSERT INTO orders VALUES (1, 'a')");
    // Row security that holds for us: the row can't be looked up again, and what a TRUNCATE takes can't be read.
    await program.query(`ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
      CREATE FUNCTION idle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
      CREATE TRIGGER a_idle AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION idle()`);
    await program.query("UPDATE orders SET item = 'c'");
    await program.query('TRUNCATE orders; DROP TRIGGER a_idle ON orders');
    assert.deepEqual(types(await events(watching, 2)), ['orders.created', 'orders.updated']);
    await watching.close();
    const { mock } = t.mock.method(console, 'log', () => {});
    const store = await start();
    const [line] = mock.calls.map((call) => String(call.arguments[0]));
    const [, drop] = /^public\.orders is no longer watched.*they are idle\. (.*;) removes them/.exec(line!)!;
    await program.query("INSERT INTO orders VALUES (2, 'b')");
    await store.write({ op: 'create', fields: { name: 'after', email: null } });
    assert.deepEqual(types(await events(store, 3)), ['orders.created', 'orders.updated', 'customer.created']);
    await program.query(drop!);
    const left = "SELECT FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND NOT tgisinternal";
    assert.equal((await program.query(left)).rowCount, 0);
    await Promise.all([store.close(), program.end()]);
  });

  test('TRUNCATE of a partition tells its rows as gone, once', async () => {
    const { store, program, close } = await open(
      `CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
       CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10);
       CREATE TABLE high PARTITION OF parts FOR VALUES FROM (10) TO (20); INSERT INTO parts VALUES (1), (11)`,
      ['parts'],
    );
    await program.query('INSERT INTO low VALUES (2)');
    await program.query('TRUNCATE low');
    await program.query('TRUNCATE parts');
    const told = await events(store, 4);
    assert.deepEqual(
      told.map(({ type, source }) => `${type} ${source}`),
      [
        'created /watch/parts/2',
        'deleted /watch/parts/1',
        'deleted /watch/parts/2',
        'deleted /watch/parts/11',
      ].map((line) => `parts.${line}`),
    );
    await close();
  });

  test('TRUNCATE takes rows that its transaction does not see: copies are told to load again', async () => {
    const { store, program, close } = await open(orders, ['orders']);
    await program.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
    const other = await cluster.connect(program.database!);
    await other.query("INSERT INTO orders VALUES (1, 'unseen')");
    await program.query('TRUNCATE orders; COMMIT');
    await other.query("INSERT INTO orders VALUES (2, 'a'); TRUNCATE orders");
    assert.deepEqual(
      (await events(store, 4)).map(({ type, source }) => `${type} ${source}`),
      [
        'created /watch/orders/1',
        'reset /watch/orders/*',
        'created /watch/orders/2',
        'deleted /watch/orders/2',
      ].map((line) => `orders.${line}`),
    );
    await Promise.all([other.end(), close()]);
  });

  test('a table of a schema that has the name which ours has in our texts is watched as any other', async () => {
    const { store, program, close } = await open(
      'CREATE SCHEMA bell; CREATE TABLE bell.orders (id int PRIMARY KEY, item text)',
      ['bell.orders'],
    );
    await program.query("INSERT INTO bell.orders VALUES (1, 'a')");
    const [{ type, source } = {}] = await events(store, 1);
    assert.deepEqual([type, source], ['bell.orders.created', '/watch/bell.orders/1']);
    const row = '{"id":1,"item":"a"}';
    assert.equal(await store.readRow('bell.orders', '1'), row);
    assert.deepEqual((await store.readRows('bell.orders', undefined, 1))!.rows, [row]);
    await close();
  });

  test('without customers no such table is made', async () => {
    const { store, program, close } = await open(orders, ['orders'], { hasCustomers: false });
    assert.equal(store.hasCustomers, false);
    assert.equal((await program.query("SELECT to_regclass('customers') AS it")).rows[0].it, null);
    await close();
  });
});

test('a URL with several hosts is one for each, and who turns away from one ends on the next', async () => {
  const hosts = new Hosts('postgres://u:a,b@one:1,two,three/db?x=1,2');
  const reach = () =>
    hosts.attempt(async (url) => {
      await nextTurn(); // both are on their way to the first one
      assert.doesNotMatch(url, /one/);
      return url;
    });
  const two = 'postgres://u:a,b@two/db?x=1,2';
  assert.deepEqual(await Promise.all([reach(), reach()]), [two, two]);
  assert.equal(hosts.current, two);
  const tried: string[] = [];
  const never = hosts.attempt(async (url) => assert.fail(`${tried.push(url)}`));
  await assert.rejects(never, /3/, 'the last of them says it');
  const [three, one] = ['three', 'one:1'].map((host) => `postgres://u:a,b@${host}/db?x=1,2`);
  assert.deepEqual(tried, [two, three, one]);
  assert.equal(new Hosts('postgres://u@/db?host=/tmp').current, 'postgres://u@/db?host=/tmp');
});
