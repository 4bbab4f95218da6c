// Whose turn it is. A herd that catches up must not delay those who stand at the head, those at the head must not
// starve a herd, and nobody stands in the queue twice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from '../../lib/stream/client.ts';
import { Rounds } from '../../lib/stream/rounds.ts';
import { range } from '../support/helpers.ts';
import { memoryStream } from '../support/memory-client.ts';

const START = { seq: 0, stamp: 'abcdef' };
const nothingMore = () => false;
const clientAt = (seq: number, name = `${seq}`) =>
  new Client(memoryStream().stream, name, { ...START, seq }, () => {});
const clientNamed = (name: string) => clientAt(0, name);

/** Rounds that note whom they serve; each turn takes so long, and `owed` says who wants another. */
function open({ turnMs = 0, isOwed = (_: Client): boolean => false } = {}) {
  const served: string[] = [];
  const serve = (client: Client) => {
    served.push(client.name);
    const end = performance.now() + turnMs;
    while (performance.now() < end);
    return undefined;
  };
  const rounds = new Rounds({ serve, isOwed });
  return { rounds, served };
}

test('those at the head come first, each group in the order it came', async ({ mock }) => {
  mock.method(performance, 'now', () => 0); // time stands still: a machine that is busy would end the slice earlier
  const { rounds, served } = open();
  for (const name of ['behind 1', 'behind 2']) rounds.add(clientNamed(name), false);
  for (const name of ['live 1', 'live 2']) rounds.add(clientNamed(name), true);
  await rounds.serveSlice(nothingMore);
  assert.deepEqual(served, ['live 1', 'live 2', 'behind 1', 'behind 2']);
  assert.ok(rounds.isEmpty);
});

test('a client stands in the queue once, however often it is added', async () => {
  const { rounds, served } = open();
  const client = clientNamed('one');
  for (const isLive of [true, false, true]) rounds.add(client, isLive);
  await rounds.serveSlice(nothingMore);
  assert.deepEqual(served, ['one']);
  for (const isLive of [false, false, true]) rounds.add(client, isLive);
  await rounds.serveSlice(nothingMore);
  assert.deepEqual(served, ['one', 'one'], 'also where it has come to the head meanwhile');
  rounds.add(client, true);
  await rounds.serveSlice(nothingMore);
  assert.deepEqual(served, ['one', 'one', 'one'], 'and may come again');
});

test('a slice ends after some milliseconds, and the next one goes on where it ended', async () => {
  const { rounds, served } = open({ turnMs: 1 });
  const names = range(1, 30).map((number) => `live ${number}`);
  for (const name of names) rounds.add(clientNamed(name), true);
  await rounds.serveSlice(nothingMore);
  assert.ok(served.length < 15, `${served.length} of 30 were served in one slice`);
  assert.equal(rounds.isOver, false);
  while (!rounds.isOver) await rounds.serveSlice(nothingMore);
  assert.deepEqual(served, names);
});

test('however busy those at the head are, one that is behind has its turn in each slice', async () => {
  const { rounds, served } = open({ turnMs: 3 });
  for (const number of range(1, 10)) rounds.add(clientNamed(`live ${number}`), true);
  rounds.add(clientNamed('behind'), false);
  await rounds.serveSlice(nothingMore);
  assert.ok(served.includes('behind'), `${served} were served`);
});

test('who is owed more is put back, and waits for the next slice', async () => {
  let more = 3;
  const { rounds, served } = open({ isOwed: () => more-- > 0 });
  rounds.add(clientNamed('behind'), false);
  await rounds.serveSlice(nothingMore);
  assert.deepEqual([served.length, rounds.isEmpty], [1, false]);
  while (!rounds.isEmpty) await rounds.serveSlice(nothingMore);
  assert.equal(served.length, 4);
});

test('those who stand near each other in the log have their turns together, so that one read serves them all', async () => {
  const { rounds, served } = open();
  for (const seq of [0, 50_000, 100_000, 10, 50_010, 100_010]) rounds.add(clientAt(seq), false);
  while (!rounds.isEmpty) await rounds.serveSlice(nothingMore);
  assert.deepEqual(served, ['0', '10', '50000', '50010', '100000', '100010']);
});

test('those who stand far from each other share a slice all the same: a place of the log costs no round of the loop', async ({
  mock,
}) => {
  mock.method(performance, 'now', () => 0);
  const { rounds, served } = open();
  const places = range(0, 99).map((n) => 10_000 * n);
  for (const seq of places.toReversed()) rounds.add(clientAt(seq), false);
  await rounds.serveSlice(nothingMore);
  assert.deepEqual(served, places.map(String));
  assert.ok(rounds.isEmpty);
});

test('where there is always somebody who wants more, the rest of the log has its turn all the same', async ({
  mock,
}) => {
  let now = 0;
  mock.method(performance, 'now', () => now);
  const { rounds, served } = open({ isOwed: () => true });
  for (const seq of [0, 50_000, 100_000]) rounds.add(clientAt(seq), false);
  for (; now < 200; now += 1) await rounds.serveSlice(nothingMore);
  const turns = served.filter((name, i) => name !== served[i - 1]);
  assert.deepEqual(
    turns.slice(0, 4),
    ['0', '50000', '100000', '0'],
    'each for some 50 ms, and again from the beginning',
  );
});

test('a slice waits for a client that must be read for', async () => {
  const served: string[] = [];
  const serve = async (client: Client) => {
    await new Promise((resolve) => setImmediate(resolve));
    served.push(client.name);
  };
  const rounds = new Rounds({ serve, isOwed: () => false });
  for (const name of ['one', 'two']) rounds.add(clientNamed(name), false);
  while (!rounds.isEmpty) await rounds.serveSlice(nothingMore);
  assert.deepEqual(served, ['one', 'two']);
});

test('one that stands at the head when it moves goes first, though it waited behind the herd', async () => {
  const { rounds, served } = open();
  const [herd, live] = [clientNamed('herd'), clientNamed('live')];
  for (const client of [herd, live]) rounds.add(client, false);
  rounds.add(live, true);
  while (!rounds.isEmpty) await rounds.serveSlice(nothingMore);
  assert.deepEqual(served, ['live', 'herd']);
});

test('a round rests as long as it took, but 25 ms at most, and only where more came meanwhile', async () => {
  const restAfter = async (turnMs: number, hasMore: boolean) => {
    const { rounds } = open({ turnMs });
    rounds.start();
    rounds.add(clientNamed('live'), true);
    await rounds.serveSlice(() => hasMore);
    return rounds.restMs;
  };
  assert.equal(await restAfter(5, false), 0);
  // The most of several: where the machine holds this process up, the rest is over before it is read.
  const restsAfter = async (turnMs: number) => {
    const rests: number[] = [];
    for (const _ of range(1, 4)) rests.push(await restAfter(turnMs, true));
    return Math.max(...rests);
  };
  const short = await restsAfter(5);
  assert.ok(short > 0 && short <= 25, `${short} ms of rest after a round of 5 ms`);
  const long = await restsAfter(40);
  assert.ok(long > 10 && long <= 25, `${long} ms of rest after a round of 40 ms`);
});

test('one whose round is not over does not rest, whatever has come', async () => {
  const { rounds } = open({ turnMs: 3 });
  rounds.start();
  for (const name of ['live 1', 'live 2']) rounds.add(clientNamed(name), true);
  await rounds.serveSlice(() => true);
  assert.deepEqual([rounds.isOver, rounds.restMs], [false, 0]);
});
