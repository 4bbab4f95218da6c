// What of ours must stand in a SQLite database: the texts of the `.sql` files, as SQLite itself stores them. Tables
// are made or upgraded; views, triggers and indexes are compared at each start, and made anew where they differ: so a
// correction of a trigger needs no step of an upgrade, and what somebody dropped comes back.
import { readFileSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { openDatabase } from './sqlite.ts';

/** The version that this program writes. A file of a lower one is upgraded, of a higher one refused. */
export const VERSION = 2;

/** One thing in a schema; `sql` as SQLite stores it, without what stands before CREATE. */
export type Thing = {
  type: 'table' | 'index' | 'trigger' | 'view';
  name: string;
  table: string;
  sql: string;
};

/** In this order: what WATCH needs stands beside the log. */
const LOG_FILES = ['sqlite-log.sql', 'sqlite-watch.sql'];

/** Makes what a new database needs but the resources. The caller has a transaction open, or wants none. */
export function createTables(db: Database.Database): void {
  for (const file of LOG_FILES) db.exec(read(file));
}

/** Makes what databases of this version may lack, since it came later: it holds nothing for long. */
export function createMissing(db: Database.Database): void {
  db.exec(read('sqlite-evictions.sql'));
}

/** Makes the table of a resource; for the customers also what announces them. */
export function createResource(db: Database.Database, table: string): void {
  db.exec(read(`sqlite-${table}.sql`));
}

/** All that must be there: SQLite is asked, in a database in memory, since it alone knows how it stores a text. */
export function wantedSchema(hasCustomers: boolean): Thing[] {
  const scratch = openDatabase(':memory:');
  createTables(scratch);
  if (hasCustomers) createResource(scratch, 'customers');
  const things = readSchema(scratch);
  scratch.close();
  return things;
}

/** What has a name of ours, or stands on a table of ours; without the triggers of WATCH. */
export function readSchema(db: Database.Database): Thing[] {
  return db
    .prepare<[], Thing>(
      `SELECT type, name, tbl_name AS "table", sql FROM sqlite_schema
       WHERE sql IS NOT NULL AND name NOT GLOB 'changebell_watch_*' AND name NOT GLOB 'sqlite_*'
         AND (name GLOB 'changebell_*' OR name = 'customers')`,
    )
    .all();
}

/**
 * Views, triggers and indexes that differ are made anew; old ones of ours go. Tables are left as they are, since they
 * hold what can't be made anew. Where all is right nothing is changed, so that no program has to prepare anew.
 * @returns the names of what changed
 */
export function mendSchema(db: Database.Database, hasCustomers: boolean): string[] {
  const isMendable = (thing: Thing) => thing.type !== 'table';
  const wanted = wantedSchema(hasCustomers).filter(isMendable);
  const found = readSchema(db).filter(isMendable);
  const isIn = (list: Thing[]) => (one: Thing) =>
    list.some(({ name, sql }) => name === one.name && sql === one.sql);
  const old = found.filter((thing) => !isIn(wanted)(thing));
  const fresh = wanted.filter((thing) => !isIn(found)(thing));
  // The old ones first: most have the name of the one that takes their place.
  for (const { type, name } of old) db.exec(`DROP ${type} "${name}"`);
  for (const { sql } of fresh) db.exec(sql);
  return [...new Set([...old, ...fresh].map(({ name }) => name))];
}

/** The first of our tables that isn't there, or has other columns; undefined if all are as they should be. */
export function findStrangeTable(db: Database.Database): string | undefined {
  // By name only: SQLite keeps the text of a table as it was made, and older texts of the same columns are good too.
  const columns = (of: Database.Database, table: string) =>
    String(of.prepare('SELECT group_concat(name) FROM pragma_table_info(?)').pluck().get(table));
  const scratch = openDatabase(':memory:');
  createTables(scratch);
  const tables = readSchema(scratch).filter(({ type }) => type === 'table');
  const strange = tables.find(({ name }) => columns(db, name) !== columns(scratch, name));
  scratch.close();
  return strange?.name;
}

function read(file: string): string {
  return readFileSync(new URL(file, import.meta.url), 'utf8');
}
