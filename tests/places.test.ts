// Few work at the same time, and nobody who waits is passed over.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Places } from '../lib/places.ts';

test('who came first has the next place; who has waited too long leaves the line, and fails alone', async () => {
  const places = new Places(1);
  const done: (string | number)[] = [];
  let end = () => {};
  const first = places.use(() => new Promise<void>((resolve) => (end = resolve)), 5000);
  const come = (name: string, patience: number) =>
    places.use(async () => done.push(name), patience).catch(({ status }) => done.push(status));
  const late = come('late', 5);
  const others = [come('a', 500), come('b', 500)];
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
