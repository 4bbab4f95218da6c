// Many writes, one commit: what shares a batch, what waits, for how long, and who hears what. The database is a
// function here that commits when the test says so.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Problem } from '../../lib/problem.ts';
import { GroupCommit, type Result } from '../../lib/store/group-commit.ts';
import type { Order } from '../../lib/store/store.ts';
import { eventually, range } from '../support/helpers.ts';

const order = (name: string): Order => ({ op: 'create', fields: { name, email: null } });
const large = (bytes: number): Order => ({
  op: 'publish',
  events: [{ type: 'x', source: '/x', data: 'x'.repeat(bytes), extensions: null }],
  isList: false,
});
const done = (): Result => ({ is: 'done', json: '{}', lastEventId: 'abcdef01-1' });
const isUnavailable = (words: RegExp) => (error: unknown) =>
  error instanceof Problem && error.status === 503 && words.test(error.message);

type Batch = { orders: Order[]; commit: (results?: Result[]) => void; fail: (reason: unknown) => void };

/** A group commit, and the batches that it asked for; each is under way until the test ends it. */
function open() {
  const batches: Batch[] = [];
  const group = new GroupCommit(
    (orders) =>
      new Promise((resolve, reject) => {
        batches.push({ orders, commit: (results = orders.map(done)) => resolve(results), fail: reject });
      }),
  );
  const batch = async (number: number) => {
    await eventually(
      () => batches.length,
      (count) => count >= number,
      `there are ${number} batches`,
    );
    return batches[number - 1]!;
  };
  return { group, batches, batch };
}

test('writes of two turns share one batch, in the order they came', async () => {
  const { group, batches, batch } = open();
  const writes = [group.write(order('a')), group.write(order('b'))];
  await nextTurn();
  writes.push(group.write(order('c')));
  const { orders, commit } = await batch(1);
  assert.deepEqual(orders, ['a', 'b', 'c'].map(order));
  commit();
  await Promise.all(writes);
  assert.equal(batches.length, 1);
});

test('one batch is under way at a time: what comes meanwhile is the next one', async () => {
  const { group, batches, batch } = open();
  const first = group.write(order('first'));
  const { commit } = await batch(1);
  const others = range(1, 5).map((number) => group.write(order(`${number}`)));
  for (const _ of range(1, 10)) await nextTurn();
  assert.equal(batches.length, 1);
  commit();
  await first;
  const second = await batch(2);
  assert.equal(second.orders.length, 5);
  second.commit();
  await Promise.all(others);
});

test('nobody is answered before the commit', async () => {
  const { group, batch } = open();
  let isAnswered = false;
  const write = group.write(order('a')).then(() => {
    isAnswered = true;
  });
  const { commit } = await batch(1);
  for (const _ of range(1, 10)) await nextTurn();
  assert.equal(isAnswered, false);
  commit();
  await write;
});

test('each write hears what came of itself', async () => {
  const { group, batch } = open();
  const writes = [order('a'), order('b'), order('c')].map((one) => group.write(one));
  const { commit } = await batch(1);
  commit([done(), { is: 'refused', status: 409, detail: 'a rule' }, { ...done(), is: 'replayed' } as Result]);
  assert.equal((await writes[0]!).isReplay, false);
  await assert.rejects(writes[1]!, (error) => error instanceof Problem && error.status === 409);
  assert.equal((await writes[2]!).isReplay, true);
});

test('a batch that fails as a whole fails for all of it, and the next one goes on', async () => {
  const { group, batch } = open();
  const writes = [group.write(order('a')), group.write(order('b'))];
  (await batch(1)).fail(new Problem(503, 'The disk is full.'));
  for (const write of writes) await assert.rejects(write, isUnavailable(/disk is full/));
  const next = group.write(order('c'));
  (await batch(2)).commit();
  await next;
  await group.drain();
  assert.ok(group.isIdle);
});

test('what was locked is tried again, and the rest is answered meanwhile', async () => {
  const { group, batch } = open();
  const [locked, free] = [group.write(order('locked')), group.write(order('free'))];
  const isWritten = assert.doesNotReject(locked);
  (await batch(1)).commit([{ is: 'locked' }, done()]);
  await free;
  const second = await batch(2);
  assert.deepEqual(second.orders, [order('locked')]);
  second.commit();
  await isWritten;
});

describe('patience', { concurrency: true }, () => {
  test('what stays locked is refused after 2 s: nothing was changed, and nothing waits any more', async () => {
    const group = new GroupCommit(async (orders) => orders.map((): Result => ({ is: 'locked' })));
    const startedAt = performance.now();
    await assert.rejects(group.write(order('a')), isUnavailable(/Nothing was changed/));
    assert.ok(performance.now() - startedAt > 1900, 'not before its time');
    await group.drain();
    assert.equal(group.waitingBytes, 0);
  });

  test('a commit that hangs is told to be unclear after 2 s, and those who wait behind it that nothing was changed', async () => {
    const { group, batch } = open();
    const flying = group.write(order('flying'));
    const { commit } = await batch(1);
    const waiting = group.write(order('waiting'));
    await Promise.all([
      assert.rejects(flying, isUnavailable(/may have been made, or not/)),
      assert.rejects(waiting, isUnavailable(/Nothing was changed/)),
    ]);
    commit();
    await group.drain();
  });
});

test('what waits is bounded: beyond 64 MiB a write is refused at once', async () => {
  const { group, batch } = open();
  const MIB = 1024 * 1024;
  const writes = Promise.allSettled(range(1, 63).map(() => group.write(large(MIB))));
  await assert.rejects(group.write(large(MIB)), isUnavailable(/Too much waits/));
  const small = group.write(order('there is room for this one'));
  for (let number = 1; !group.isIdle; number += 1) {
    const { orders, commit } = await batch(number);
    const bytes = orders.reduce(
      (sum, one) => sum + (one.op === 'publish' ? one.events[0]!.data.length : 0),
      0,
    );
    assert.ok(bytes <= 8 * MIB, 'a batch has 8 MiB at most');
    commit();
    await nextTurn();
  }
  await small;
  assert.ok(
    (await writes).every(({ status }) => status === 'fulfilled'),
    'what had room was written',
  );
  assert.equal(group.waitingBytes, 0);
});

test('what an event has beside its data counts among the bytes that wait', async () => {
  const { group, batch } = open();
  const extensions = JSON.stringify({ note: 'x'.repeat(20_000) });
  const event = { type: 'x', source: '/x', data: 'null', extensions };
  const write = group.write({ op: 'publish', events: [event], isList: false });
  assert.ok(group.waitingBytes >= 20_000, `20,000 bytes wait, and ${group.waitingBytes} are counted`);
  (await batch(1)).commit();
  await write;
});

test('one write larger than a batch is a batch of its own', async () => {
  const { group, batch } = open();
  const writes = [group.write(large(9_000_000)), group.write(order('next'))];
  const first = await batch(1);
  assert.equal(first.orders.length, 1);
  first.commit();
  (await batch(2)).commit();
  await Promise.all(writes);
});

test('draining waits for the last write', async () => {
  const { group, batch } = open();
  await group.drain(); // nothing is there
  let isDrained = false;
  const write = group.write(order('a'));
  const draining = group.drain().then(() => {
    isDrained = true;
  });
  const { commit } = await batch(1);
  await nextTurn();
  assert.equal(isDrained, false);
  commit();
  await Promise.all([write, draining]);
});
