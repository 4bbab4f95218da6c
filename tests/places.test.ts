// Few work at the same time, and nobody who waits is passed over.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Places } from '../lib/places.ts';

test('who came first has the next place; who has waited too long leaves the line, and fails alone', async () => {
  const places = new Places(1);
  const done: (string | number)[] = [];
  let end = () => {};
  const first = places.use(() => new Promise<void>((resolve) => (end = resolve)), 5000);
  const late = places.use(async () => done.push('late'), 5).catch((error) => done.push(error.status));
  const others = ['a', 'b'].map((name) => places.use(async () => done.push(name), 5000));
  await late;
  end();
  await Promise.all([first, ...others]);
  assert.deepEqual(done, [503, 'a', 'b']);
  await assert.rejects(
    places.use(() => Promise.reject(new Error('its own')), 5),
    /its own/,
  );
  assert.equal(await places.use(async () => 'free again', 5), 'free again');
});
