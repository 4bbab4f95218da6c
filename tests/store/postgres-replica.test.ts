// READ_DATABASE_URL: two servers that read the log from a replica each, while all writes go to one primary. A replica is
// some milliseconds behind, or far behind where a test stops it: nobody is told that what he knows is gone, nothing is
// missed, and the primary answers no reads for streams.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import {
  type Client,
  connect,
  eventually,
  get,
  openEventStream,
  post,
  range,
  type Server,
  seqOf,
  seqsOf,
  skipWithout,
  startServer,
} from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';
import { refusalToStart } from '../support/open-store.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';
import { type Standby, startStandby } from '../support/postgres-standby.ts';

const BACK_MS = 10_000; // a connection is lost, tried, and found again
const DELAY_MS = 50;

/** A name for several databases, as a load balancer is: it leads every new connection to one of them. */
async function startSwitch(first: number) {
  let target = first;
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = createConnection(target, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const)
      open.add(socket.on('error', () => {}).on('close', () => other.destroy()));
    near.pipe(far).pipe(near);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const leadTo = (port: number) => {
    target = port;
    for (const socket of open) socket.destroy();
    open.clear();
  };
  const { port } = server.address() as AddressInfo;
  return {
    port,
    leadTo,
    close: () => {
      leadTo(0);
      server.close();
    },
  };
}

describe('reading from replicas', { skip: skipWithout(INITDB, 'postgresql') }, () => {
  let cluster: Cluster;
  let east: Standby;
  let west: Standby;
  let one: Server; // reads in the east
  let two: OpenServer; // reads in the west, and knows that the west may be promoted
  before(async () => {
    cluster = await startCluster(['shared_preload_libraries=pg_stat_statements']);
    for (const name of ['shop', 'kept', 'other']) await cluster.createDatabase(name);
    const program = await cluster.connect('postgres');
    await program.query('CREATE EXTENSION pg_stat_statements');
    await program.end();
    east = await startStandby(cluster, 'east');
    west = await startStandby(cluster, 'west');
    const DATABASE_URL = cluster.url('shop');
    const both = DATABASE_URL.replace(/@[^/]+/, (first) => `${first},127.0.0.1:${west.port}`);
    one = await startServer({ DATABASE_URL, READ_DATABASE_URL: east.url('shop') });
    two = await openServer({ DATABASE_URL: both, READ_DATABASE_URL: west.url('shop') });
  });
  afterEach(() => west.resume().catch(() => {})); // the promoted one has nothing to follow
  after(async () => {
    await Promise.all([one?.stop(), two?.stop()]);
    await Promise.all([east?.stop(), west?.stop()]);
    await cluster?.stop();
  });

  type Place = Pick<OpenServer, 'url' | 'wsUrl'>;
  const save = async (server: Place, name: string): Promise<string> => {
    const { status, headers, text } = await post(`${server.url}/api/customers`, { name });
    assert.equal(status, 201, text);
    return headers.get('last-event-id')!;
  };
  const follow = async (server: Place, lastEventId?: string) => {
    const client = await connect(server.wsUrl, lastEventId ? { query: { lastEventId } } : {});
    return { client, first: await client.next() };
  };
  const leave = (...clients: Client[]) => Promise.all(clients.map((client) => client.close()));

  /** How often the primary was asked for the log, or where it stands, in this database. */
  async function readsOfPrimary(): Promise<number> {
    const program = await cluster.connect('postgres');
    const { rows } = await program.query(`SELECT coalesce(sum(calls), 0)::int AS reads FROM pg_stat_statements
      WHERE query ~ '^\\s*SELECT head, head_stamp, pruned'`);
    await program.end();
    return rows[0].reads;
  }

  /** Writes one after the other, by turns, each when all have heard the last. @returns how many reads the primary answered */
  async function readsFor(servers: Place[], count: number): Promise<number> {
    const followers = await Promise.all(servers.map((server) => follow(server)));
    const before_ = await readsOfPrimary();
    for (const i of range(1, count)) {
      const id = await save(servers[i % servers.length]!, `counted ${i}`);
      for (const { client } of followers) await client.event(id);
    }
    const reads = (await readsOfPrimary()) - before_;
    await leave(...followers.map(({ client }) => client));
    return reads;
  }

  test('two servers on two replicas tell what either saves, and the primary answers no read for it', async () => {
    const commits = 20;
    const place = `database shop at 127\\.0\\.0\\.1:${east.port}`;
    assert.match(one.output.stdout, new RegExp(`its log read from PostgreSQL ${place}`), 'the start says so');
    assert.doesNotMatch(one.output.stdout, /hunter2/);
    assert.equal(await readsFor([one, two], commits), 0, 'reads of the log that the primary answered');
    const plain = await openServer({ DATABASE_URL: cluster.url('shop') });
    const reads = await readsFor([plain], commits);
    assert.ok(reads >= commits, `${reads} reads of a server without a replica: they aren't counted`);
    await plain.stop();
  });

  test('an event is heard soon after the replica has it, though everybody knew of its commit before', async () => {
    const commits = 10;
    await west.setDelay(DELAY_MS);
    const { client } = await follow(two);
    const since = performance.now();
    for (const i of range(1, commits)) await client.event(await save(two, `delayed ${i}`));
    const times = (performance.now() - since) / commits / DELAY_MS;
    await west.setDelay(0);
    // Who looked at the regular times alone would need ten times as long as the replica.
    assert.ok(times > 0.9 && times < 5, `it took ${times} times as long as the replica is behind`);
    await leave(client);
  });

  test('a cursor ahead of the replica waits for it, whoever brings it; a list shows what was just saved', async () => {
    const { client: ahead } = await follow(one);
    await west.pause();
    const heard = await save(one, 'heard elsewhere');
    await ahead.event(heard);
    const { client, first } = await follow(two, heard);
    assert.deepEqual([first.type, first.id, first.data.behind], ['stream.ready', heard, 0]);
    const stream = await openEventStream(`${two.url}/api/events`, { 'Last-Event-ID': heard });
    assert.deepEqual([(await stream.next()).type], ['stream.ready']);
    const page = await get(`${two.url}/api/events?lastEventId=${heard}`);
    assert.deepEqual([page.status, page.body], [200, { events: [], lastEventId: heard, more: false }]);

    const own = await save(two, 'own');
    const { body: list } = await get(`${two.url}/api/customers?limit=500`);
    assert.equal(list.customers.at(-1).name, 'own');
    assert.equal(list.lastEventId, own);
    const { client: snapshot, first: ready } = await follow(two, list.lastEventId);
    assert.deepEqual([ready.type, ready.id], ['stream.ready', own]);
    const waiting = get(`${two.url}/api/events?lastEventId=${heard}`, { Prefer: 'wait=30' });

    await west.resume();
    await client.event(own, BACK_MS);
    await stream.event(own);
    assert.deepEqual(seqsOf((await waiting).body.events), [seqOf(own)]);
    assert.deepEqual(seqsOf(client.events()), [seqOf(own)], 'once, and not what it knew');
    const next = await save(one, 'next');
    await snapshot.event(next);
    assert.deepEqual(seqsOf(snapshot.events()), [seqOf(next)], 'what follows its snapshot');
    await leave(ahead, client, snapshot);
  });

  test('a cursor that the primary does not hold is reset, though the replica is behind', async () => {
    await west.pause();
    const id = await save(one, 'real');
    const newer = id.replace(/\d+$/, (seq) => String(Number(seq) + 5));
    const forged = id.replace(/^[0-9a-f]+/, (stamp) => [...stamp].reverse().join('').replace(/^./, 'f0'));
    for (const [cursor, reason] of [
      [newer, 'ahead'],
      [forged, 'unknown-log'],
    ] as const) {
      const { client, first } = await follow(two, cursor);
      assert.deepEqual([first.type, first.data], ['stream.reset', { reason }]);
      const page = await get(`${two.url}/api/events?lastEventId=${cursor}`);
      assert.deepEqual([page.status, page.body.reason], [410, reason]);
      await leave(client);
    }
    await west.resume();
  });

  test('retention takes nothing that was not yet announced from the replica', async () => {
    const kept = await openServer({
      DATABASE_URL: cluster.url('kept'),
      READ_DATABASE_URL: west.url('kept'),
      EVENT_RETENTION: '20',
    });
    const { client } = await follow(kept);
    await west.pause();
    let last = '';
    for (const _ of range(1, 3)) {
      const { body } = await post(
        `${kept.url}/api/events`,
        range(1, 100).map((i) => ({ data: i })),
      );
      last = body.at(-1).id;
    }
    const program = await cluster.connect('kept');
    const { rows } = await program.query('SELECT min(seq) FROM changebell_events WHERE seq > 0');
    await program.end();
    assert.equal(Number(rows[0].min), 1, 'the oldest event that is kept');
    await west.resume();
    await client.event(last, BACK_MS);
    assert.deepEqual(seqsOf(client.events()), range(1, 300));
    assert.ok(!client.frames.some(({ type }) => type === 'stream.reset'));
    await leave(client);
    await kept.stop();
  });

  test('while the replica is away writes go on, and streams wait and miss nothing', async () => {
    const { client, first } = await follow(two);
    await west.stop();
    const ids: string[] = [];
    for (const i of range(1, 3)) ids.push(await save(two, `meanwhile ${i}`));
    assert.equal((await get(`${two.url}/readyz`)).status, 503);
    assert.equal((await get(`${two.url}/api/customers`)).status, 200);
    await west.restart();
    await client.event(ids.at(-1)!, BACK_MS);
    assert.deepEqual(seqsOf(client.events()), range(seqOf(first.id) + 1, seqOf(ids.at(-1)!)));
    assert.equal(client.socket.readyState, client.socket.OPEN);
    await eventually(
      () => get(`${two.url}/readyz`),
      ({ status }) => status === 200,
      'it is ready again',
      BACK_MS,
    );
    await leave(client);
  });

  test('a name that leads to another replica, which is behind the first, moves nobody back', async () => {
    const name = await startSwitch(east.port);
    const READ_DATABASE_URL = east.url('shop').replace(`:${east.port}/`, `:${name.port}/`);
    const server = await openServer({ DATABASE_URL: cluster.url('shop'), READ_DATABASE_URL });
    const { client, first } = await follow(server);
    await west.pause();
    const { body } = await post(`${server.url}/api/events`, [{ data: 1 }, { data: 2 }]); // read as one stretch
    const [passed, newest]: string[] = body.map(({ id }: { id: string }) => id);
    await client.event(newest!);
    name.leadTo(west.port);
    const { client: second, first: ready } = await follow(server, passed!);
    assert.deepEqual([ready.type, ready.id], ['stream.ready', passed]);
    assert.equal((await get(`${server.url}/healthz`)).body.lastEventId, newest, 'what was announced stays');
    await west.resume();
    await second.event(newest!, BACK_MS);
    const last = await save(server, 'last');
    await Promise.all([client.event(last, BACK_MS), second.event(last, BACK_MS)]);
    assert.deepEqual(seqsOf(client.events()), range(seqOf(first.id) + 1, seqOf(last)));
    assert.deepEqual(seqsOf(second.events()), [seqOf(newest!), seqOf(last)]);
    await leave(client, second);
    await server.stop();
    name.close();
  });

  test('a database that is no replica of the other is refused at the start, and so is one that is away', async () => {
    await (await openServer({ DATABASE_URL: cluster.url('other') })).stop();
    const DATABASE_URL = cluster.url('shop');
    const foreign = await refusalToStart({ DATABASE_URL, READ_DATABASE_URL: cluster.url('other') });
    assert.match(foreign, /^The PostgreSQL database other at .* READ_DATABASE_URL .*no replica/);
    const away = await refusalToStart({
      DATABASE_URL,
      READ_DATABASE_URL: 'postgres://u:hunter2@127.0.0.1:1/shop',
    });
    assert.match(away, /READ_DATABASE_URL .*ECONNREFUSED/);
    assert.doesNotMatch(away, /hunter2/);
  });

  test('a history that was replaced on the primary is found out on the replica', async () => {
    const clients = [await connect(one.wsUrl), await connect(two.wsUrl)];
    for (const client of clients) await client.next();
    const id = await save(one, 'replaced');
    for (const client of clients) await client.event(id);
    const seq = seqOf(id);
    const program = await cluster.connect('shop');
    await program.query(`BEGIN;
      ALTER TABLE changebell_events DISABLE TRIGGER changebell_events_immutable;
      UPDATE changebell_events SET stamp = 'abcdef01' WHERE seq = ${seq};
      ALTER TABLE changebell_events ENABLE TRIGGER changebell_events_immutable;
      COMMIT`);
    await program.end();
    for (const client of clients) {
      const reset = await client.until((frame) => frame.type === 'stream.reset', BACK_MS);
      assert.deepEqual([reset.id, reset.data.reason], [`abcdef01-${seq}`, 'unknown-log']);
    }
    await leave(...clients);
  });

  test('who waits for an event that never comes, since a replica without it was promoted, is told', async () => {
    const { client: ahead } = await follow(one);
    const common = await save(one, 'common');
    const { client: bystander } = await follow(two);
    const newest = () => west.ask('SELECT max(seq)::int AS newest FROM changebell_events', 'shop');
    await eventually(newest, ([row]) => row?.newest === seqOf(common), 'the west has it');
    await west.cutOff();
    const lost = await save(one, 'lost');
    await ahead.event(lost);
    const { client, first } = await follow(two, lost);
    assert.deepEqual([first.type, first.id], ['stream.ready', lost]);
    await cluster.crash();
    const { client: late, first: located } = await follow(two, lost);
    assert.equal(located.type, 'stream.ready', 'while nobody can say what became of it');
    await west.promote();
    await late.until((frame) => frame.type === 'stream.reset', BACK_MS);
    const reset = await client.until((frame) => frame.type === 'stream.reset', BACK_MS);
    assert.equal(reset.data.reason, 'ahead');
    const write = () => post(`${two.url}/api/events`, { message: 'afterwards' });
    const { body } = await eventually(write, ({ status }) => status === 201, 'writes are taken', BACK_MS);
    await client.event(body.id, BACK_MS);
    await bystander.event(body.id);
    assert.ok(
      !bystander.frames.some(({ type }) => type === 'stream.reset'),
      'who knew nothing of it goes on',
    );
    await leave(ahead, client, late, bystander);
  });
});
