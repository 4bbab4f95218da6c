// Lesson 8: what another program commits to the same database is announced as well.
import assert from 'node:assert/strict';
import type { Checks } from './check.ts';

export const programs: Checks = {
  env: { HEARTBEAT_SECONDS: '3600' }, // a heartbeat would find it too, but late
  checks: [
    {
      promise: 'what another program commits is told',
      async run(program) {
        const ada = await program.open();
        await ada.hearsCount(1);
        const startedAt = performance.now();
        program.byHand("INSERT INTO customers (name) VALUES ('Bob')");
        await ada.until(() => ada.told.length > 0);
        const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
        assert.equal(
          ada.told.length,
          1,
          `Another program committed a customer ${seconds} s ago, and nobody has noticed.`,
        );
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
        assert.deepEqual(
          names,
          ['Cyd', 'Dan', 'Eve'],
          `Another program saved Cyd, Dan, Eve. Ada was told of: ${names.join(', ') || 'nobody'}.`,
        );
      },
    },
  ],
};
