// The commands that a user is given, as they stand in the README. The other tests start the program in a way that takes
// less time where Node can't strip types by itself.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { get, startServer } from '../support/helpers.ts';
import { stripTypes } from '../support/typescript.ts';

const tsx = createRequire(import.meta.url).resolve('tsx/cli'); // what npx runs

for (const [command, before] of [
  ['npx tsx server.ts', [tsx]],
  ['node --import tsx server.ts', ['--import', 'tsx']],
  ...(stripTypes.length === 0 ? [['node server.ts', []] as const] : []), // Node 22.18 and later
] as const) {
  test(`${command} starts it, and it answers`, async () => {
    const server = await startServer({}, before);
    assert.equal((await get(`${server.url}/api/customers`)).status, 200);
    assert.equal((await server.stop()).code, 0);
  });
}
