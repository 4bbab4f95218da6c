// A database as another program's hands have it, for the checks and the ladder. Nothing of better-sqlite3 may be garbage
// collected: from Node 24.19 on that ends the process (nodejs/node issue 65446). lib/ has the same, and may be broken here.
import Database from 'better-sqlite3';

const kept: unknown[] = [];

/** Runs statements on a connection of their own. @throws {SqliteError} */
export function runSql(file: string, sql: string, waitMs: number): void {
  const db = new Database(file, { timeout: waitMs });
  kept.push(db);
  try {
    db.exec(sql);
  } finally {
    db.close();
  }
}
