// The store on SQLite keeps what a store promises.
import { join } from 'node:path';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { openSqliteStore } from '../../lib/store/sqlite-store.ts';
import { temporaryFolder } from '../support/helpers.ts';
import { testStore } from './store-contract.ts';

const folder = temporaryFolder();
const fileOf = (name: string) => join(folder, `${name}.db`);

testStore({
  open: async (name, eventRetention = 100_000) =>
    openSqliteStore({ databaseUrl: fileOf(name), eventRetention, watch: new Set() }),
  connect: async (name) => {
    const db = openDatabase(fileOf(name));
    return { run: async (sql) => db.exec(sql), close: async () => void db.close() };
  },
});
