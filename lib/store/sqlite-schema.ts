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
  /** The names of a table's columns; null for all else. */
  columns: string | null;
};

/** Makes what a new database needs but the resources. The caller has a transaction open, or wants none. */
export function createTables(db: Database.Database): void {
  for (const name of ['log', 'watch']) create(db, name); // in this order: what WATCH needs stands beside the log
}

/** Makes what stands in `sqlite-<name>.sql`: for a resource its table, for the customers also what announces them. */
export function create(db: Database.Database, name: string): void {
  db.exec(readFileSync(new URL(`sqlite-${name}.sql`, import.meta.url), 'utf8'));
}

/** What has a name of ours, or stands on a table of ours; without the triggers of WATCH. */
export function readSchema(db: Database.Database): Thing[] {
  return db
    .prepare<[], Thing>(
      `SELECT type, name, tbl_name AS "table", sql, CASE type WHEN 'table' THEN
         (SELECT group_concat(name) FROM pragma_table_info(one.name)) END AS columns
       FROM sqlite_schema AS one
       WHERE sql IS NOT NULL AND name NOT GLOB 'changebell_watch_*' AND name NOT GLOB 'sqlite_*'
         AND (name GLOB 'changebell_*' OR name = 'customers')`,
    )
    .all();
}

/** All that must be there: SQLite is asked, in a database in memory, since it alone knows how it stores a text. */
function wantedSchema(hasCustomers: boolean): Thing[] {
  const scratch = openDatabase(':memory:');
  createTables(scratch);
  if (hasCustomers) create(scratch, 'customers');
  const things = readSchema(scratch);
  scratch.close();
  return things;
}

/**
 * Views, triggers and indexes that differ are made anew; old ones of ours go. Tables are left as they are, since they
 * hold what can't be made anew. Where all is right nothing is changed, so that no program has to prepare anew.
 * @returns the names of what changed
 */
export function mendSchema(db: Database.Database, hasCustomers: boolean): string[] {
  const isMendable = ({ type }: Thing) => type !== 'table';
  const wanted = wantedSchema(hasCustomers).filter(isMendable);
  const found = readSchema(db).filter(isMendable);
  const missingIn = (there: Thing[]) => (one: Thing) => !there.some(({ sql }) => sql === one.sql); // it has the name too
  const old = found.filter(missingIn(wanted));
  const fresh = wanted.filter(missingIn(found));
  // The old ones first: most have the name of the one that takes their place.
  for (const { type, name } of old) db.exec(`DROP ${type} "${name}"`);
  for (const { sql } of fresh) db.exec(sql);
  return [...new Set([...old, ...fresh].map(({ name }) => name))];
}

/** The first of our tables that isn't there, or has other columns; undefined if all are as they should be. */
export function findStrangeTable(db: Database.Database): string | undefined {
  // By name only: SQLite keeps the text of a table as it was made, and older texts of the same columns are good too.
  const found = new Map(readSchema(db).map(({ name, columns }) => [name, columns]));
  const isStrange = ({ type, name, columns }: Thing) => type === 'table' && found.get(name) !== columns;
  return wantedSchema(false).find(isStrange)?.name;
}
