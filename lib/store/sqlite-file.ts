// Opens a SQLite file with care: whatever is wrong with it is found before anything in it is changed,
// so that a mistaken DATABASE_URL leaves the file as it was.
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { type Config, StartError } from '../config.ts';
import { openDatabase } from './sqlite.ts';
import { applyWatch, planWatch } from './sqlite-watch.ts';

const VERSION = 2;
const LOG = new URL('sqlite-log.sql', import.meta.url);
const CUSTOMERS = new URL('sqlite-customers.sql', import.meta.url);
const CUSTOMER_COLUMNS = 'id,name,email,created_at,updated_at';

/** A connection with our tables in place. @throws {StartError} one line that says what to do */
export function openSqliteFile(path: string, watch: Config['watch']): Database.Database {
  checkHeader(path);
  let db: Database.Database | undefined;
  try {
    db = openDatabase(path, { timeout: 5000 }); // patience at the start only: two servers may start at once
    prepare(db, path, watch);
    return db;
  } catch (error) {
    db?.close();
    throw error instanceof StartError ? error : cannotBeOpened(path, error);
  }
}

/** One line about a database that is damaged, out of reach, or has tables that only look like ours. */
export function cannotBeOpened(path: string, error: unknown): StartError {
  if ((error as NodeJS.ErrnoException).code === 'ERR_DLOPEN_FAILED')
    return new StartError(
      `better-sqlite3 was built for another version of Node: run npm ci with this one (${process.version}).`,
    );
  return new StartError(
    `The database ${path} cannot be opened (${(error as Error).message}): check DATABASE_URL and the file's permissions.`,
  );
}

function checkHeader(path: string): void {
  if (path === ':memory:' || !existsSync(path)) return;
  const header = Buffer.alloc(16);
  try {
    const file = openSync(path, 'r+'); // SQLite would open a file that we may only read, and fail at each write
    const length = readSync(file, header);
    closeSync(file);
    if (length === 0) return; // SQLite makes a database of an empty file
  } catch (error) {
    throw new StartError(
      `The database ${path} cannot be opened to read and write (${(error as NodeJS.ErrnoException).code}): check DATABASE_URL and the file's permissions.`,
    );
  }
  if (header.toString('latin1') === 'SQLite format 3\0') return;
  throw new StartError(`${path} is not a SQLite database: point DATABASE_URL at another file.`);
}

function prepare(db: Database.Database, path: string, watch: Config['watch']): void {
  const version = readVersion(db);
  if (version > VERSION) {
    throw new StartError(
      `The database ${path} was written by a newer version of Changebell (its format is ${version}, this program knows ${VERSION}): start that version instead.`,
    );
  }
  checkCustomers(db, path, watch);
  const triggers = planWatch(db, watch);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL'); // an acknowledged write survives a power cut
  if (version === 0 || !hasTable(db, 'customers')) createSchema(db);
  applyWatch(db, triggers);
  db.pragma('busy_timeout = 0'); // from now on never wait inside SQLite: it would stop the event loop
}

/** 0 where our tables aren't there yet. */
function readVersion(db: Database.Database): number {
  return hasTable(db, 'changebell_log')
    ? (db.prepare('SELECT version FROM changebell_log').pluck().get() as number)
    : 0;
}

/** Are the customers ours? Then it is our trigger that announces them. */
export function hasOurCustomers(db: Database.Database): boolean {
  return (
    db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'changebell_customer_created'").get() !== undefined
  );
}

function hasTable(db: Database.Database, name: string): boolean {
  return db.prepare('SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE').get(name) !== undefined;
}

function checkCustomers(db: Database.Database, path: string, watch: Config['watch']): void {
  const isForeign = hasTable(db, 'customers') && !hasOurCustomers(db);
  if (!isForeign || [...watch].some((table) => table.toLowerCase() === 'customers')) return;
  const columns = db.prepare("SELECT group_concat(name) FROM pragma_table_info('customers')").pluck().get();
  throw new StartError(
    `The database ${path} has a table "customers" (${columns}) that Changebell did not make (${CUSTOMER_COLUMNS}): name it in WATCH to announce its changes, or point DATABASE_URL at another file.`,
  );
}

function createSchema(db: Database.Database): void {
  const create = db.transaction(() => {
    // Another server may have been faster.
    if (readVersion(db) === 0) db.exec(readFileSync(LOG, 'utf8'));
    if (!hasTable(db, 'customers')) db.exec(readFileSync(CUSTOMERS, 'utf8'));
  });
  create.immediate();
}
