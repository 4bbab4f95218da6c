// better-sqlite3 with one precaution: no connection and no statement of ours is ever garbage collected. From
// Node 24.19 on, an addon of its kind ends the process when that happens (nodejs/node issue 65446). So all
// are kept until the end: prepare what is used often once, and use no `iterate`, which makes new objects.
// And what its errors mean to a caller.
import Database from 'better-sqlite3';
import { unavailable } from '../problem.ts';
import type { Outcome } from './store.ts';

const kept: unknown[] = [];

/** A connection. */
export function openDatabase(path: string, options?: Database.Options): Database.Database {
  const db = new Database(path, options);
  const prepare = db.prepare.bind(db);
  const keep = (sql: string) => {
    const statement = prepare(sql);
    kept.push(statement);
    return statement;
  };
  const pragma = (source: string, { simple = false } = {}) => {
    const statement = keep(`PRAGMA ${source}`);
    if (!statement.reader) return statement.run();
    return simple ? statement.pluck().get() : statement.all();
  };
  kept.push(db);
  return Object.assign(db, { prepare: keep as Database.Database['prepare'], pragma });
}

/** Does another connection hold the lock? */
export function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && /^SQLITE_(BUSY|LOCKED)/.test(error.code);
}

/** The outcome of a write that a rule of the database forbids; undefined if the error is of another kind. */
export function refusalOf(error: unknown): Outcome | undefined {
  if (!(error instanceof Database.SqliteError) || !error.code.startsWith('SQLITE_CONSTRAINT'))
    return undefined;
  console.error(`A rule of the database refused a write: ${error.message}`);
  return { is: 'refused', status: 409, detail: 'A rule of the database forbids this change.' };
}

/** What the caller may know of a database error; anything else is our bug and stays as it is. */
export function toProblem(error: unknown): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  if (!/^SQLITE_(BUSY|LOCKED|FULL|IOERR|READONLY|CANTOPEN|NOTADB|CORRUPT|PERM|NOMEM)/.test(error.code))
    return error;
  console.error(`The database failed (${error.code}): ${error.message}`);
  return unavailable('The database cannot be written to at the moment. Nothing was changed.');
}
