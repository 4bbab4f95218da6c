// Two servers on one PostgreSQL, and everything that can break between them. In each case: nothing that was
// acknowledged is lost, nothing is heard twice, order is kept, and streams stay open.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { surviveCrashes } from '../support/chaos.ts';
import {
  type Answer,
  type Client,
  connect,
  eventually,
  get,
  launch,
  openEventStream,
  post,
  put,
  range,
  type Server,
  seqOf,
  seqsOf,
  skipWithout,
  startServer,
  within,
} from '../support/helpers.ts';
import { openStore, refusalToStart } from '../support/open-store.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';
import { needsMount, smallDisk } from '../support/small-disk.ts';

/** Writes without a pause until it is stopped; `made` are the names that were acknowledged. */
function startWriters(servers: () => Server[], count = 6) {
  const made: string[] = [];
  const refused: Answer[] = [];
  let isStopped = false;
  let serial = 0;
  const writers = range(1, count).map(async (writer) => {
    while (!isStopped) {
      const name = `writer ${writer} ${++serial}`;
      const servers_ = servers();
      const { url } = servers_[serial % servers_.length]!;
      const answer = await post(`${url}/api/customers`, { name }).catch(() => undefined);
      if (answer?.status === 201) made.push(name);
      else if (answer) {
        refused.push(answer);
        await delay(10); // as who is told to come back later: while nothing can be written, all would else be refusals
      }
    }
  });
  return {
    made,
    refused,
    stop: () => {
      isStopped = true;
      return Promise.all(writers);
    },
  };
}

/** What this client heard is the log from its start to the end, each event once, and holds all that was made. */
async function assertWhole(client: Client, server: Server, made: string[], from: number): Promise<void> {
  const { body: last } = await post(`${server.url}/api/events`, { message: 'the end' });
  await client.event(last.id);
  const events = client.events();
  assert.deepEqual(seqsOf(events), range(from + 1, seqOf(last.id)), 'no gap, no repeat, in order');
  const heard = new Map<string, number>();
  for (const { type, data } of events) {
    if (type === 'customer.created') heard.set(data.name, (heard.get(data.name) ?? 0) + 1);
  }
  assert.deepEqual(
    made.filter((name) => heard.get(name) !== 1),
    [],
    'what was acknowledged was heard once',
  );
}

describe('PostgreSQL', { skip: skipWithout(INITDB, 'postgresql') }, () => {
  let cluster: Cluster;
  let url: string;
  let servers: Server[];
  before(async () => {
    cluster = await startCluster();
    url = await cluster.createDatabase('shop');
    servers = await Promise.all([1, 2].map(() => startServer({ DATABASE_URL: url }))); // both make the tables
  });
  after(async () => {
    await Promise.all(servers?.map((server) => server.stop()) ?? []);
    await cluster?.stop();
  });

  const one = () => servers[0]!;
  const two = () => servers[1]!;
  const follow = async (server: Server) => {
    const client = await connect(server.wsUrl);
    return { client, from: seqOf((await client.next()).id) };
  };

  test('the start shows which database it is, and never its password', () => {
    const { stdout, stderr } = one().output;
    assert.match(stdout, new RegExp(`PostgreSQL database shop at 127\\.0\\.0\\.1:${cluster.port}`));
    assert.doesNotMatch(stdout + stderr, /hunter2/);
  });

  test('two servers announce the same events with the same ids, and a client moves between them', async () => {
    const [first, second] = [await follow(one()), await follow(two())];
    const posts = range(1, 60).map((i) => post(`${servers[i % 2]!.url}/api/customers`, { name: `c${i}` }));
    const made = (await Promise.all(posts)).map(({ body }) => body.name);
    await assertWhole(first.client, one(), made, first.from);
    await second.client.event(first.client.events().at(-1)!.id);
    assert.deepEqual(second.client.events(), first.client.events());

    const middle = first.client.events()[20]!;
    await first.client.close();
    const moved = await connect(two().wsUrl, { query: { lastEventId: middle.id } });
    const rest = second.client.events().slice(21);
    for (const event of rest) assert.deepEqual(await moved.nextEvent(), event);
    const changed = await put(`${one().url}${middle.source}`, { name: 'Moved' });
    assert.deepEqual((await moved.nextEvent()).data, changed.body);
    await Promise.all([moved.close(), second.client.close()]);
  });

  test('a transaction that commits late is passed over by nobody and holds up nobody; a rollback is silent', async () => {
    const { client, from } = await follow(one());
    const [late, never] = [await cluster.connect('shop'), await cluster.connect('shop')];
    for (const program of [late, never]) {
      await program.query("BEGIN; INSERT INTO customers (name) VALUES ('late one'), ('late two')");
      await program.query("SAVEPOINT half; INSERT INTO customers (name) VALUES ('never'); ROLLBACK TO half");
      await program.query("INSERT INTO changebell_events (type) VALUES ('late.event')");
    }
    const quick = await post(`${two().url}/api/customers`, { name: 'quick' });
    assert.equal(quick.status, 201);
    assert.deepEqual((await client.nextEvent()).data, quick.body);
    await never.query('ROLLBACK');
    await late.query('COMMIT');
    await client.until((frame) => frame.type === 'late.event', 'late.event');
    await assertWhole(client, one(), ['quick', 'late one', 'late two'], from);
    assert.deepEqual(
      client.events().map(({ type, data }) => data?.name ?? type),
      ['quick', 'late one', 'late two', 'late.event', 'notification'],
    );
    await Promise.all([late.end(), never.end(), client.close()]);
  });

  test('events that a transaction wants numbered at once come before its later ones', async () => {
    const { client, from } = await follow(one());
    const program = await cluster.connect('shop');
    await program.query(
      "BEGIN; INSERT INTO customers (name) VALUES ('a'), ('b'); SET CONSTRAINTS ALL IMMEDIATE",
    );
    await program.query("INSERT INTO customers (name) VALUES ('c'), ('d'); SET CONSTRAINTS ALL DEFERRED");
    await program.query("INSERT INTO customers (name) VALUES ('e'), ('f'); COMMIT");
    await program.end();
    await client.until((frame) => frame.data?.name === 'f', 'the last of six rows');
    assert.deepEqual(
      client.events().map(({ data }) => data.name),
      [...'abcdef'],
    );
    await assertWhole(client, one(), [...'abcdef'], from);
    await client.close();
  });

  test('programs at every isolation level, with locks crossed, at the same time: all is heard in order', async () => {
    const { client, from } = await follow(two());
    const ids = (
      await Promise.all(range(1, 4).map(() => post(`${one().url}/api/customers`, { name: 'row' })))
    ).map(({ body }) => body.id as number);
    const writers = startWriters(() => servers, 3);
    const levels = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'];
    const programs = levels.map(async (level, i) => {
      const program = await cluster.connect('shop');
      for (const round of range(1, 15)) {
        await program.query(`BEGIN ISOLATION LEVEL ${level}`);
        await program.query(`INSERT INTO customers (name) VALUES ('${level} ${round}')`);
        await program.query(`UPDATE customers SET name = 'row ${level} ${round}' WHERE id = ${ids[i]}`);
        await program.query('COMMIT');
        writers.made.push(`${level} ${round}`);
      }
      await program.end();
    });
    await Promise.all(programs);
    await writers.stop();
    assert.deepEqual(writers.refused, []);
    await assertWhole(client, one(), writers.made, from);
    await client.close();
  });

  test('a row that another transaction holds makes its own change a 503 with Retry-After, and no other', async () => {
    const { body } = await post(`${one().url}/api/customers`, { name: 'held' });
    const holder = await cluster.connect('shop');
    await holder.query(`BEGIN; UPDATE customers SET name = 'mine' WHERE id = ${body.id}`);
    const held = put(`${one().url}/api/customers/${body.id}`, { name: 'yours' });
    const free = await post(`${one().url}/api/customers`, { name: 'free' });
    assert.equal(free.status, 201);
    const refused = await held;
    assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1']);
    await holder.query('COMMIT');
    await holder.end();
    assert.equal((await get(`${two().url}/api/customers/${body.id}`)).body.name, 'mine');
  });

  test('pages that the database keeps waiting hold up no stream, no page of the log, and no look whether all is well', async () => {
    const { client } = await follow(one());
    const program = await cluster.connect('shop');
    await program.query('BEGIN; LOCK TABLE customers');
    let ended = 0;
    const pages = range(1, 20).map(async () => {
      const answer = await get(`${one().url}/api/customers`);
      ended += 1;
      return [answer.status, answer.headers.get('retry-after')].join();
    });
    await eventually(
      () => program.query("SELECT FROM pg_locks WHERE NOT granted AND relation = 'customers'::regclass"),
      ({ rowCount }) => rowCount! > 1,
      'they wait',
    );
    const { body } = await post(`${one().url}/api/events`, { message: 'live' });
    await client.event(body.id);
    for (const path of ['/readyz', '/api/events']) assert.equal((await get(one().url + path)).status, 200);
    assert.ok(ended < 10, 'most of them wait still');
    await program.query('ROLLBACK');
    for (const page of await Promise.all(pages)) assert.match(page, /^(200,|503,1)$/);
    await Promise.all([client.close(), program.end()]);
  });

  test('a customer that a row in the making refers to can be changed', async () => {
    const program = await cluster.connect('shop');
    const { body } = await post(`${one().url}/api/customers`, { name: 'referred to' });
    await program.query('CREATE TABLE orders (customer bigint REFERENCES customers)');
    await program.query(`BEGIN; INSERT INTO orders VALUES (${body.id})`);
    assert.equal((await put(`${one().url}/api/customers/${body.id}`, { name: 'changed' })).status, 200);
    await program.query('ROLLBACK; DROP TABLE orders');
    await program.end();
  });

  test('a deleted, truncated or pruned table tells its readers', async () => {
    const url = await cluster.createStarted('emptied');
    const server = await startServer({ DATABASE_URL: url });
    const program = await cluster.connect('emptied');
    await Promise.all(range(1, 3).map((i) => post(`${server.url}/api/customers`, { name: `c${i}` })));
    const client = await connect(server.wsUrl);
    const start = await client.next();
    await program.query('TRUNCATE customers');
    const gone = [await client.nextEvent(), await client.nextEvent(), await client.nextEvent()];
    assert.deepEqual(
      gone.map(({ type, data }) => `${type} ${data.id}`),
      range(1, 3).map((id) => `customer.deleted ${id}`),
    );
    await program.query('TRUNCATE changebell_events');
    const reset = await connect(server.wsUrl, { query: { lastEventId: start.id } });
    assert.deepEqual((await reset.next()).data, { reason: 'expired' });
    await post(`${server.url}/api/customers`, { name: 'after' });
    assert.equal(seqOf((await client.nextEvent()).id), seqOf(gone[2]!.id) + 1);
    await Promise.all([client.close(), reset.close(), program.end()]);
    await server.stop();
  });

  test('the connection that listens is cut: what is committed meanwhile is heard, and it listens again', async () => {
    const { client, from } = await follow(one());
    const program = await cluster.connect('shop');
    const listeners = "FROM pg_stat_activity WHERE application_name = 'changebell' AND query LIKE 'LISTEN%'";
    const { rows } = await program.query(`SELECT pid, pg_terminate_backend(pid) ${listeners}`);
    assert.equal(rows.length, 2);
    await program.query("INSERT INTO customers (name) VALUES ('unheard')");
    assert.equal((await client.nextEvent()).data.name, 'unheard');
    const isListening = async () => (await program.query(`SELECT count(*) ${listeners}`)).rows[0].count;
    await eventually(isListening, (count) => count === '2', 'both listen again');
    await program.query("INSERT INTO customers (name) VALUES ('heard')");
    await assertWhole(client, one(), ['unheard', 'heard'], from);
    await Promise.all([program.end(), client.close()]);
  });

  test('servers are killed under load, clients cut, writes repeated: log and table agree, and each has each event once', async (t) => {
    const databaseUrl = await cluster.createStarted('crashes');
    const seed = Number(process.env.SEED || Math.floor(Math.random() * 2 ** 31));
    t.diagnostic(`SEED=${seed}`);
    await surviveCrashes({ databaseUrl, seed, crashes: 2, writers: 4, subscribers: 4 });
  });

  test('a server is killed under load: its clients go on at the other one from where they were', async () => {
    const doomed = await startServer({ DATABASE_URL: url });
    const { client, from } = await follow(doomed);
    const writers = startWriters(() => [doomed, one()]);
    while (writers.made.length < 40) await client.nextEvent();
    await doomed.kill9();
    await client.closed;
    const seen = client.events();
    const resumed = await connect(two().wsUrl, { query: { lastEventId: seen.at(-1)!.id } });
    await writers.stop();
    const all = { ...resumed, events: () => [...seen, ...resumed.events()] };
    await assertWhole(all, one(), writers.made, from);
    await resumed.close();
  });

  test('the database is killed and restarted under load: writes meanwhile are 503, streams stay open and go on', async () => {
    const [socket, stream] = [await follow(one()), await openEventStream(`${two().url}/api/events`)];
    const from = seqOf((await stream.next()).id);
    const writers = startWriters(() => servers);
    while (writers.made.length < 50) await socket.client.nextEvent();
    await cluster.crash();
    await eventually(
      () => writers.refused,
      (all) => all.length >= 3,
      'writes are refused',
    );
    assert.equal((await get(`${one().url}/api/customers`)).status, 503);
    assert.equal((await get(`${one().url}/healthz`)).status, 200);
    await cluster.restart();
    const before = writers.made.length;
    await eventually(
      () => writers.made.length,
      (count) => count > before + 25,
      'writes go on',
    );
    await writers.stop();
    for (const { status, headers } of writers.refused) {
      assert.deepEqual([status, headers.get('retry-after')], [503, '1']);
      assert.match(headers.get('content-type')!, /^application\/problem\+json/);
    }
    await assertWhole(socket.client, one(), writers.made, socket.from);
    const newest = socket.client.frames.at(-1)!.id;
    await stream.event(newest);
    assert.deepEqual(seqsOf(stream.events()), range(from + 1, seqOf(newest)));
    stream.close();
    await socket.client.close();
    for (const { output } of servers) assert.doesNotMatch(output.stdout + output.stderr, /hunter2|\n\s+at /);
  });

  /** What is saved, and what is refused, while something is wrong; and that all of it heals. */
  async function assertSurvives(server: Server, hurt: () => unknown, heal: () => unknown): Promise<void> {
    const { client, from } = await follow(server);
    const write = (name: string) =>
      post(`${server.url}/api/customers`, { name, email: `${name}@example.com` });
    const made: string[] = [];
    const keep = async (names: string[]) => {
      const answers = await Promise.all(names.map(write));
      made.push(...names.filter((_, i) => answers[i]!.status === 201));
      return answers.filter(({ status }) => status !== 201);
    };
    assert.deepEqual(await keep(['before']), []);
    await hurt();
    const refused: Answer[] = [];
    for (let i = 0; refused.length < 3; i += 1) {
      assert.ok(i < 2000, 'something is wrong, and all is saved');
      refused.push(...(await keep(range(1, 3).map((n) => `${i}-${n}`))));
    }
    for (const { status, headers, text } of refused) {
      assert.deepEqual([status, headers.get('retry-after')], [503, '1'], text);
      assert.match(headers.get('content-type')!, /^application\/problem\+json/);
    }
    assert.equal((await get(`${server.url}/api/customers`)).status, 200);
    assert.equal(client.socket.readyState, client.socket.OPEN);
    await heal();
    // PostgreSQL reads its settings anew between two statements, each session in its own time.
    await eventually(
      () => keep(['after']),
      ({ length }) => length === 0,
      'writes go on',
    );
    await assertWhole(client, server, made, from);
    const created = client.events().filter(({ type }) => type === 'customer.created');
    // Of a write whose 503 says that it can't be known nobody can promise that it wasn't made.
    const unknown = refused.filter(({ text }) => text.includes('may have been made')).length;
    const extra = created.length - made.length;
    assert.ok(
      extra >= 0 && extra <= unknown,
      `${extra} were made that were refused, ${unknown} may have been`,
    );
    await client.close();
  }

  test('a full disk makes writes 503 with nothing half-written, streams go on, and room heals it', {
    skip: needsMount,
  }, async () => {
    const disk = smallDisk(24 * 1024 * 1024);
    const server = await startServer({ DATABASE_URL: await cluster.createDatabase('small', disk) });
    const ballast = join(disk, 'ballast');
    const fill = () => execFileSync('sh', ['-c', `cat /dev/zero > ${ballast} 2>/dev/null || true`]);
    await assertSurvives(server, fill, () => rmSync(ballast));
    await server.stop();
  });

  test('a database that turns read-only makes writes 503, streams go on, and it heals', async () => {
    const set = async (value: string) => {
      const program = await cluster.connect('postgres');
      await program.query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`);
      await program.query('SELECT pg_reload_conf()');
      await program.end();
    };
    await assertSurvives(
      one(),
      () => set('on'),
      () => set('off'),
    );
  });

  test('while a dump is read back and the log has nothing yet, reads and writes are 503 and streams wait', async () => {
    const program = await cluster.connect('shop');
    const { client } = await follow(one());
    await program.query('CREATE TABLE aside AS SELECT * FROM changebell_log; DELETE FROM changebell_log');
    for (const path of ['/api/events', '/api/events?from=2026-01-01T00:00:00Z', '/api/customers', '/readyz'])
      assert.equal((await get(one().url + path)).status, 503, path);
    for (const [path, body] of [
      ['/api/customers', { name: 'too early' }],
      ['/api/events', { message: 'too early' }],
    ] as const)
      assert.equal((await post(one().url + path, body)).status, 503, path);
    const keyed = await post(
      `${one().url}/api/customers`,
      { name: 'too early' },
      { 'idempotency-key': 'early' },
    );
    assert.equal(keyed.status, 503);
    assert.match(one().output.stderr, /changebell_log has no row/);
    assert.match(await refusalToStart({ DATABASE_URL: cluster.url('shop') }), /no row in its changebell_log/);
    await program.query('INSERT INTO changebell_log SELECT * FROM aside; DROP TABLE aside');
    const { body } = await post(`${one().url}/api/events`, { message: 'it is back' });
    await client.event(body.id);
    assert.equal((await program.query("SELECT FROM customers WHERE name = 'too early'")).rowCount, 0);
    assert.doesNotMatch(one().output.stderr, /TypeError/);
    await Promise.all([client.close(), program.end()]);
  });

  test('a database that ends who is idle does not end us', async (t) => {
    const DATABASE_URL = await cluster.createDatabase('hasty');
    const program = await cluster.connect('shop');
    const isKnown = "SELECT FROM pg_settings WHERE name = 'idle_session_timeout'"; // from PostgreSQL 14 on
    if ((await program.query(isKnown)).rowCount === 0) return t.skip('no such setting');
    await program.query("ALTER DATABASE hasty SET idle_session_timeout = '50ms'");
    const store = await openStore({ DATABASE_URL });
    const listener = async () => {
      const sql = "SELECT pid FROM pg_stat_activity WHERE datname = 'hasty' AND query = 'LISTEN changebell'";
      return (await program.query(sql)).rows[0]?.pid;
    };
    const before = await listener();
    await delay(200);
    assert.equal(await listener(), before);
    await Promise.all([store.close(), program.end()]);
  });

  test('a database that gives no connections makes reads and writes 503, streams stay open, and it heals', async () => {
    const program = await cluster.connect('postgres');
    await program.query("CREATE ROLE few LOGIN PASSWORD 'hunter2'");
    await program.query('CREATE DATABASE few OWNER few');
    const server = await startServer({ DATABASE_URL: cluster.url('few', 'few') });
    const { client, from } = await follow(server);
    await program.query('ALTER DATABASE few CONNECTION LIMIT 0');
    await program.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'few'");
    const read = () => get(`${server.url}/api/customers`);
    const write = () => post(`${server.url}/api/events`, { message: 'x' });
    await eventually(read, ({ status }) => status === 503, 'there is no connection');
    for (const { status, headers } of await Promise.all([read(), write()]))
      assert.deepEqual([status, headers.get('retry-after')], [503, '1']);
    await program.query('ALTER DATABASE few CONNECTION LIMIT -1');
    await eventually(write, ({ status }) => status === 201, 'writes go on');
    await assertWhole(client, server, [], from);
    assert.match(server.output.stderr, /too many connections/);
    await Promise.all([client.close(), program.end(), server.stop()]);
  });

  test('our schema is dropped while the server runs: 503, until another start has made it anew, and a reset', async () => {
    const DATABASE_URL = await cluster.createStarted('dropped');
    const server = await startServer({ DATABASE_URL });
    const { client } = await follow(server);
    const write = () => post(`${server.url}/api/customers`, { name: 'Ada' });
    await client.event((await write()).headers.get('last-event-id')!);
    const program = await cluster.connect('dropped');
    await program.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
    for (const { status } of [await write(), await get(`${server.url}/api/customers`)])
      assert.equal(status, 503);
    const other = await startServer({ DATABASE_URL });
    await client.until(({ type }) => type === 'stream.reset');
    const { body, headers } = await write();
    assert.equal(body.id, 1, 'the table was made anew');
    await client.event(headers.get('last-event-id')!);
    await Promise.all([client.close(), program.end(), server.stop(), other.stop()]);
  });

  test('a database that answers nothing makes writes a 503 within seconds, and they go on when it is back', async () => {
    const { client, from } = await follow(one());
    cluster.signalAll('SIGSTOP');
    let refused: Answer[];
    try {
      refused = await Promise.all(
        range(1, 3).map((i) => post(`${one().url}/api/customers`, { name: `hung ${i}` })),
      );
    } finally {
      cluster.signalAll('SIGCONT');
    }
    for (const { status, headers } of refused)
      assert.deepEqual([status, headers.get('retry-after')], [503, '1']);
    const isBack = () => post(`${one().url}/api/customers`, { name: 'back' });
    await eventually(isBack, ({ status }) => status === 201, 'writes go on');
    await assertWhole(client, one(), [], from);
    await client.close();
  });

  test('what cannot be started is one line that says what to do, without the password', async () => {
    const program = await cluster.connect('shop');
    for (const sql of [
      "CREATE ROLE guest LOGIN PASSWORD 'hunter2'",
      "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    ])
      await program.query(sql);
    for (const name of ['newer', 'foreign_', 'lost']) await cluster.createDatabase(name);
    await program.query('ALTER DATABASE lost SET search_path = nowhere');
    const foreign = await cluster.connect('foreign_');
    await foreign.query('CREATE TABLE customers (id int PRIMARY KEY, full_name text)');
    const newer = await cluster.connect('newer');
    await newer.query('CREATE TABLE changebell_log (version int); INSERT INTO changebell_log VALUES (999)');
    const tcp = (database: string, user = 'postgres', password = 'hunter2') =>
      cluster.url(database, user, password);
    const cases: [string, RegExp][] = [
      [tcp('shop', 'postgres', 'hunter22'), /PostgreSQL database shop at 127.*password.*check DATABASE_URL/],
      [tcp('nowhere'), /nowhere.*does not exist/],
      [tcp('shop').replace(/:\d+\/shop/, ':1/shop'), /ECONNREFUSED.*database is running/],
      [tcp('foreign_', 'guest').replace('foreign_', 'postgres'), /CREATE ON SCHEMA/],
      [tcp('latin'), /LATIN1.*UTF8/],
      [tcp('lost'), /no schema.*search_path/],
      [tcp('newer'), /newer version/],
      [tcp('foreign_'), /"customers".*WATCH/],
      ['postgres://u:hunter2#x@127.0.0.1/shop', /DATABASE_URL.*%23/],
      ['postgres://u:hunter2/x@127.0.0.1/shop', /DATABASE_URL/],
      ['mysql://root:hunter2@localhost/x', /DATABASE_URL.*mysql.*postgres:\/\//],
    ];
    await Promise.all(
      cases.map(async ([DATABASE_URL, pattern]) => {
        const line = await refusalToStart({ DATABASE_URL });
        assert.match(line, pattern);
        assert.doesNotMatch(line, /hunter2/);
      }),
    );
    const { output, exited } = launch({ PORT: '0', DATABASE_URL: tcp('nowhere') });
    assert.equal((await within(exited, 'the program to end', 5000)).code, 1);
    assert.match(output.stderr, /^[^\n]+nowhere[^\n]+\n$/, 'one line');
    const { rows } = await foreign.query("SELECT count(*) FROM pg_class WHERE relname LIKE 'changebell%'");
    assert.equal(rows[0].count, '0', 'nothing was made');
    await Promise.all([program.end(), foreign.end(), newer.end()]);
  });
});
