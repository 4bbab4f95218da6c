// The move from SQLite to PostgreSQL, for the day when one machine is not enough:
//   npx tsx lib/operations/sqlite-to-postgres.ts changebell.db postgres://user:password@host:5432/database
// Customers keep their ids and times. The log does not move: events get seqs and stamps of the new database, so every
// stream is reset there, as after a restore of another history, and loads a snapshot.
import type Database from 'better-sqlite3';
import { isPostgresUrl, StartError } from '../config.ts';
import { loadPostgres, type Run } from '../store/postgres-connection.ts';
import { openDatabase as openPostgres } from '../store/postgres-start.ts';
import { openDatabase as openSqlite } from '../store/sqlite.ts';

const PAGE = 1000; // customers in one statement: some hundred kilobytes
const BUSY_MS = 5000; // another program may be in the middle of a write

/**
 * A page of rows as one JSON text, so that any number of them is one parameter. The triggers announce each customer in
 * the new log: no row without its event, here as anywhere.
 */
const INSERT = `INSERT INTO bell.customers (id, name, email, created_at, updated_at)
  SELECT * FROM json_to_recordset($1)
    AS row (id bigint, name text, email text, created_at timestamptz, updated_at timestamptz)`;

/** As both tables have it; the times are texts that PostgreSQL reads. */
type Row = { id: number; name: string; email: string | null; created_at: string; updated_at: string };

// A third word is most often a path with a blank in it, cut in two: better refused than taken for something else.
const [file, url, ...rest] = process.argv.slice(2);
try {
  if (!file || !url || rest.length > 0 || !isPostgresUrl(url))
    throw new StartError(
      'It takes two things: the SQLite file, and the postgres:// URL of the new database.',
    );
  await move(file, url);
} catch (error) {
  // All of it is one transaction in the new database, and the old one is only read.
  console.error(`Nothing was moved. ${(error as Error).message}`);
  process.exit(1);
}

/** Opens both, copies, and says what was done. @throws {StartError} one sentence for whoever typed the command */
async function move(path: string, databaseUrl: string): Promise<void> {
  const source = openSource(path);
  const postgres = await loadPostgres(databaseUrl);
  // Our tables are made by the very code that makes them for a server, which also refuses what is no place for them.
  const { client, run, hasCustomers } = await openPostgres(postgres, {
    watch: new Set(),
    hasCustomers: true,
  });
  try {
    // Another program's table of that name stands there: its rows and ours must not mix.
    if (!hasCustomers)
      throw new StartError(`The table "customers" of the ${postgres.describe()} is not ours.`);
    const { count, highest } = await copy(source, run);
    console.log(
      `Moved ${count} customers from ${path} to the ${postgres.describe()}; the next one gets the id ${highest + 1}.`,
    );
  } finally {
    await client.end();
    source.close();
  }
}

/** Locked against whoever writes, until it is closed: what is saved here after the move would be lost. */
function openSource(path: string): Database.Database {
  try {
    const db = openSqlite(path, { fileMustExist: true, timeout: BUSY_MS });
    // It takes the lock of a writer, so servers on this file can still read, and can't write.
    db.exec('BEGIN IMMEDIATE');
    db.prepare('SELECT version FROM changebell_log').get(); // throws where it is no database of ours
    return db;
  } catch (error) {
    throw new StartError(`${path} cannot be moved (${(error as Error).message}).`);
  }
}

/** One transaction: where anything fails, the new database has what it had. */
async function copy(source: Database.Database, run: Run) {
  await run('BEGIN');
  // Against a server that is up already on the new database: a customer that it takes now could have an id of ours.
  await run('LOCK TABLE bell.customers IN SHARE ROW EXCLUSIVE MODE');
  if ((await run('SELECT FROM bell.customers LIMIT 1')).length > 0)
    throw new StartError('The new database has customers already: name an empty one.');
  // By id, not by offset: each page begins where the last one ended, however many there are.
  const read = source.prepare<[number, number], Row>(
    'SELECT * FROM customers WHERE id > ? ORDER BY id LIMIT ?',
  );
  let count = 0;
  // One page in memory at a time.
  for (let page = read.all(0, PAGE); page.length > 0; page = read.all(page.at(-1)!.id, PAGE)) {
    await run(INSERT, [JSON.stringify(page)]);
    count += page.length;
  }
  const highest = await continueIds(source, run);
  await run('COMMIT');
  return { count, highest };
}

/** An id is never used again, that of a deleted customer neither: SQLite has noted the highest that it ever gave. */
async function continueIds(source: Database.Database, run: Run): Promise<number> {
  // Not the highest that there is: that of a deleted customer may be higher.
  const noted = source.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'customers'").pluck().get();
  const highest = Number(noted ?? 0);
  // `false`: the number has not been given yet, so the next customer gets it.
  await run("SELECT setval(pg_get_serial_sequence('bell.customers', 'id'), $1, false)", [highest + 1]);
  return highest;
}
