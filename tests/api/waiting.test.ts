// Requests that wait for an event are woken together, and so they read the log together.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Waiting } from '../../lib/api/waiting.ts';
import type { Cursor } from '../../lib/event.ts';
import type { Stretch } from '../../lib/store/store.ts';
import { range } from '../support/helpers.ts';

const at = (seq: number): Cursor => ({ seq, stamp: 'abcdef01' });

/** A log whose reads end when the test lets them. */
function open() {
  const reads: { after: Cursor; end: (stretch: Stretch) => void }[] = [];
  let commit = () => {};
  const waiting = new Waiting({
    onCommit: (wake) => {
      commit = wake;
    },
    readEvents: (after) => new Promise((end) => reads.push({ after, end })),
  });
  const stretch = (seq: number): Stretch => ({ events: [], end: at(seq), head: at(seq), pruned: at(0) });
  return { waiting, reads, stretch, commit: () => commit() };
}

test('all who look from one place at once share one read', async () => {
  const { waiting, reads, stretch } = open();
  const looks = range(1, 100).map((n) => waiting.readEvents(at(n % 2), 1000, 16, 4096));
  assert.deepEqual(
    reads.map(({ after }) => after.seq),
    [1, 0],
  );
  for (const [i, { end }] of reads.entries()) end(stretch(i));
  assert.equal((await Promise.all(looks)).filter(({ end }) => end.seq === 1).length, 50);
});

test('a read that began before a commit is not shared with who looks after it, nor one that has ended', async () => {
  const { waiting, reads, stretch, commit } = open();
  const before = waiting.readEvents(at(1), 1000, 16, 4096);
  commit();
  const after = waiting.readEvents(at(1), 1000, 16, 4096);
  assert.equal(reads.length, 2);
  reads[0]!.end(stretch(1));
  reads[1]!.end(stretch(2));
  assert.deepEqual([(await before).end.seq, (await after).end.seq], [1, 2]);
  void waiting.readEvents(at(1), 1000, 16, 4096);
  assert.equal(reads.length, 3);
});
