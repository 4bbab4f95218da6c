// WATCH on SQLite: who watches what, and which triggers stand for it. Several servers may watch different tables of one
// file, so a table `changebell_watching` says who watches what, each for the time of a lease. A server renews its rows;
// one that was killed can't take its own away, so a table's triggers go when the last lease on it has run out.
import type Database from 'better-sqlite3';
import { quote } from './sqlite-json.ts';
import { PREFIX, type Trigger, type WatchedTable } from './sqlite-watch-plan.ts';

/** How long a server counts as watching, unless it says so again: it does every 20 s, so two renewals may fail. */
const LEASE_SECONDS = 60;

/**
 * Puts up the triggers that this server wants, takes down what nobody watches, and renews the server's lease: one
 * transaction, so that no other program writes while a table has only some of its triggers. A trigger that is right is
 * left as it is, since each change of a schema makes every program prepare its statements anew.
 *
 * At the start, what no lease covers is taken down at once: this may be the server that left it, with another WATCH.
 * With `isRenewal`, only where a lease has just run out: what a server left that stopped in good order stays, so that
 * nothing is missed until it is started again.
 * @param server the name of this server's lease
 * @throws {SqliteError} `SQLITE_BUSY` while another program writes: then nothing was changed
 */
export function applyWatch(
  db: Database.Database,
  wanted: WatchedTable[],
  server: string,
  { isRenewal = false } = {},
): void {
  const mine = wanted.flatMap(({ triggers }) => triggers);
  const renew = db.transaction(() => {
    const dead = new Set(deadTables(db)); // before they are forgotten
    sayWhatIsWatched(db, wanted, server);
    const live = new Set(watchedTables(db));
    changeTriggers(db, mine, ({ table }) => !live.has(table) && (!isRenewal || dead.has(table)));
  });
  const found = readTriggers(db);
  const isDue = isRenewal ? deadTables(db).length > 0 || found.some(isAside) : found.length > 0;
  // Who watches nothing, and finds nothing to take down, needs no lock: it must not fail for another's transaction.
  if (mine.length > 0 || isDue) renew.immediate(); // takes the lock before it reads, so what it has read stays true
}

/** @param isOver does nobody watch the table of this trigger any more? */
function changeTriggers(db: Database.Database, mine: Trigger[], isOver: (trigger: Trigger) => boolean): void {
  // The text counts: a column may have come, or this may be another version of the program.
  const isWanted = (one: Trigger) => mine.some(({ name, sql }) => name === one.name && sql === one.sql);
  const isMine = (one: Trigger) => mine.some(({ table }) => table === one.table);
  for (const one of readTriggers(db))
    if (isAside(one) || (isMine(one) ? !isWanted(one) : isOver(one)))
      db.exec(`DROP TRIGGER ${quote(one.name)}`);
  // Asked again: what was taken down a moment ago, since its text is an old one, is among what is missing now.
  const left = new Set(readTriggers(db).map(({ name }) => name));
  for (const { name, sql } of mine) if (!left.has(name)) db.exec(sql);
}

/**
 * A table that is renamed takes its triggers with it. It is not the one that WATCH names any more; another may have its
 * name by now; and with `legacy_alter_table` what the triggers say of the table itself would not work.
 */
function isAside({ name, table }: Trigger): boolean {
  return !name.startsWith(`${PREFIX}${table}_`);
}

/**
 * This server watches no longer. Its triggers stay, so that nothing is missed until it is started again. Who
 * watches nothing only reads: a DELETE needs the lock even where it finds nothing, and would fail for another's sake.
 */
export function endWatch(db: Database.Database, server: string): void {
  const hasRows = db.prepare('SELECT 1 FROM changebell_watching WHERE server = ?').get(server);
  if (hasRows) db.prepare('DELETE FROM changebell_watching WHERE server = ?').run(server);
}

// --- who watches what

/** Renews the lease of this server, with what it watches now, and forgets those that ran out. */
function sayWhatIsWatched(db: Database.Database, wanted: WatchedTable[], server: string): void {
  db.exec("DELETE FROM changebell_watching WHERE until < CAST(strftime('%s', 'now') AS INTEGER)");
  db.prepare('DELETE FROM changebell_watching WHERE server = ?').run(server);
  const say = db.prepare(
    `INSERT INTO changebell_watching VALUES (?, ?, CAST(strftime('%s', 'now') AS INTEGER) + ${LEASE_SECONDS})`,
  );
  for (const { table } of wanted) say.run(server, table);
}

/** By anybody, this server included: asked after its rows were renewed, and those of the dead are gone. */
function watchedTables(db: Database.Database): string[] {
  return db.prepare<[], string>('SELECT DISTINCT watched FROM changebell_watching').pluck().all();
}

/** Of servers that ended without a word, so that nobody renews their lease. */
function deadTables(db: Database.Database): string[] {
  return db
    .prepare<[], string>(
      "SELECT watched FROM changebell_watching WHERE until < CAST(strftime('%s', 'now') AS INTEGER)",
    )
    .pluck()
    .all();
}

/** As SQLite has them now: after a rename with the new name of their table. */
function readTriggers(db: Database.Database): Trigger[] {
  return db
    .prepare<[], Trigger>(
      `SELECT name, tbl_name AS "table", sql FROM sqlite_schema
       WHERE type = 'trigger' AND name GLOB '${PREFIX}*'`,
    )
    .all();
}
