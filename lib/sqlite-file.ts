// Opens a SQLite file with care: whatever is wrong with it is found before anything in it is changed,
// so that a mistaken DATABASE_URL leaves the file as it was.
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { StartError } from './config.ts';
import { openDatabase } from './sqlite.ts';

const VERSION = 1;
const SCHEMA = new URL('sqlite-schema.sql', import.meta.url);
const CUSTOMER_COLUMNS = 'id,name,email,created_at,updated_at';

/** A connection with our tables in place. @throws {StartError} one line that says what to do */
export function openSqliteFile(path: string): Database.Database {
  checkHeader(path);
  let db: Database.Database | undefined;
  try {
    db = openDatabase(path, { timeout: 5000 }); // patience at the start only: two servers may start at once
    prepare(db, path);
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

function prepare(db: Database.Database, path: string): void {
  const version = readVersion(db);
  if (version > VERSION) {
    throw new StartError(
      `The database ${path} was written by a newer version of Changebell (its format is ${version}, this program knows ${VERSION}): start that version instead.`,
    );
  }
  if (version === 0) checkCustomers(db, path);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL'); // an acknowledged write survives a power cut
  if (version === 0) createSchema(db);
  db.pragma('busy_timeout = 0'); // from now on never wait inside SQLite: it would stop the event loop
}

/** 0 where our tables aren't there yet. */
function readVersion(db: Database.Database): number {
  const hasLog = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'changebell_log'").get();
  return hasLog ? (db.prepare('SELECT version FROM changebell_log').pluck().get() as number) : 0;
}

function checkCustomers(db: Database.Database, path: string): void {
  const columns = db.prepare("SELECT group_concat(name) FROM pragma_table_info('customers')").pluck().get();
  if (columns === null) return;
  throw new StartError(
    `The database ${path} has a table "customers" (${columns}) that Changebell did not make (${CUSTOMER_COLUMNS}): point DATABASE_URL at another file.`,
  );
}

function createSchema(db: Database.Database): void {
  const create = db.transaction(() => {
    if (readVersion(db) === 0) db.exec(readFileSync(SCHEMA, 'utf8')); // another server may have been faster
  });
  create.immediate();
}
