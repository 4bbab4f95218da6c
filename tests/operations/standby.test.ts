// The database's machine is lost, and its standby is promoted, under a server that names both: streams stay open, and a
// client hears everything that the standby had, or is told.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Client,
  connect,
  eventually,
  get,
  post,
  range,
  type Server,
  seqOf,
  seqsOf,
  skipWithout,
  startServer,
} from '../support/helpers.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';
import { type Standby, startStandby } from '../support/postgres-standby.ts';

const FAILOVER_MS = 10_000; // connections are lost, tried, and found again

type Pair = { cluster: Cluster; standby: Standby; server: Server; client: Client };

/** A first and its standby, a server that knows both, and a client that listens from the start. */
async function startPair(): Promise<Pair> {
  const cluster = await startCluster();
  await cluster.createDatabase('shop');
  const standby = await startStandby(cluster);
  const both = cluster.url('shop').replace(/@[^/]+/, (first) => `${first},127.0.0.1:${standby.port}`);
  const server = await startServer({ DATABASE_URL: both });
  const client = await connect(server.wsUrl);
  await client.next();
  return { cluster, standby, server, client };
}

const save = (server: Server, name: string) => post(`${server.url}/api/customers`, { name });

/** Writes are taken again. @returns the event's id */
async function firstAfterwards(server: Server): Promise<string> {
  const write = () => post(`${server.url}/api/events`, { message: 'afterwards' });
  const { body } = await eventually(write, ({ status }) => status === 201, 'writes are taken', FAILOVER_MS);
  return body.id;
}

async function standbyHas({ standby }: Pair, count: number): Promise<void> {
  const ask = () => standby.ask('SELECT count(*)::int AS count FROM customers', 'shop').catch(() => []);
  await eventually(ask, ([row]) => row?.count === count, 'the standby has all of it', FAILOVER_MS);
}

async function end({ cluster, standby, server, client }: Pair): Promise<void> {
  await client.close();
  await server.stop();
  await standby.stop();
  await cluster.stop();
}

describe('a standby is promoted', { skip: skipWithout(INITDB, 'postgresql') }, () => {
  test('for which every commit waits: every client hears everything, once, over the same connection', async () => {
    const pair = await startPair();
    const { cluster, standby, server, client } = pair;
    const program = await cluster.connect('postgres');
    await program.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
    await program.query('SELECT pg_reload_conf()');
    await eventually(
      async () => (await program.query('SHOW synchronous_standby_names')).rows[0].synchronous_standby_names,
      (names) => names === '*',
      'the first waits for the standby',
    );
    const made: string[] = [];
    for (const i of range(1, 50)) {
      const { status, headers } = await save(server, `c${i}`);
      assert.equal(status, 201);
      made.push(headers.get('last-event-id')!);
    }
    await cluster.crash();
    await program.end();
    assert.equal((await save(server, 'meanwhile')).status, 503);
    await standby.promote();
    const newest = await firstAfterwards(server);
    await client.event(newest, FAILOVER_MS);
    assert.equal(client.socket.readyState, client.socket.OPEN);
    assert.deepEqual(seqsOf(client.events()), range(1, seqOf(newest)));
    const heard = new Set(client.events().map(({ id }) => id));
    assert.deepEqual(
      made.filter((id) => !heard.has(id)),
      [],
      'what was acknowledged was heard',
    );
    assert.ok(
      !client.frames.some(({ type }) => type === 'stream.reset'),
      'nothing was lost, so nobody is told',
    );
    await end(pair);
  });

  test('that was behind: who had heard more is told, and then hears what is new', async () => {
    const pair = await startPair();
    const { cluster, standby, server, client } = pair;
    await save(server, 'kept');
    await standbyHas(pair, 1);
    const kept = client.frames.at(-1)!.id;
    await standby.cutOff();
    for (const i of range(1, 3)) await save(server, `lost ${i}`);
    const lost = (await client.until((frame) => frame.data?.name === 'lost 3')).id;
    await cluster.crash();
    await standby.promote();
    await firstAfterwards(server);
    await client.until((frame) => frame.type === 'stream.reset', FAILOVER_MS);
    const after = await firstAfterwards(server);
    await client.event(after);
    assert.equal((await get(`${server.url}/api/events?lastEventId=${lost}`)).status, 410);
    const { body } = await get(`${server.url}/api/events?lastEventId=${kept}`);
    assert.equal(body.events.at(-1).id, after);
    await end(pair);
  });
});
