// Brings an older database up to date, in the transaction of the start: all of it or nothing. Version 1 named the whole
// log; version 2 gives each event a stamp of its own, and the events that are there keep their ids: their stamp is the
// old name. So a client that was away during the upgrade goes on from where it was.
import type Database from 'better-sqlite3';
import { create, createTables, readSchema, type Thing } from './sqlite-schema.ts';

/** Tables that are made anew around what they hold. The customers are not: others may have keys to them. */
const TABLES = ['changebell_log', 'changebell_events', 'changebell_idempotency'];

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
  const others = thingsOfOthers(db);
  dropViewsAndTriggers(db); // they name tables that will be gone for a moment
  // Set aside and made anew, since columns, checks and options may all be others. An index goes with its table.
  create(db, isVersion1(db) ? 'upgrade-1' : 'upgrade-2');
  // What another server watches it says again within a second, when it sees that the schema has changed.
  for (const table of [...TABLES, 'changebell_watching', 'changebell_base64'])
    db.exec(`DROP TABLE IF EXISTS ${table}`);
  createTables(db);
  dropViewsAndTriggers(db); // they would judge old events as new ones
  create(db, 'upgrade');
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
  const find = `SELECT sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL
    AND name NOT GLOB 'changebell_*' AND tbl_name IN (SELECT value FROM json_each(?))`;
  return db.prepare<[string], string>(find).pluck().all(JSON.stringify(TABLES));
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
