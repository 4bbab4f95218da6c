// Brings an older database up to date, in the transaction of the start: all of it or nothing. Version 1 named the whole
// log; version 2 gives each event a stamp of its own, and the events that are there keep their ids: their stamp is the
// old name. So a client that was away during the upgrade goes on from where it was.
import type Database from 'better-sqlite3';
import { createTables, readSchema, type Thing } from './sqlite-schema.ts';

/**
 * Tables that are made anew around what they hold, and what of that goes on, in the columns of today. The customers are
 * not: others may have keys to them.
 */
const KEPT = {
  changebell_log: 'pruned, pruned_stamp',
  changebell_events: 'seq, stamp, type, source, time, data, extensions',
  changebell_idempotency: 'key, request, answer, event_id, created_at',
};

/**
 * The same of version 1. The name of the log becomes the stamp of every event in it, and of the place before the first
 * that is kept. Answers under a key had no position: they get the newest one, from which a reader sees what they wrote.
 */
const KEPT_OF_1: typeof KEPT = {
  changebell_log: 'pruned, name AS pruned_stamp',
  changebell_events: `seq, (SELECT name FROM changebell_log) AS stamp, type, source, time, data, NULL AS extensions`,
  changebell_idempotency: `key, request, answer, (SELECT name || '-' || max(pruned, (SELECT coalesce(max(seq), 0)
    FROM changebell_events)) FROM changebell_log) AS event_id, created_at`,
};

// What the checks of today refuse keeps its place without its data, and says so: a seq that is missing would look like
// a log that was pruned up to there, and one bad row must not keep the program from starting.
const IS_GOOD = `typeof(data) = 'text' AND json_valid(data) AND instr(data, char(0)) = 0
  AND length(CAST(data AS BLOB)) <= 1048576 * length(CAST('a' AS BLOB))`;

const PUT_BACK = `
  UPDATE changebell_log SET (pruned, pruned_stamp) = (SELECT pruned, pruned_stamp FROM changebell_log_old);
  INSERT INTO changebell_events (${KEPT.changebell_events})
    SELECT seq, stamp, type, source, time, CASE WHEN ${IS_GOOD} THEN data ELSE 'null' END,
      CASE WHEN ${IS_GOOD} THEN extensions ELSE '{"truncated":true}' END
    FROM changebell_events_old ORDER BY seq;
  INSERT INTO changebell_idempotency (${KEPT.changebell_idempotency}) SELECT * FROM changebell_idempotency_old;

  -- AUTOINCREMENT counts from what it finds here. No seq is given twice, also where the newest events are gone.
  DELETE FROM sqlite_sequence WHERE name = 'changebell_events';
  INSERT INTO sqlite_sequence (name, seq) SELECT 'changebell_events',
    max(pruned, (SELECT coalesce(max(seq), 0) FROM changebell_events)) FROM changebell_log`;

/**
 * Was it made before the tables had the form that they have now? Version 2 had STRICT tables at first, and then room for
 * sources of 200 characters.
 */
export function needsUpgrade(db: Database.Database): boolean {
  const isOld = (thing: Thing) => isStrict(thing) || thing.sql.includes('length(source) BETWEEN 1 AND 200');
  return isVersion1(db) || readSchema(db).some(isOld);
}

/**
 * Steps from any version that ever was to the newest; the caller has a transaction open. The views and triggers of ours
 * are missing then: the start makes them by today's texts (`mendSchema`).
 */
export function upgrade(db: Database.Database): void {
  const kept = Object.entries(isVersion1(db) ? KEPT_OF_1 : KEPT);
  const others = thingsOfOthers(db);
  dropViewsAndTriggers(db); // they name tables that will be gone for a moment
  // Copied and made anew, since columns, checks and options may all be others. An index goes with its table.
  for (const [table, columns] of kept)
    db.exec(`CREATE TABLE ${table}_old AS SELECT ${columns} FROM ${table}`);
  for (const [table] of kept) db.exec(`DROP TABLE ${table}`);
  // What another server watches it says again within a second, when it sees that the schema has changed.
  for (const table of ['changebell_watching', 'changebell_base64']) db.exec(`DROP TABLE IF EXISTS ${table}`);
  createTables(db);
  dropViewsAndTriggers(db); // they would judge old events as new ones
  db.exec(PUT_BACK);
  for (const [table] of kept) db.exec(`DROP TABLE ${table}_old`);
  for (const sql of others) db.exec(sql);
  loosenCustomers(db);
}

function isVersion1(db: Database.Database): boolean {
  const find = db.prepare("SELECT 1 FROM pragma_table_info('changebell_log') WHERE name = 'name'");
  return find.get() !== undefined;
}

function dropViewsAndTriggers(db: Database.Database): void {
  for (const { type, name } of readSchema(db))
    if (type === 'trigger' || type === 'view') db.exec(`DROP ${type} "${name}"`);
}

/** Indexes and triggers that another program put on our tables go with them, and come back: their texts. */
function thingsOfOthers(db: Database.Database): string[] {
  const tables = Object.keys(KEPT).map((table) => `'${table}'`);
  return db
    .prepare<[], string>(
      `SELECT sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL
         AND name NOT GLOB 'changebell_*' AND tbl_name IN (${tables.join()})`,
    )
    .pluck()
    .all();
}

/**
 * A STRICT table is stored like any other, so that only the text of its schema must change. Making it anew would
 * break the keys, triggers and views of other programs.
 */
function loosenCustomers(db: Database.Database): void {
  const customers = readSchema(db).find(({ name }) => name === 'customers');
  if (!customers || !isStrict(customers)) return;
  // SQLite is in defensive mode here, and writes to its schema only outside of it.
  db.unsafeMode(true);
  db.pragma('writable_schema = ON');
  const change = db.prepare("UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = 'customers'");
  change.run(customers.sql.replace(STRICT, ''));
  db.pragma('writable_schema = RESET'); // and the schema is read anew, by this connection as well
  db.unsafeMode(false);
}

/** The word among the options behind the last bracket, and nowhere else: a column may be called so. */
const STRICT = /\s+STRICT\b(?=[\s,A-Z]*$)/i;

function isStrict({ type, sql }: Thing): boolean {
  return type === 'table' && STRICT.test(sql);
}
