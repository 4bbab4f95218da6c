// better-sqlite3 with one precaution: no connection and no statement of ours is ever garbage collected. From
// Node 24.19 on, an addon of its kind ends the process when that happens (nodejs/node issue 65446). So all
// are kept until the end: prepare what is used often once, and use no `iterate`, which makes new objects.
import Database from 'better-sqlite3';

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
