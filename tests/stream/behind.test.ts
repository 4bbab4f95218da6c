// How many events a reader of limited scope is behind: counted for many at once, in one pass over the log.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextRound } from 'node:timers/promises';
import type { Cursor, StoredEvent } from '../../lib/event.ts';
import { Scope } from '../../lib/scope.ts';
import type { Store } from '../../lib/store/store.ts';
import { countBehind } from '../../lib/stream/behind.ts';
import { range } from '../support/helpers.ts';

const at = (seq: number): Cursor => ({ seq, stamp: 'abcdef01' });
const subscriber = (...subscribe: string[]) => new Scope({ subscribe });

/** A log of so many events, of seven types in turn; it counts how often it is read. */
function openLog(length: number) {
  const rest = { stamp: 'abcdef01', source: '/x', time: '', data: 'null', extensions: null };
  const log = range(1, length).map((seq): StoredEvent => ({ ...rest, seq, type: `t${seq % 7}` }));
  const reads = { count: 0, areGood: true };
  const readEvents: Store['readEvents'] = async (after, upTo, limit) => {
    reads.count += 1;
    if (!reads.areGood) throw new Error('the database is away');
    const events = log.slice(after.seq, Math.min(upTo, after.seq + limit));
    return { events, end: events.at(-1) ?? after, head: at(length), pruned: at(0) };
  };
  return { store: { readEvents } as Store, log, reads };
}

test('each is told how many it may see between its own place and its own head', async () => {
  const { store, log } = openLog(3000);
  const asked = range(1, 200).map((n) => {
    const [start, head] = [(n * 37) % 1500, 1500 + ((n * 91) % 1501)];
    return { start, head, scope: subscriber(`t${n % 7}`, `t${n % 3}`) };
  });
  const told = asked.map(({ start, head, scope }) => countBehind(store, at(start), at(head), scope));
  const expected = asked.map(
    ({ start, head, scope }) => log.slice(start, head).filter((event) => scope.maySee(event)).length,
  );
  assert.deepEqual(await Promise.all(told), expected);
});

test('the log is read once for all who come back together, wherever they stood', async () => {
  const { store, reads } = openLog(10_000);
  const alone = await countBehind(store, at(0), at(10_000), subscriber('t1'));
  const once = reads.count;
  const herd = range(0, 299).map((n) => countBehind(store, at(n), at(10_000), subscriber(`t${(n + 1) % 7}`)));
  assert.equal((await Promise.all(herd))[0], alone);
  assert.ok(reads.count <= 2 * once + 1, `${reads.count - once} reads for three hundred, ${once} for one`);
});

test('who was away for a moment is not kept waiting by those who were away for long, nor they by many of the others', async () => {
  const { store, reads } = openLog(50_000);
  const far = countBehind(store, at(0), at(50_000), subscriber('t1'));
  const near = range(1, 200).map((n) =>
    countBehind(store, at(49_990 - 200 * n), at(50_000), subscriber('t2')),
  );
  await near[0];
  assert.ok(reads.count <= 3, `the log was read ${reads.count} times for the ten events before its end`);
  await far;
  assert.ok(
    reads.count <= 2 * (50_000 / 500),
    `${reads.count} reads while the log was counted from its beginning`,
  );
  await Promise.all(near);
});

test('everybody else has turns while a herd of many scopes is counted for', async () => {
  const { store } = openLog(5000);
  const scopes = range(1, 300).map((n) => subscriber(...range(1, 40).map((k) => `none-${n}-${k}`)));
  const startedAt = performance.now();
  let isDone = false;
  const herd = Promise.all(scopes.map((scope) => countBehind(store, at(0), at(5000), scope)));
  void herd.then(() => {
    isDone = true;
  });
  let longest = 0;
  for (let last = performance.now(); !isDone; last = performance.now()) {
    await nextRound();
    longest = Math.max(longest, performance.now() - last);
  }
  const all = performance.now() - startedAt;
  assert.ok(longest < all / 5, `one round of the loop took ${longest} ms of ${all}`);
});

test('a log that cannot be read is told to all who wait, and who comes later is counted for', async () => {
  const { store, reads } = openLog(700);
  reads.areGood = false;
  const herd = range(0, 9).map((n) => countBehind(store, at(n), at(700), subscriber('t1')));
  const outcomes = await Promise.allSettled(herd);
  assert.ok(outcomes.every(({ status }) => status === 'rejected'));
  reads.areGood = true;
  assert.equal(await countBehind(store, at(0), at(700), subscriber('t1')), 100);
});
