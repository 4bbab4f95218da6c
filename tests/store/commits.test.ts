// Who hears of a commit, and when: the writer first, then the hub.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Commits } from '../../lib/store/commits.ts';

test('an answer leaves before the hub hears of its commit', async () => {
  const commits = new Commits();
  const order: string[] = [];
  commits.onCommit(() => order.push('hub'));
  const written = Promise.resolve().then(() => commits.committed());
  // As a handler does it: its write has resolved, then it answers, after some more promises on the way.
  await written.then(() => undefined).then(() => order.push('answer'));
  await nextTurn();
  assert.deepEqual(order, ['answer', 'hub']);
});
