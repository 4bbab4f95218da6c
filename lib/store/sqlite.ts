// better-sqlite3 with one precaution: no connection and no statement of ours is ever garbage collected. From
// Node 24.19 on, an addon of its kind ends the process when that happens (nodejs/node issue 65446). So all
// are kept until the end: prepare what is used often once, and use no `iterate`, which makes new objects.
// And what its errors mean to a caller.
import Database from 'better-sqlite3';
import { Problem, unavailable } from '../problem.ts';

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

/** What the caller may know of a database error; anything else is our bug and stays as it is. */
export function toProblem(error: unknown): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  if (error.code.startsWith('SQLITE_CONSTRAINT')) {
    console.error(`A rule of the database refused a write: ${error.message}`);
    return new Problem(409, 'A rule of the database forbids this change.');
  }
  if (!/^SQLITE_(BUSY|LOCKED|FULL|IOERR|READONLY|CANTOPEN|NOTADB|CORRUPT|PERM|NOMEM)/.test(error.code))
    return error;
  console.error(`The database failed (${error.code}): ${error.message}`);
  return unavailable('The database cannot be written to at the moment. Nothing was changed.');
}
