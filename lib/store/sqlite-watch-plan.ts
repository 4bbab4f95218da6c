// Which triggers a watched table of SQLite needs: their texts, from its columns as they are now. Nothing is changed
// here: what can't be watched is found before the start touches the file, and `sqlite-watch.ts` puts the triggers up.
import type Database from 'better-sqlite3';
import { StartError } from '../config.ts';
import { quote } from './sql-text.ts';
import { evictionParts, type Part } from './sqlite-evictions.ts';
import { type Column, eventSql, isOther, keyOf, lateSql, sameKeySql } from './sqlite-json.ts';
import { cannotWatch, describeWatched, isOwnTable, type Watched } from './watch.ts';

/** The names of our triggers begin with it, and go on with the table's. */
export const PREFIX = 'changebell_watch_';

/** A table that can be watched, by the name that it was created with; its columns now, and the triggers for them. */
export type WatchedTable = Watched & { columns: Column[]; triggers: Trigger[] };

/** `sql` is, to the character, what SQLite stores of it: that is how an outdated one is told from one that is right. */
export type Trigger = { name: string; table: string; sql: string };

/**
 * What is needed to watch these tables, in the order of WATCH. It reads the schema and changes nothing. Without
 * `complain`, a table that can't be watched is an error; with it, the others go on: while the server runs, an
 * application may drop a table, or be about to make it anew.
 * @throws {StartError} naming a table that can't be watched
 */
export function planWatch(
  db: Database.Database,
  watch: ReadonlySet<string>,
  complain?: (error: StartError) => void,
): WatchedTable[] {
  /** Nothing, and a complaint, for what can't be planned. */
  const attempt = <T>(plan: () => T): T[] => {
    try {
      return [plan()];
    } catch (error) {
      // Anything else is a failure of the database or a bug of ours, and hides behind no complaint.
      if (!(error instanceof StartError) || !complain) throw error;
      complain(error);
      return [];
    }
  };
  // A set: SQLite takes a name in upper and lower case, so WATCH may name one table twice.
  const names = new Set([...watch].flatMap((table) => attempt(() => findTable(db, table))));
  return describeWatched(names).flatMap((watched) => attempt(() => describeTable(db, watched)));
}

/**
 * What our own customers need of this: their triggers stand in `sqlite-customers.sql`, but for those that announce what
 * another program's UNIQUE index makes give way. Empty where there is no such index. An evicted customer looks as it
 * does in all its events, so its JSON comes from the view.
 */
export function planCustomers(db: Database.Database): WatchedTable[] {
  const customers = { table: 'customers', type: 'customer', source: '/api/customers' };
  const columns = readColumns(db, 'customers');
  const json = '(SELECT json FROM changebell_customers WHERE id = t.id)';
  const triggers = evictionParts(db, customers, columns, json).map((part) => triggerOf('customers', part));
  return triggers.length === 0 ? [] : [{ ...customers, columns, triggers }];
}

// --- a table and its triggers

/**
 * The table's name as it was created. SQLite takes it in upper and lower case, but the source of its events must be
 * the same text whoever names it.
 * @throws {StartError} where it is no table of an application, or announced anyway
 */
function findTable(db: Database.Database, table: string): string {
  if (isOwnTable(table)) throw cannotWatch(table, 'that is no table of an application');
  const find = db.prepare<[string], { name: string; type: string; isOurs: 0 | 1 }>(
    `SELECT name, type, EXISTS (SELECT 1 FROM sqlite_schema
       WHERE name = 'changebell_customer_created' AND tbl_name = list.name) AS isOurs
     FROM pragma_table_list AS list WHERE schema = 'main' AND name = ? COLLATE NOCASE`,
  );
  const found = find.get(table);
  if (!found) throw cannotWatch(table, `there is no such table in ${db.name}`);
  if (found.type !== 'table')
    throw cannotWatch(table, `that is a ${found.type}, and only tables have triggers for every change`);
  // With both kinds of triggers each change of a customer would be two events.
  if (found.isOurs) throw cannotWatch(table, 'its changes are announced anyway: leave it out');
  return found.name;
}

/** @throws {StartError} where rows have no key by which a copy could keep them */
function describeTable(db: Database.Database, watched: Watched): WatchedTable {
  const { table } = watched;
  const columns = readColumns(db, table);
  const key = keyOf(columns);
  if (key.length === 0) throw cannotWatch(table, 'that table has no primary key');
  const tell = teller(db, watched, columns);
  const isMoved = isOther(columns, 'NEW', 'OLD');
  const isUpdated = `${isChanged(columns)} AND NOT ${isMoved}`;
  // Copies are kept by key, so a row whose key changes is gone from one place and there at another.
  const move = `${tell('deleted', 'OLD')}\n  ${tell('created', 'NEW')}`;
  const parts: Part[] = [
    { ending: 'created', on: 'AFTER INSERT', body: tell('created', 'NEW') },
    { ending: 'updated', on: 'AFTER UPDATE', when: isUpdated, body: tell('updated', 'NEW') },
    { ending: 'moved', on: `AFTER UPDATE OF ${keyNames(key)}`, when: isMoved, body: move },
    { ending: 'deleted', on: 'AFTER DELETE', body: tell('deleted', 'OLD') },
    ...evictionParts(db, watched, columns),
  ];
  return { ...watched, columns, triggers: parts.map((part) => triggerOf(table, part)) };
}

/**
 * What tells of NEW or OLD. Where the application has triggers of its own, or a foreign key from the table to itself, they
 * may be faster, since SQLite gives them no order, and change the row once more: that is told first. So what is told then
 * is the row that is at its place now; and of one that is gone nothing more, or of one that is there again.
 */
function teller(db: Database.Database, { table, type, source }: Watched, columns: Column[]) {
  const others = `SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = @table AND name NOT GLOB '${PREFIX}*'
    UNION ALL SELECT 1 FROM pragma_foreign_key_list(@table) WHERE "table" = @table COLLATE NOCASE`;
  const isAlone = db.prepare(others).get({ table }) === undefined;
  const now = (row: string) => sameKeySql(table, columns, 't', row);
  return (change: string, row: 'NEW' | 'OLD') => {
    if (isAlone) return eventSql(`${type}.${change}`, source, columns, row);
    return row === 'NEW'
      ? eventSql(`${type}.${change}`, source, columns, 't', now(row))
      : eventSql(`${type}.${change}`, source, columns, row, `WHERE NOT EXISTS (SELECT 1 ${now(row)})`);
  };
}

/** In their order. Generated columns too; those that are hidden (1) belong to virtual tables. */
function readColumns(db: Database.Database, table: string): Column[] {
  const read = 'SELECT name, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1';
  return db.prepare<[string], Column>(read).all(table);
}

/** Its name has the table's, so that a trigger whose table was renamed is known by it (`isAside`). */
function triggerOf(table: string, { ending, on, when = '1', body }: Part): Trigger {
  const name = `${PREFIX}${table}_${ending}`;
  const head = `CREATE TRIGGER ${quote(name)} ${on} ON ${quote(table)} WHEN ${when}`;
  return { name, table, sql: `${head}\nBEGIN\n  ${body}\nEND` };
}

/**
 * Byte by byte: a collation may call two values equal that a reader of the event can tell apart. `IS NOT`, since NULL
 * is another value than any, and the same as NULL: `<>` would say neither.
 */
function isChanged(columns: Column[]): string {
  const all = (row: string) => columns.map(({ name }) => `${row}.${quote(name)} COLLATE BINARY`).join();
  return lateSql(columns, ['NEW', 'OLD'], `(${all('NEW')}) IS NOT (${all('OLD')})`);
}

/**
 * What an UPDATE that changes a key may name, which may be the row's number by one of its own names: SQLite compares
 * only names here. Without a list every UPDATE of the application would have to compile this trigger as well.
 */
function keyNames(key: Column[]): string {
  return [...key.map(({ name }) => quote(name)), 'rowid', 'oid', '_rowid_'].join();
}
