// What a watched table costs its writer, on both engines: rows inserted and updated by another program, in
// transactions of 100, with and without WATCH.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { openPostgresStore } from '../../lib/store/postgres-store.ts';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { openSqliteStore } from '../../lib/store/sqlite-store.ts';
import { temporaryFolder } from '../support/helpers.ts';
import { startCluster } from '../support/postgres-cluster.ts';

const TRANSACTIONS = 100;
const ROWS = 100;
const TABLE =
  'CREATE TABLE orders (id integer PRIMARY KEY, customer text, item text, pieces integer, paid boolean)';

type Run = (sql: string) => Promise<unknown>;

/** Microseconds for each row that is written. */
async function cost(run: Run, firstId: number): Promise<number> {
  const begin = performance.now();
  for (let t = 0; t < TRANSACTIONS; t += 1) {
    const ids = Array.from({ length: ROWS }, (_, i) => firstId + t * ROWS + i);
    const values = ids.map((id) => `(${id}, 'Ada Lovelace', 'Analytical Engine', ${id % 7}, NULL)`);
    await run(
      `BEGIN; INSERT INTO orders VALUES ${values.join()};
       UPDATE orders SET pieces = pieces + 1 WHERE id BETWEEN ${ids[0]} AND ${ids.at(-1)}; COMMIT`,
    );
  }
  return ((performance.now() - begin) * 1000) / (2 * TRANSACTIONS * ROWS);
}

async function compare(engine: string, run: Run, watch: () => Promise<{ close: () => Promise<void> }>) {
  await run(TABLE);
  await cost(run, 1);
  const plain = await cost(run, 1_000_000);
  const store = await watch();
  await cost(run, 2_000_000);
  const watched = await cost(run, 3_000_000);
  await store.close();
  const ratio = (watched / plain).toFixed(1);
  console.log(`${engine}: ${plain.toFixed(1)} us a row, watched ${watched.toFixed(1)} us, ratio ${ratio}`);
}

/** Prints a line for each engine. */
export async function run(): Promise<void> {
  const config = { eventRetention: 1_000_000, watch: new Set(['orders']) };
  const file = join(temporaryFolder(), 'bench.db');
  const db = openDatabase(file, { timeout: 5000 });
  db.pragma('journal_mode = WAL');
  const openSqlite = async () => openSqliteStore({ databaseUrl: file, ...config });
  await compare('SQLite', async (sql) => db.exec(sql), openSqlite);
  db.close();

  const cluster = await startCluster(['fsync=on', 'shared_buffers=128MB']);
  const databaseUrl = await cluster.createDatabase('bench');
  const client = await cluster.connect('bench');
  const openPostgres = () => openPostgresStore({ databaseUrl, ...config });
  await compare('PostgreSQL', (sql) => client.query(sql), openPostgres);
  await client.end();
  await cluster.stop();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await run();
