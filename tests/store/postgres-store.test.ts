// The store on PostgreSQL keeps what a store promises, as the one on SQLite does.
import { after, before, describe } from 'node:test';
import { openPostgresStore } from '../../lib/store/postgres-store.ts';
import { skipWithout } from '../support/helpers.ts';
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
      const databaseUrl = urls.get(name) ?? (await cluster.createDatabase(name));
      urls.set(name, databaseUrl);
      return openPostgresStore({ databaseUrl, eventRetention, watch: new Set() });
    },
    async connect(name) {
      const client = await cluster.connect(name);
      return { run: (sql) => client.query(sql), close: () => client.end() };
    },
  });
});
