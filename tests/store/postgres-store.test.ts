// The store on PostgreSQL keeps what a store promises, as the one on SQLite does.
import { after, before, describe } from 'node:test';
import { openPostgresStore } from '../../lib/store/postgres-store.ts';
import { eventually, skipWithout } from '../support/helpers.ts';
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
});
