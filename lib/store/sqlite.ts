// better-sqlite3 with one precaution: no connection and no statement of ours is ever garbage collected. From
// Node 24.19 on, an addon of its kind ends the process when that happens (nodejs/node issue 65446). So all
// are kept until the end, each text's statement once: so prepare where you need it, and put no values into a text. Use no
// `iterate`, which makes new objects. And here stands what its errors mean to a caller.
import Database from 'better-sqlite3';
import { type Problem, unavailable } from '../problem.ts';
import type { Outcome } from './store.ts';
import { tell } from './tell.ts';

const kept: unknown[] = [];

/**
 * A connection, with the options of better-sqlite3. What is prepared again is the statement of before, so that nothing
 * grows with time: whoever sets a mode on it (`pluck`, `raw`) sets it for all who prepare the same text.
 * @throws {SqliteError} if the file can't be opened
 */
export function openDatabase(path: string, options?: Database.Options): Database.Database {
  const db = new Database(path, options);
  const prepare = db.prepare.bind(db);
  const statements = new Map<string, Database.Statement>();
  const keep = (sql: string) => {
    const statement = statements.get(sql) ?? prepare(sql);
    if (!statements.has(sql)) statements.set(sql, statement);
    return statement;
  };
  // The library's own would make a statement for each call.
  const pragma = (source: string, { simple = false } = {}) => {
    const statement = keep(`PRAGMA ${source}`);
    if (!statement.reader) return statement.run();
    return simple ? statement.pluck().get() : statement.pluck(false).all();
  };
  kept.push(db, statements);
  return Object.assign(db, { prepare: keep as Database.Database['prepare'], pragma });
}

/** Runs work in a transaction, or, within one, in a savepoint: what the work throws undoes what it did. */
export type Transaction = (<T>(work: () => T) => T) & {
  /** The lock first: to a transaction that has read already it may be refused (SQLITE_BUSY_SNAPSHOT). */
  immediate<T>(work: () => T): T;
};

/** Made once for a connection: better-sqlite3 takes longer to make one than to run it. */
export function transactionOf(db: Database.Database): Transaction {
  return db.transaction((work: () => unknown) => work()) as Transaction;
}

/** Is it an error of SQLite, with a code that begins like this? */
export function hasCode(error: unknown, code: RegExp): error is Database.SqliteError {
  return error instanceof Database.SqliteError && code.test(error.code);
}

/** Does another connection hold the lock? */
export function isBusy(error: unknown): boolean {
  return hasCode(error, /^SQLITE_(BUSY|LOCKED)/);
}

/** Thrown where we refuse a write ourselves: then what was done for it is undone, as after an error of SQLite. */
export class Refused extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    super(outcome.is);
    this.outcome = outcome;
  }
}

/** What the machine does to a database, and not what a caller asks of it. */
const MACHINE = /^SQLITE_(BUSY|LOCKED|FULL|IOERR|READONLY|CANTOPEN|NOTADB|CORRUPT|PERM|NOMEM|PROTOCOL)/;

/** The outcome of a write that cannot be made, while others can; undefined if the error is of another kind. */
export function refusalOf(error: unknown): Outcome | undefined {
  if (error instanceof Refused) return error.outcome;
  if (!(error instanceof Database.SqliteError) || MACHINE.test(error.code)) return undefined;
  tell(`The database refused a write (${error.code}): ${error.message}`);
  if (error.code.startsWith('SQLITE_CONSTRAINT'))
    return { is: 'refused', status: 409, detail: 'A rule of the database forbids this change.' };
  // A trigger that names a table which is gone, and the like: who wrote it can mend it.
  const detail = 'A rule that another program put into the database does not work. Nothing was changed.';
  return { is: 'refused', status: 503, detail };
}

const NOT_WRITTEN = 'The database cannot be written to at the moment. Nothing was changed.';

/** What the caller may know when the database fails; anything else is our bug and is thrown as it is. */
export function failureOf(error: unknown, detail = NOT_WRITTEN): Problem {
  if (!(error instanceof Database.SqliteError)) throw error;
  tell(`The database failed (${error.code}): ${error.message}`);
  return unavailable(detail);
}
