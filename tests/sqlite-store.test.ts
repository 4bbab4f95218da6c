// The store on SQLite keeps what a store promises.
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { openSqliteStore } from '../lib/sqlite-store.ts';
import { temporaryFolder } from './helpers.ts';
import { testStore } from './store-contract.ts';

const folder = temporaryFolder();
const fileOf = (name: string) => join(folder, `${name}.db`);

testStore({
  open: async (name, eventRetention = 100_000) =>
    openSqliteStore({ databaseUrl: fileOf(name), eventRetention, watch: new Set() }),
  connect: async (name) => {
    const db = new Database(fileOf(name));
    return { run: async (sql) => db.exec(sql), close: async () => void db.close() };
  },
});
