// The store on PostgreSQL keeps what a store promises, as the one on SQLite does.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openPostgresStore } from '../../lib/store/postgres-store.ts';
import { eventually, range, skipWithout } from '../support/helpers.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';
import { testStore } from './store-contract.ts';

describe('on PostgreSQL', { skip: skipWithout(INITDB, 'postgresql') }, () => {
  let cluster: Cluster;
  const urls = new Map<string, string>();
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster?.stop());

  testStore({
    async open(name, eventRetention = 100_000) {
      const databaseUrl = urls.get(name) ?? (await cluster.createStarted(name));
      urls.set(name, databaseUrl);
      return openPostgresStore({ databaseUrl, eventRetention, watch: new Set() });
    },
    async connect(name) {
      const client = await cluster.connect(name);
      const drafts = () => client.query('SELECT count(*)::int AS many FROM changebell_events WHERE seq < 0');
      return {
        async run(sql) {
          await client.query(sql);
          await eventually(drafts, ({ rows }) => rows[0].many === 0, 'what is committed is numbered');
        },
        close: () => client.end(),
      };
    },
  });

  test('a herd that asks for its places at once is answered together, and each by its own cursor', async (t) => {
    const databaseUrl = await cluster.createDatabase('herd');
    const store = await openPostgresStore({ databaseUrl, eventRetention: 100, watch: new Set() });
    const { head } = await store.position();
    const [forged, ahead] = [
      { ...head, stamp: 'ffffffff' },
      { ...head, seq: 1 },
    ];
    const startedAt = performance.now();
    for (const _ of range(1, 400)) await store.position([head]);
    const one = (performance.now() - startedAt) / 400;
    const herdCame = performance.now();
    // Some ask for several, and some for none.
    const asked = range(1, 1000).flatMap(() => [[head], [forged, ahead], [], [ahead]]);
    const answers = await Promise.all(asked.map((cursors) => store.position(cursors)));
    const many = performance.now() - herdCame;
    const expected = range(1, 1000).flatMap(() => [[undefined], ['unknown-log', 'ahead'], [], ['ahead']]);
    assert.deepEqual(
      answers.map(({ resets }) => resets),
      expected,
    );
    t.diagnostic(`one in ${one.toFixed(2)} ms, four thousand in ${Math.round(many)} ms`);
    assert.ok(many < 1000 * one, `four thousand took ${many} ms, one takes ${one} ms`);
    await store.close();
  });
});
