// Lesson 8: what another program commits to the same database is announced as well, and at once.
import assert from 'node:assert/strict';
import type { Page } from '../page.ts';
import type { Program } from '../program.ts';
import type { Checks } from './check.ts';

const TIMES = 4;
const SOON_SECONDS = 0.25;

/** Another program saves a customer. @returns after how many seconds the page was told */
async function timeOne(program: Program, ada: Page): Promise<number> {
  const before = ada.told.length;
  const startedAt = performance.now();
  program.byHand("INSERT INTO customers (name) VALUES ('Bob')");
  await ada.until(() => ada.told.length > before);
  return (performance.now() - startedAt) / 1000;
}

export const programs: Checks = {
  env: { HEARTBEAT_SECONDS: '3600' }, // a heartbeat would find it too, but late
  checks: [
    {
      promise: 'what another program commits is told, and at once',
      async run(program) {
        const ada = await program.open();
        await timeOne(program, ada);
        // From one that was told just now to the next: the hub has looked, and won't by itself for a while. All of them
        // together: what a busy machine tells late shortens the next one's time by as much.
        let sum = 0;
        for (let i = 0; i < TIMES; i += 1) sum += await timeOne(program, ada);
        const mean = sum / TIMES;
        const sentence = `Another program committed a customer, and for ${mean.toFixed(1)} s nobody has noticed.`;
        assert.ok(mean <= SOON_SECONDS, sentence);
      },
    },
    {
      promise: 'each time, once, and in order',
      async run(program) {
        const ada = await program.open();
        for (const name of ['Cyd', 'Dan', 'Eve'])
          program.byHand(`INSERT INTO customers (name) VALUES ('${name}')`);
        await ada.until(() => ada.told.length >= 3);
        const names = ada.frames
          .filter(({ type }) => type === 'customer.created')
          .map(({ data }) => data?.name);
        const sentence = `Another program saved Cyd, Dan, Eve. Ada was told of: ${names.join(', ') || 'nobody'}.`;
        assert.deepEqual(names, ['Cyd', 'Dan', 'Eve'], sentence);
      },
    },
  ],
};
