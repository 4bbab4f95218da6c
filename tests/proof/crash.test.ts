// kill -9 in the middle of everything. What was acknowledged is on disk, once; whoever was cut off goes on
// from its last id with the restarted server, as if nothing had happened.
import { test } from 'node:test';
import { surviveCrashes } from '../support/chaos.ts';

const seed = Number(process.env.SEED || Math.floor(Math.random() * 2 ** 31));

test('kill -9 under load: nothing acknowledged is lost, nothing is doubled or out of order, log and table agree', async (t) => {
  t.diagnostic(`SEED=${seed}`);
  const survived = await surviveCrashes({ seed, crashes: 2, writers: 4, subscribers: 6 });
  t.diagnostic(JSON.stringify(survived));
});
