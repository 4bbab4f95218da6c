// WATCH on SQLite: who watches what, and which triggers stand for it. Several servers may watch different tables of one
// file, so a table `changebell_watching` says who watches what, each for the time of a lease. A server renews its rows;
// one that was killed can't take its own away, so a table's triggers go when the last lease on it has run out.
import { randomBytes } from 'node:crypto';
import type Database from 'better-sqlite3';
import { quote } from './sql-text.ts';
import { PREFIX, planCustomers, type Trigger, type WatchedTable } from './sqlite-watch-plan.ts';

/** How long a server counts as watching, unless it says so again: it does every 20 s, so two renewals may fail. */
const LEASE_SECONDS = 60;

/** The name of this server's lease: a new one each time, so that after a crash nobody is taken for the one before. */
const SERVER = randomBytes(8).toString('hex');

/**
 * Puts up the triggers that this server wants, takes down what nobody watches, and renews the server's lease: one
 * transaction, so that no other program writes while a table has only some of its triggers. A trigger that is right is
 * left as it is, since each change of a schema makes every program prepare its statements anew.
 *
 * At the start, what no lease covers is taken down at once: this may be the server that left it, with another WATCH.
 * With `isRenewal`, only where a lease has just run out: what a server left that stopped in good order stays, so that
 * nothing is missed until it is started again.
 * @param hasCustomers are the customers ours? They may need some triggers as well
 * @throws {SqliteError} `SQLITE_BUSY` while another program writes: then nothing was changed
 */
export function applyWatch(
  db: Database.Database,
  watched: WatchedTable[],
  { hasCustomers, isRenewal }: { hasCustomers: boolean; isRenewal: boolean },
): void {
  const wanted = hasCustomers ? [...watched, ...planCustomers(db)] : watched;
  const renew = db.transaction(() => {
    const { live, dead, known } = renewLease(db, wanted);
    const isOver = (table: string) => !live.has(table) && (!isRenewal || dead.has(table));
    for (const table of wanted)
      if (!isRight(db, table) && (isRenewal || known.has(table.table) || isTold(db, table)))
        tellReset(db, table);
    changeTriggers(db, wanted, isOver);
  });
  // Who watches nothing, and finds nothing to take down, needs no lock: it must not fail for another's transaction.
  if (wanted.length === 0 && readTriggers(db).length === 0) return;
  renew.immediate(); // takes the lock before it reads, so what it has read stays true
  wantedBefore = new Set(wanted.flatMap(({ triggers }) => triggers).map(({ sql }) => sql));
}

/** @param isOver does nobody watch this table any more? */
function changeTriggers(
  db: Database.Database,
  wanted: WatchedTable[],
  isOver: (table: string) => boolean,
): void {
  const tables = new Set(wanted.map(({ table }) => table));
  const texts = new Set(wanted.flatMap(({ triggers }) => triggers).map(({ sql }) => sql));
  // The text counts: a column may have come, or this may be another version of the program.
  const isOutdated = ({ table, sql }: Trigger) => tables.has(table) && !texts.has(sql);
  for (const one of readTriggers(db)) {
    if (isAside(one) || isOutdated(one) || isOver(one.table)) db.exec(`DROP TRIGGER ${quote(one.name)}`);
    else texts.delete(one.sql); // it is there
  }
  for (const sql of texts) db.exec(sql);
}

/** The triggers that this server wanted the last time. */
let wantedBefore = new Set<string>();

/**
 * Are all its triggers there as they must be? Else nobody heard of what became of its rows: it was made anew, or has other
 * columns, or one of its triggers was dropped, or it has a UNIQUE index under which rows may have given way already. But
 * where this server wants what it wanted before, and another text is there, that is of another version of this program.
 */
function isRight(db: Database.Database, { table, triggers }: WatchedTable): boolean {
  const found = readTriggers(db).filter((one) => one.table === table);
  const isThere = ({ name, sql }: Trigger) =>
    found.some((one) => one.sql === sql || (one.name === name && wantedBefore.has(sql)));
  return triggers.every(isThere);
}

/** Was it told of before, or can't we know, since events are gone? Then there may be copies of it. */
function isTold(db: Database.Database, { table, type }: WatchedTable): boolean {
  const find = `SELECT 1 FROM changebell_events WHERE type GLOB '${type}.*'
    UNION ALL SELECT 1 FROM changebell_log WHERE pruned > 0 LIMIT 1`;
  return readTriggers(db).some((one) => one.table === table) || db.prepare(find).get() !== undefined;
}

/** A copy has to be loaded again. Before its triggers are there: what they tell comes after this. */
function tellReset(db: Database.Database, { type, source }: WatchedTable): void {
  const tell = db.prepare('INSERT INTO changebell_events (type, source) VALUES (?, ?)');
  tell.run(`${type}.reset`, `${source}/*`);
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
export function endWatch(db: Database.Database): void {
  const hasRows = db.prepare('SELECT 1 FROM changebell_watching WHERE server = ?').get(SERVER);
  if (hasRows) db.prepare('DELETE FROM changebell_watching WHERE server = ?').run(SERVER);
}

// --- who watches what

/**
 * Renews the lease of this server, with what it watches now, and forgets those that ran out. That a table was watched at
 * all is never forgotten, in a line of no server: a snapshot leaves no trace in the log, and its reader may come back.
 * @returns the tables that anybody watches, this server included; those of servers that ended without a word; and those
 *   that were ever watched before
 */
function renewLease(db: Database.Database, wanted: WatchedTable[]) {
  const read = (sql: string) => new Set(db.prepare<[], string>(sql).pluck().all());
  const now = "CAST(strftime('%s', 'now') AS INTEGER)";
  const known = read('SELECT watched FROM changebell_watching');
  const dead = read(
    `DELETE FROM changebell_watching WHERE until < ${now} AND server <> '' RETURNING watched`,
  );
  db.prepare('DELETE FROM changebell_watching WHERE server = ?').run(SERVER);
  const say = db.prepare(`INSERT INTO changebell_watching VALUES (?, ?, ${now} + ${LEASE_SECONDS})`);
  const remember = db.prepare("INSERT OR IGNORE INTO changebell_watching VALUES ('', ?, 0)");
  for (const { table } of wanted) {
    say.run(SERVER, table);
    remember.run(table);
  }
  return { live: read("SELECT watched FROM changebell_watching WHERE server <> ''"), dead, known };
}

/** As SQLite has them now: after a rename with the new name of their table. */
function readTriggers(db: Database.Database): Trigger[] {
  const find = `SELECT name, tbl_name AS "table", sql FROM sqlite_schema
    WHERE type = 'trigger' AND name GLOB '${PREFIX}*'`;
  return db.prepare<[], Trigger>(find).all();
}
