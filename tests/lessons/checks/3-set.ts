// Lesson 3: the hub keeps whoever is connected, forgets whoever has gone, and tells all of them what is new.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Program } from '../program.ts';
import { type Checks, listOf, numbersOf } from './check.ts';

/** Asks until the server counts so many, but not for long. @returns what it counted last */
async function countedUntil(program: Program, wanted: number): Promise<number> {
  for (const end = performance.now() + program.patienceMs; ; await delay(10)) {
    const count = await program.clients();
    if (count === wanted || performance.now() > end) return count;
  }
}

export const set: Checks = {
  env: { HEARTBEAT_SECONDS: '3600' }, // a heartbeat would wake everyone, and hide that a change did not
  checks: [
    {
      promise: 'who has come is in the Set',
      async run(program) {
        const page = await program.open();
        const count = await program.clients();
        assert.equal(count, 1, `One page is open, and the Set holds ${count}.`);
        await page.leave();
      },
    },
    {
      promise: 'who has gone is not',
      async run(program) {
        const page = await program.open();
        const before = await program.clients();
        await page.leave();
        const count = await countedUntil(program, 0);
        assert.equal(
          count,
          0,
          `The last page has gone, and the Set holds ${count}: it is served and kept for ever.`,
        );
        assert.equal(before, 1, 'The page that left was never in the Set.');
      },
    },
    {
      promise: 'all are told of a change, and at once',
      async run(program) {
        const [ada, bob] = await Promise.all([program.open(), program.open()]);
        await Promise.all([ada.hearsCount(2), bob.hearsCount(2)]);
        const { event } = await program.publish({ message: 'hello' });
        await Promise.all([ada.hears(event.id), bob.hears(event.id)]);
        const told = [ada, bob].map((page) => listOf(numbersOf(page.told, [event.id])));
        const sentence = `Two pages are open, and change 1 was saved. Ada was told: ${told[0]}. Bob was told: ${told[1]}.`;
        assert.deepEqual(told, ['1', '1'], sentence);
        await Promise.all([ada.leave(), bob.leave()]);
      },
    },
    {
      promise: 'one that has gone does not silence the rest',
      async run(program) {
        const [ada, bob] = await Promise.all([program.open(), program.open()]);
        bob.cut();
        const { event } = await program.publish({ message: 'hello' });
        await ada.hears(event.id);
        assert.deepEqual(
          ada.told,
          [event.id],
          'Bob was cut off, a change was saved, and Ada was told nothing.',
        );
        await ada.leave();
      },
    },
  ],
};
