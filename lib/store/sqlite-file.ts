// Opens a SQLite file with care: whatever is wrong with it is found before anything in it is changed, so that a
// mistaken DATABASE_URL leaves the file as it was. First looks, then WAL mode, which writes into the file, then one
// transaction in which all of ours is brought up to date.
import { existsSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { StartError } from '../config.ts';
import { WATCHED_RESOURCES } from '../resources.ts';
import { hasCode, openDatabase } from './sqlite.ts';
import { create, createTables, findStrangeTable, mendSchema, VERSION } from './sqlite-schema.ts';
import { needsUpgrade, upgrade } from './sqlite-upgrade.ts';
import { applyWatch } from './sqlite-watch.ts';
import { planWatch, type WatchedTable } from './sqlite-watch-plan.ts';
import { cannotWatch } from './watch.ts';

/** What of the settings the file must fit. */
export type FileOptions = {
  path: string;
  /** Tables whose changes are announced too, as WATCH names them. */
  watch: ReadonlySet<string>;
  /** False: no table of customers is made, and one that is there is left alone. */
  hasCustomers: boolean;
  /** A watched table that isn't there is an error at the start; later it is told here, and the others go on. */
  complain?: (error: StartError) => void;
};

/** A connection that may write; and what people should hear, if something was brought up to date. */
export type OpenedFile = {
  db: Database.Database;
  hasCustomers: boolean;
  watched: WatchedTable[];
  notice: string | undefined;
};

/** The -wal is cut back to this, after whatever made it grow. */
export const WAL_LIMIT_BYTES = 64 * 1024 * 1024;

/**
 * A connection with our tables in place: it writes in WAL mode, durably, and waits for nobody. What was opened is
 * closed again where it can't be used.
 * @throws {StartError} one line that says what to do
 */
export function openSqliteFile(options: FileOptions): OpenedFile {
  const { path } = options;
  checkNewFile(options);
  let db: Database.Database | undefined;
  try {
    db = openDatabase(path, { timeout: 5000 }); // patience at the start only: two servers may start at once
    return prepare(db, options);
  } catch (error) {
    db?.close();
    throw error instanceof StartError ? error : cannotBeOpened(path, error);
  }
}

/** One line about a database that is damaged, out of reach, or has tables that only look like ours. */
function cannotBeOpened(path: string, error: unknown): StartError {
  // Not the file's fault: the addon is compiled for one version of Node's binary interface.
  if ((error as NodeJS.ErrnoException).code === 'ERR_DLOPEN_FAILED')
    return new StartError(
      `better-sqlite3 was built for another version of Node: run npm ci with this one (${process.version}).`,
    );
  if ('tries' in (error as object))
    return new StartError(
      'better-sqlite3 has no native file here: run npm ci, and let it run scripts. Where none can be fetched it compiles one, with Python and a C++ compiler.',
    );
  if (hasCode(error, /^SQLITE_NOTADB/))
    return new StartError(`${path} is not a SQLite database: point DATABASE_URL at another file.`);
  return new StartError(
    `The database ${path} cannot be opened to read and write (${(error as Error).message}): check DATABASE_URL and the file's permissions.`,
  );
}

/**
 * SQLite would make the file, and a mistyped DATABASE_URL leave it behind. A new one has no table of an application.
 * @throws {StartError}
 */
function checkNewFile({ path, watch, complain }: FileOptions): void {
  const theirs = [...watch].filter((name) => !WATCHED_RESOURCES.some(({ table }) => table === name));
  if (complain || theirs[0] === undefined || existsSync(path)) return;
  throw cannotWatch(theirs[0], `there is no such table, nor the file ${path}: check DATABASE_URL`);
}

/** In this order: what can refuse the file comes before what changes it. @throws {StartError} */
function prepare(db: Database.Database, options: FileOptions): OpenedFile {
  const { path, watch, complain } = options;
  checkVersion(db, path);
  checkCustomers(db, options);
  for (const { table } of WATCHED_RESOURCES) if (!hasTable(db, table)) create(db, table);
  const watched = planWatch(db, watch, complain); // before WAL mode: a start that is refused leaves the file as it was
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL'); // an acknowledged write survives a power cut
  db.pragma(`journal_size_limit = ${WAL_LIMIT_BYTES}`); // what a long reader made it grow to is given back
  const { notice, hasCustomers } = db.transaction(() => bringUpToDate(db, options)).immediate();
  // In a transaction of its own: it is renewed later as well, and each time it is the same.
  applyWatch(db, watched, { hasCustomers, isRenewal: false });
  db.prepare('SELECT count(*) FROM changebell_log').get(); // only now its -wal and -shm are there for sure
  db.pragma('busy_timeout = 0'); // from now on nobody waits inside SQLite: whoever asks may try again
  return { db, hasCustomers, watched, notice };
}

/** 0 where our tables aren't there yet; NaN where the table is there and says no version. */
function readVersion(db: Database.Database): number {
  if (!hasTable(db, 'changebell_log')) return 0;
  const version = db.prepare('SELECT version FROM changebell_log').pluck().get();
  return Number(version) || Number.NaN;
}

/**
 * A newer version may mean by our tables what we don't know, and would find what we wrote wrong. And tables that only
 * have our names may be another program's: neither is written to.
 * @throws {StartError}
 */
function checkVersion(db: Database.Database, path: string): void {
  const version = readVersion(db);
  if (version === 0) return;
  if (version > VERSION)
    throw new StartError(
      `The database ${path} was written by a newer version of Changebell (its format is ${version}, this program knows ${VERSION}): start that version instead.`,
    );
  const strange = findStrange(db, version);
  if (strange === undefined) return;
  throw new StartError(
    `The database ${path} has tables of Changebell, but ${strange} is not as this program made it: restore a backup, or point DATABASE_URL at another file.`,
  );
}

/** A table that isn't what it would be in a database of this version; undefined if all are. */
function findStrange(db: Database.Database, version: number): string | undefined {
  if (version !== 1 && version !== VERSION) return 'changebell_log';
  if (version === VERSION && !needsUpgrade(db)) return findStrangeTable(db);
  return hasTable(db, 'changebell_events') ? undefined : 'changebell_events'; // older ones had other tables beside
}

/**
 * Another server may have been faster: so all of it is looked at again in one transaction. What it changes is told to
 * people, but for what a new file gets.
 */
function bringUpToDate(db: Database.Database, { path, hasCustomers }: FileOptions) {
  const version = readVersion(db);
  const isOld = version > 0 && needsUpgrade(db);
  const isMissing = hasCustomers && !hasTable(db, 'customers');
  const isOurs = isMissing || hasOurCustomers(db); // asked first: an upgrade takes down what they are known by
  if (version === 0) createTables(db);
  if (isOld) upgrade(db);
  create(db, 'evictions'); // it came later, without a version of its own, since it holds nothing for long
  if (isMissing) {
    db.exec('DROP VIEW IF EXISTS changebell_customers'); // it may have outlived its table
    create(db, 'customers');
  }
  const mended = mendSchema(db, isOurs);
  const what = isOld
    ? `its tables were made anew (format ${VERSION})`
    : mended.length > 0 && `${mended.join(', ')} made anew`;
  const notice = version > 0 && what ? `The database ${path} was brought up to date: ${what}.` : undefined;
  return { notice, hasCustomers: isOurs && hasCustomers };
}

/** Are the customers ours? Then it is our triggers that announce them. */
function hasOurCustomers(db: Database.Database): boolean {
  const find = db.prepare(`SELECT 1 FROM sqlite_schema
    WHERE name = 'changebell_customers' OR (type = 'trigger' AND name GLOB 'changebell_customer_*')`);
  return hasTable(db, 'customers') && find.get() !== undefined;
}

/** Of any kind, a view as well: SQLite keeps their names in one space, and compares them without case. */
function hasTable(db: Database.Database, name: string): boolean {
  return db.prepare('SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE').get(name) !== undefined;
}

/**
 * Another program's table is left alone; only WATCH says that it may be announced. Of ours another program may have
 * renamed a column: its triggers would then be made anew in vain, and break every write.
 * @throws {StartError}
 */
function checkCustomers(db: Database.Database, { path, watch, hasCustomers }: FileOptions): void {
  if (!hasTable(db, 'customers')) return;
  const columns = db.prepare<[], string>("SELECT name FROM pragma_table_info('customers')").pluck().all();
  const isOurs = hasOurCustomers(db);
  const missing = CUSTOMER_COLUMNS.filter((name) => !columns.includes(name));
  if (isOurs && missing.length > 0)
    throw new StartError(
      `The database ${path} has the table "customers" that Changebell made, but without ${missing.join()}: give its columns their names back.`,
    );
  if (isOurs || !hasCustomers || [...watch].some((table) => table.toLowerCase() === 'customers')) return;
  throw new StartError(
    `The database ${path} has a table "customers" (${columns}) that Changebell did not make (${CUSTOMER_COLUMNS}): name it in WATCH to announce its changes, or point DATABASE_URL at another file.`,
  );
}

const CUSTOMER_COLUMNS = ['id', 'name', 'email', 'created_at', 'updated_at'];
