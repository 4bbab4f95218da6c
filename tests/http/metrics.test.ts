// What `/metrics` and `/readyz` tell: text that Prometheus' own tool finds clean, figures that move when something
// happens, and a readiness that asks the database.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { createHealthApi } from '../../lib/api/health.ts';
import { measureLoopDelay } from '../../lib/api/loop-delay.ts';
import type { Parts } from '../../lib/api/parts.ts';
import type { Call } from '../../lib/http/request.ts';
import { Problem, unavailable } from '../../lib/problem.ts';
import {
  connect,
  eventually,
  get,
  post,
  request,
  type Server,
  skipWithout,
  startServer,
} from '../support/helpers.ts';

let server: Server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

async function metrics(): Promise<Record<string, number>> {
  const { text } = await get(`${server.url}/metrics`);
  return Object.fromEntries(
    [...text.matchAll(/^changebell_(\S+) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]),
  );
}

test("Prometheus' own tool finds nothing to complain about", {
  skip: skipWithout('/usr/bin/promtool', 'prometheus'),
}, async () => {
  const { text } = await get(`${server.url}/metrics`);
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: text,
    encoding: 'utf8',
  });
  assert.equal(status, 0, stdout + stderr);
  assert.equal(stdout + stderr, '');
});

test('what is bounded stands beside its bound, and moves', async () => {
  const before = await metrics();
  const clients = await Promise.all([connect(server.wsUrl), connect(server.wsUrl)]);
  await post(`${server.url}/api/events`, { message: 'hello' });
  for (const client of clients) await client.nextEvent();
  const now = await metrics();
  for (const [name, more] of [
    ['clients', 2],
    ['events_total', 1],
    ['deliveries_total', 2],
    ['commits_total', 1],
  ] as const)
    assert.equal(now[name]! - before[name]!, more, name);
  assert.ok(now.connections! >= before.connections! + 2, `${now.connections} connections`);
  for (const name of ['clients', 'connections']) assert.ok(now[name]! <= now[`${name}_limit`]!, name);
  assert.ok(now.unsent_bytes! <= now.unsent_limit_bytes!);
  await Promise.all(clients.map((client) => client.close()));
});

test('the lag of the slowest reader is told in events', async () => {
  const client = await connect(server.wsUrl);
  client.socket.send('{"lab":"mute","seconds":1}');
  await client.next();
  await new Promise((resolve) => setTimeout(resolve, 100)); // the order has no answer that could be awaited
  for (const data of [1, 2, 3]) await post(`${server.url}/api/events`, { data });
  await eventually(metrics, (now) => now.client_lag_events === 3, 'three events behind');
  await client.until((frame) => frame.data === 3);
  await eventually(metrics, (now) => now.client_lag_events === 0, 'caught up');
  await client.close();
});

test("the loop's delay is that since it was asked last, and a freeze counts for all whom it kept waiting", async () => {
  const read = measureLoopDelay();
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  await wait(200);
  read();
  const freezeEnd = performance.now() + 400;
  while (performance.now() < freezeEnd); // what any long computation does
  await wait(400);
  const frozen = read();
  await wait(400);
  const calm = read();
  assert.ok(frozen.p99 > 0.25, `a freeze of 0.4 s is ${frozen.p99} s`);
  assert.ok(frozen.max >= frozen.p99 && frozen.max < 2);
  assert.ok(calm.p99 < frozen.p99 / 3, `afterwards ${calm.p99} s`);
});

test('an idle loop has no delay: the interval at which it is measured is not part of it', async () => {
  const read = measureLoopDelay();
  const reads: number[] = [];
  for (let i = 0; i < 6; i++) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    reads.push(read().p99);
  }
  assert.ok(Math.min(...reads) < 0.015, `99 of 100 waited up to ${reads} s, at the calmest of six moments`);
});

test('/readyz is 200 while the database answers, also as HEAD', async () => {
  const answer = await get(`${server.url}/readyz`);
  assert.deepEqual([answer.status, answer.body], [200, { status: 'ready' }]);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.equal((await request('HEAD', `${server.url}/readyz`)).status, 200);
});

/** The handlers over a database of which only this is asked. */
function healthOf(check: () => Promise<void>): ReturnType<typeof createHealthApi> {
  const parts = { store: { check }, isDraining: () => false };
  return createHealthApi(parts as unknown as Parts); // the rest is asked by the other handlers
}

const statusOf = (asked: Promise<void>) =>
  asked.then(
    () => 200,
    (error) => (error instanceof Problem ? error.status : error),
  );
const call = {
  res: { reserve() {}, begin() {}, end() {} },
} as unknown as Call; // as much of an answer as is written to

/** Two that ask one after the other, where the database says nothing. */
function askInVain() {
  const silent = healthOf(() => new Promise(() => {}));
  const first = silent.readyz(call);
  const second = first.catch(() => statusOf(silent.readyz(call)));
  return { first, second };
}

const silence = askInVain(); // it takes 4 s: so it begins with the file, and is looked at last

test('/readyz is a 503 in the words of the database, or when it says nothing for two seconds', async () => {
  const full = healthOf(() => Promise.reject(unavailable('The disk is full.')));
  await assert.rejects(full.readyz(call), /The disk is full\./);
  await assert.rejects(silence.first, /has not answered for 2 s/);
  assert.equal(await silence.second, 503);
});

test('however many ask /readyz at once, the database is asked once', async () => {
  let asked = 0;
  const health = healthOf(async () => {
    asked += 1;
    await new Promise(setImmediate);
  });
  await Promise.all(Array.from({ length: 50 }, () => health.readyz(call)));
  await health.readyz(call);
  assert.equal(asked, 2);
});
