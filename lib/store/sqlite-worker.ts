// What runs in the writing thread: the connection that writes, and everything that may wait for a disk, which is
// commits, checkpoints, pruning, other programs' triggers, and closing. It answers one question after another. Between
// them it looks whether the files are still those that it opened, and whether the watched tables are as they were.
import { existsSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { StartError } from '../config.ts';
import type { Result } from './group-commit.ts';
import { failureOf, isBusy } from './sqlite.ts';
import { type FileOptions, type OpenedFile, openSqliteFile, WAL_LIMIT_BYTES } from './sqlite-file.ts';
import { FileGuard, type Trouble } from './sqlite-guard.ts';
import { applyWatch, endWatch } from './sqlite-watch.ts';
import { planWatch } from './sqlite-watch-plan.ts';
import { SqliteWriter, unavailable } from './sqlite-writer.ts';
import type { Order } from './store.ts';

const LOOK_MS = 100; // how often the files are looked at: for so long a removed -wal may hold what is nowhere else
const SOON_MS = 1000; // so long a file may be away before what is there now is opened instead
const RENEW_MS = 20_000; // a third of a lease, so that two renewals may fail
const SCHEMA_PAUSE_MS = 1000; // two versions of this program on one file would else take turns without end

export type ThreadOptions = FileOptions & { retention: number };

/** What it says when the file is open. */
export type Started = {
  notice: string | undefined;
  hasCustomers: boolean;
  /** The watched tables, by the names that they were created with. */
  watch: ReadonlySet<string>;
};

/** An answer; or why the file must be opened anew. */
export type Message = { answer: unknown } | { reopen: string };

/** What the loop may ask for. Orders and answers are plain data: they are copied from one thread to the other. */
export type Methods = typeof methods;

const methods = { openFile, commit, close };

/** What the thread was started with; as `SqliteThread.open` was given it. */
const { retention, ...options } = workerData as ThreadOptions;
const port = parentPort!; // this file is run by a thread alone
const send = (message: Message) => port.postMessage(message);

type Open = OpenedFile & { guard: FileGuard; writer: SqliteWriter };

/** What is open; undefined after a failure to open it again. */
let open: Open | undefined;
let looking: NodeJS.Timeout | undefined;
/** Since when something has been wrong with the files, by `performance.now()`. */
let troubledSince: number | undefined;
/** What `PRAGMA schema_version` said when the watched tables were looked at last. */
let seenSchema: unknown;
/** When the lease was renewed last, by `performance.now()`. */
let renewedAt = 0;
/** Complaints that were printed; the same one again would fill the log. */
const complaints = new Set<string>();

// A bug of ours. It is told by its stack: errors of SQLite lose their words on the way to the other thread.
process.on('uncaughtException', ({ stack }) => {
  throw new Error(`The thread that writes to SQLite has failed: ${stack}`);
});
port.on('message', ({ name, args }: { name: keyof Methods; args: never[] }) => {
  send({ answer: (methods[name] as (...args: never[]) => unknown)(...args) });
  if (name === 'close') port.close(); // with nothing left to wait for, the thread ends
});

/**
 * Opens the file, the first time or anew, and makes all that depends on the connection. Closing what was open harms no
 * other file: of a database that was moved SQLite deletes nothing, and what stood only in a removed -wal it writes into
 * the database.
 * @returns why it can't be opened, in a line that says what to do
 */
function openFile(isAgain: boolean): Started | { refused: string } {
  try {
    if (open) letGo(open);
    open = undefined; // first, since opening may fail
    if (isAgain && !existsSync(options.path)) return { refused: 'The database file is gone.' }; // SQLite would make an empty one
    const file = openSqliteFile(isAgain ? { ...options, complain } : options);
    const guard = new FileGuard(options.path, file.db);
    open = { ...file, guard, writer: new SqliteWriter(file.db, guard, { ...file, retention }) };
    seenSchema = schemaOf(file.db);
    troubledSince = undefined;
    looking ??= setInterval(look, LOOK_MS);
    const { notice, hasCustomers, watched } = file;
    if (isAgain && notice) console.error(notice);
    return { notice, hasCustomers, watch: new Set(watched.map(({ table }) => table)) };
  } catch (error) {
    return { refused: error instanceof StartError ? error.message : failureOf(error).message };
  }
}

/** While the file is away a write is refused at once, and nothing is kept for later: whoever asked may ask again. */
function commit(orders: Order[], announced: number): Result[] {
  if (open) return open.writer.commit(orders, announced);
  return orders.map(() => unavailable('The database is away.'));
}

/** Does what another program's lock, or the machine, may prevent: that is no loss, or there is a next time. */
function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!isBusy(error)) failureOf(error);
  }
}

// --- the files under it

/** What is wrong with the files is told; where nothing is, there is time for what is done now and then. */
function look(): void {
  if (!open) return tell({ reason: 'The database is away.', reopen: 'soon' });
  const { db, guard } = open;
  const trouble = guard.trouble();
  if (trouble) return tell(trouble);
  troubledSince = undefined;
  renewIfDue(open);
  // Readers that stayed long have let it grow; without this it would stay as large until the next write.
  attempt(() => guard.walBytes() > WAL_LIMIT_BYTES && db.pragma('wal_checkpoint(TRUNCATE)'));
}

/**
 * The loop is told when it should let go of the file, so that it can be opened anew. Again and again, as long as it
 * lasts: the new file may not be there yet, or not whole.
 */
function tell({ reason, reopen }: Trouble): void {
  troubledSince ??= performance.now();
  const isDue = reopen === 'now' || (reopen === 'soon' && performance.now() - troubledSince > SOON_MS);
  if (!isDue) return;
  troubledSince = performance.now();
  send({ reopen: reason });
}

/**
 * Beside a database that was replaced lies the -wal of the one before: SQLite would write its pages into the successor,
 * and spoil it. So what is in it goes where it belongs, and what can't is taken away.
 */
function letGo({ db, guard }: Open): void {
  const isReplaced = guard.trouble()?.reopen === 'now';
  // By its open handles SQLite still writes to the old files, also where their names are gone.
  if (isReplaced) attempt(() => db.pragma('wal_checkpoint(TRUNCATE)'));
  db.close();
  if (isReplaced) guard.removeWal();
}

// --- watching

/**
 * Says again what this server watches: before its lease runs out, and where a table was made anew, or has another
 * column or UNIQUE index.
 */
function renewIfDue({ db, hasCustomers }: Open): void {
  const waited = performance.now() - renewedAt;
  if (waited < SCHEMA_PAUSE_MS) return;
  try {
    if (waited < RENEW_MS && schemaOf(db) === seenSchema) return;
    const watched = planWatch(db, options.watch, complain);
    applyWatch(db, watched, { hasCustomers, isRenewal: true });
    seenSchema = schemaOf(db); // our own triggers change it too
  } catch (error) {
    if (isBusy(error)) return; // the next look tries again
    failureOf(error);
  }
  renewedAt = performance.now(); // also where it failed, which would else be told ten times a second
}

/** SQLite raises it with each change of a schema, whoever makes it; reading it takes some microseconds. */
function schemaOf(db: OpenedFile['db']): unknown {
  return db.pragma('schema_version', { simple: true });
}

/** One line for each table that is away, once: at every renewal again it would fill the log. */
function complain({ message }: StartError): void {
  if (!complaints.has(message)) console.error(message);
  complaints.add(message);
}

/** Whoever closes last writes the -wal into the database, which may take long: so it is done in this thread. */
function close(): undefined {
  clearInterval(looking); // before the database is closed, so that no look comes after it
  if (!open) return;
  const { db, guard } = open;
  // So that another server may take the triggers down at its start, and need not wait for the lease to run out.
  attempt(() => {
    if (!guard.trouble()) endWatch(db);
  });
  db.close();
}
