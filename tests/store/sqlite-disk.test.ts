// SQLite on a disk that a test rules over: what was told survives a power cut, and a disk that is slow or broken is
// felt by writes alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { makeDisk, needsDisk } from '../support/disk.ts';
import { connect, get, post, range, seqOf, startServer } from '../support/helpers.ts';
import { openStore } from '../support/open-store.ts';

const WRITERS = 8;

test('after a power cut everything is there that was answered, announced or read', {
  skip: needsDisk,
}, async () => {
  const disk = makeDisk();
  disk.setDelay(3); // so that a batch is often under way when something is read
  const server = await startServer(disk.env);
  const client = await connect(server.wsUrl);
  await client.next();
  const told = new Set<string>();
  let isCut = false;
  const text = 'x'.repeat(50_000); // 85 of them make SQLite write its -wal into the database meanwhile
  const write = async () => {
    while (!isCut) {
      const answer = await post(`${server.url}/api/events`, { type: 'write', data: text }).catch(
        () => undefined,
      );
      if (answer?.status === 201) told.add(answer.body.id);
    }
  };
  const read = async () => {
    while (!isCut) {
      const answer = await get(`${server.url}/api/events?from=latest`).catch(() => undefined);
      if (answer && seqOf(answer.body.lastEventId) > 0) told.add(answer.body.lastEventId);
    }
  };
  const all = Promise.all([...range(1, WRITERS).map(write), read()]);
  try {
    await client.until((frame) => seqOf(frame.id) > 100, 'more than 100 events, each of them synced', 10_000);
  } finally {
    isCut = true;
    await server.kill9();
  }
  await all;
  for (const { id } of client.events()) told.add(id);

  const store = await openStore({ DATABASE_URL: disk.afterPowerCut(server.databaseFile) });
  const { resets } = await store.position(
    [...told].map((id) => ({ stamp: id.split('-')[0]!, seq: seqOf(id) })),
  );
  const lost = [...told].filter((_, i) => resets[i] !== undefined);
  assert.ok(told.size > 100, `${told.size} ids were told`);
  assert.deepEqual(lost, [], `of ${told.size} that were told`);
});

test('while a sync hangs, reads, streams and health go on', { skip: needsDisk }, async () => {
  const disk = makeDisk();
  const server = await startServer(disk.env);
  const client = await connect(server.wsUrl);
  await client.next();
  const { body: first } = await post(`${server.url}/api/events`, { message: 'before' });
  disk.setDelay(1500);
  let isWritten = false;
  const written = post(`${server.url}/api/events`, { message: 'slow' }).finally(() => {
    isWritten = true;
  });
  const places = ['/healthz', '/api/customers', `/api/events?lastEventId=${first.id}`];
  for (const path of range(1, 10).flatMap(() => places)) {
    const { status, body } = await get(server.url + path);
    assert.ok(!isWritten, `${path} was answered only when the disk was there again`);
    assert.equal(status, 200);
    assert.equal(body.lastEventId, first.id, `${path} tells what is not on the disk yet`);
  }
  const late = await connect(server.wsUrl, { query: { lastEventId: first.id } });
  assert.equal((await late.next()).type, 'stream.ready');
  assert.ok(!isWritten, 'a stream was opened only when the disk was there again');
  disk.setDelay(0);
  const { status, body } = await written;
  assert.equal(status, 201);
  assert.deepEqual(await late.nextEvent(), body);
  await Promise.all([client.close(), late.close()]);
  await server.stop();
});

/** The 99th of a hundred, in milliseconds; what is below 5 is as good as 5, since no timer is more exact. */
const p99 = (waits: number[]) => Math.max(5, waits.sort((a, b) => a - b)[Math.floor(waits.length * 0.99)]!);

test('on a disk whose sync takes 20 ms, health, reads and heartbeats are less than twice as slow', {
  skip: needsDisk,
}, async () => {
  const disk = makeDisk();
  const server = await startServer({ ...disk.env, HEARTBEAT_SECONDS: '1' });
  const heartbeats: number[] = [];
  const stream = new WebSocket(server.wsUrl);
  stream.on('message', (text) => {
    if (JSON.parse(String(text)).type === 'stream.heartbeat') heartbeats.push(performance.now());
  });
  const round = async (delay: number, ms = 2200) => {
    disk.setDelay(delay);
    heartbeats.length = 0;
    const end = performance.now() + ms;
    const write = async () => {
      for (; performance.now() < end; await sleep(40))
        await post(`${server.url}/api/events`, { message: 'one of many' });
    };
    const waits: Record<string, number[]> = { '/healthz': [], '/api/customers?limit=1': [] };
    const probe = async (path: string) => {
      for (; performance.now() < end; await sleep(20)) {
        const begin = performance.now();
        await get(server.url + path);
        waits[path]!.push(performance.now() - begin);
      }
    };
    await Promise.all([...range(1, 4).map(write), ...Object.keys(waits).map(probe)]);
    const late = heartbeats.slice(1).map((at, i) => Math.abs(at - heartbeats[i]! - 1000));
    return {
      health: p99(waits['/healthz']!),
      read: p99(waits['/api/customers?limit=1']!),
      heartbeat: p99(late),
    };
  };
  await round(0, 500); // what is compiled and cached first is none of the disk's
  const ratios = { health: [], read: [], heartbeat: [] } as Record<string, number[]>;
  const isShown = () => Object.values(ratios).every((found) => found.some((ratio) => ratio < 2));
  for (let rounds = 0; rounds < 4 && !isShown(); rounds += 1) {
    const [fast, slow] = [await round(0), await round(20)];
    for (const [what, found] of Object.entries(ratios))
      found.push(slow[what as keyof typeof slow] / fast[what as keyof typeof fast]);
  }
  assert.ok(!disk.wasAwaitedOnLoop(), 'a sync was made on the event loop');
  assert.ok(isShown(), `so many times as slow, in each round: ${JSON.stringify(ratios)}`);
  stream.close();
  await server.stop();
});

test('a write whose sync failed is 503 that says what is known, and the next one works', {
  skip: needsDisk,
}, async () => {
  const disk = makeDisk();
  const server = await startServer(disk.env);
  disk.setBroken(true);
  const failed = await post(`${server.url}/api/events`, { message: 'failed' });
  assert.equal(failed.status, 503, failed.text);
  assert.match(failed.body.detail, /may have been made, or not/);
  assert.equal((await get(`${server.url}/readyz`)).status, 503);
  disk.setBroken(false);
  const next = await post(`${server.url}/api/events`, { message: 'next' });
  assert.equal(next.status, 201, next.text);
  assert.equal((await get(`${server.url}/readyz`)).status, 200);
  await server.kill9();
  const store = await openStore({ DATABASE_URL: disk.afterPowerCut(server.databaseFile) });
  const { head } = await store.position();
  assert.equal(`${head.stamp}-${head.seq}`, next.body.id);
});
