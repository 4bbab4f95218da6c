// WATCH on SQLite: three triggers for each table. Several servers may watch different tables of one file, so a table
// `changebell_watching` says who watches what; a server renews its rows, and a table's triggers go when nobody does.
import type Database from 'better-sqlite3';
import { StartError } from '../config.ts';
import { evictionParts, type Part } from './sqlite-evictions.ts';
import {
  type Column,
  isOther,
  keyOf,
  keySql,
  MAX_ROW_BYTES,
  quote,
  roughSizeSql,
  rowSql,
  sourceSql,
  text,
} from './sqlite-json.ts';
import { cannotWatch, describeWatched, isOwnTable, type Watched } from './watch.ts';

/** How long a server counts as watching, unless it says so again. */
const LEASE_SECONDS = 60;
const PREFIX = 'changebell_watch_'; // of the names of triggers

/** A table that can be watched, by the name that it was created with, and the triggers that it needs. */
export type WatchedTable = Watched & { columns: Column[]; triggers: Trigger[] };

/** The text is what SQLite stores. */
type Trigger = { name: string; table: string; sql: string };

/**
 * What is needed to watch these tables. Without `complain`, a table that can't be watched is an error; with it, the
 * others go on: while the server runs, an application may drop a table, or be about to make it anew.
 * @throws {StartError} naming a table that can't be watched
 */
export function planWatch(
  db: Database.Database,
  watch: ReadonlySet<string>,
  complain?: (error: StartError) => void,
): WatchedTable[] {
  const each = <From, To>(all: Iterable<From>, plan: (one: From) => To): To[] => {
    const planned: To[] = [];
    for (const one of all) {
      try {
        planned.push(plan(one));
      } catch (error) {
        if (!(error instanceof StartError) || !complain) throw error;
        complain(error);
      }
    }
    return planned;
  };
  const names = new Set(each(watch, (table) => findTable(db, table)));
  return each(describeWatched(names), (watched) => describeTable(db, watched));
}

/** Our own customers have triggers of their own, but for what another program's UNIQUE index makes give way. */
export function planCustomers(db: Database.Database): WatchedTable[] {
  const customers = { table: 'customers', type: 'customer', source: '/api/customers' };
  const columns = readColumns(db, 'customers');
  const parts = evictionParts(
    db,
    customers,
    columns,
    '(SELECT json FROM changebell_customers WHERE id = t.id)',
  );
  const triggers = parts.map((part) => triggerOf('customers', part));
  return triggers.length === 0 ? [] : [{ ...customers, columns, triggers }];
}

/**
 * At the start: puts up what is missing, takes down what nobody watches; changes no schema if all is as it should be.
 * Later, with `isRenewal`, what another server left without saying goodbye is taken down when its time is over.
 */
export function applyWatch(
  db: Database.Database,
  wanted: WatchedTable[],
  server: string,
  { isRenewal = false } = {},
): void {
  const mine = wanted.flatMap(({ triggers }) => triggers);
  const renew = db.transaction(() => {
    const found = readTriggers(db);
    const dead = new Set(deadTables(db));
    sayWhatIsWatched(db, wanted, server);
    const live = new Set(watchedTables(db));
    const isWanted = (one: Trigger) => mine.some(({ name, sql }) => name === one.name && sql === one.sql);
    const isMine = (one: Trigger) => mine.some(({ table }) => table === one.table);
    const isOver = (one: Trigger) => !live.has(one.table) && (!isRenewal || dead.has(one.table));
    for (const one of found) {
      if (isAside(one) || (isMine(one) ? !isWanted(one) : isOver(one)))
        db.exec(`DROP TRIGGER ${quote(one.name)}`);
    }
    const left = new Set(readTriggers(db).map(({ name }) => name));
    for (const { name, sql } of mine) if (!left.has(name)) db.exec(sql);
  });
  const found = readTriggers(db);
  const isDue = isRenewal ? deadTables(db).length > 0 || found.some(isAside) : found.length > 0;
  if (mine.length > 0 || isDue) renew.immediate();
}

/**
 * A table that is renamed takes its triggers with it. It is not the one that WATCH names any more; another may have its
 * name by now; and with `legacy_alter_table` what the triggers say of the table itself would not work.
 */
function isAside({ name, table }: Trigger): boolean {
  return !name.startsWith(`${PREFIX}${table}_`);
}

/** This server watches no longer. Its triggers stay, so that nothing is missed until it is started again. */
export function endWatch(db: Database.Database, server: string): void {
  const hasRows = db.prepare('SELECT 1 FROM changebell_watching WHERE server = ?').get(server);
  if (hasRows) db.prepare('DELETE FROM changebell_watching WHERE server = ?').run(server);
}

// --- who watches what

function sayWhatIsWatched(db: Database.Database, wanted: WatchedTable[], server: string): void {
  db.exec("DELETE FROM changebell_watching WHERE until < CAST(strftime('%s', 'now') AS INTEGER)");
  db.prepare('DELETE FROM changebell_watching WHERE server = ?').run(server);
  const say = db.prepare(
    `INSERT INTO changebell_watching VALUES (?, ?, CAST(strftime('%s', 'now') AS INTEGER) + ${LEASE_SECONDS})`,
  );
  for (const { table } of wanted) say.run(server, table);
}

function watchedTables(db: Database.Database): string[] {
  return db.prepare<[], string>('SELECT DISTINCT watched FROM changebell_watching').pluck().all();
}

function deadTables(db: Database.Database): string[] {
  return db
    .prepare<[], string>(
      "SELECT watched FROM changebell_watching WHERE until < CAST(strftime('%s', 'now') AS INTEGER)",
    )
    .pluck()
    .all();
}

function readTriggers(db: Database.Database): Trigger[] {
  return db
    .prepare<[], Trigger>(
      `SELECT name, tbl_name AS "table", sql FROM sqlite_schema
       WHERE type = 'trigger' AND name GLOB '${PREFIX}*'`,
    )
    .all();
}

// --- a table and its triggers

/** The table's name as it was created: SQLite takes it in upper and lower case. */
function findTable(db: Database.Database, table: string): string {
  if (isOwnTable(table)) throw cannotWatch(table, 'that is no table of an application');
  const find = db.prepare(
    "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE",
  );
  const found = find.get(table) as { name: string; type: string } | undefined;
  if (!found) throw cannotWatch(table, 'there is no such table');
  if (found.type !== 'table')
    throw cannotWatch(table, `that is a ${found.type}, and only tables have triggers for every change`);
  const isOurs = db.prepare(
    "SELECT 1 FROM sqlite_schema WHERE name = 'changebell_customer_created' AND tbl_name = ?",
  );
  if (isOurs.get(found.name)) throw cannotWatch(table, 'its changes are announced anyway: leave it out');
  return found.name;
}

function describeTable(db: Database.Database, watched: Watched): WatchedTable {
  const { table, type, source } = watched;
  const columns = readColumns(db, table);
  const key = keyOf(columns);
  if (key.length === 0) throw cannotWatch(table, 'that table has no primary key');
  const tell = (change: string, row: 'NEW' | 'OLD') => eventSql(`${type}.${change}`, source, columns, row);
  const isMoved = isOther(key, 'NEW', 'OLD');
  const after = (on: string, when = '') => `AFTER ${on} ON ${quote(table)} ${when}`;
  const parts: Part[] = [
    { ending: 'created', on: after('INSERT'), body: tell('created', 'NEW') },
    {
      ending: 'updated',
      on: after('UPDATE', `WHEN ${isChanged(columns)} AND NOT ${isMoved}`),
      body: tell('updated', 'NEW'),
    },
    // Copies are kept by key, so a row whose key changes is gone from one place and there at another.
    {
      ending: 'moved',
      on: after(`UPDATE OF ${keyNames(key)}`, `WHEN ${isMoved}`),
      body: `${tell('deleted', 'OLD')}\n  ${tell('created', 'NEW')}`,
    },
    { ending: 'deleted', on: after('DELETE'), body: tell('deleted', 'OLD') },
    ...evictionParts(db, watched, columns),
  ];
  return { ...watched, columns, triggers: parts.map((part) => triggerOf(table, part)) };
}

function readColumns(db: Database.Database, table: string): Column[] {
  const read = 'SELECT name, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1';
  return db.prepare<[string], Column>(read).all(table);
}

function triggerOf(table: string, { ending, on, body }: Part): Trigger {
  const name = `${PREFIX}${table}_${ending}`;
  return { name, table, sql: `CREATE TRIGGER ${quote(name)} ${on}\nBEGIN\n  ${body}\nEND` };
}

/** Byte by byte: a collation may call two values equal that a reader of the event can tell apart. */
function isChanged(columns: Column[]): string {
  const all = (row: string) => columns.map(({ name }) => `${row}.${quote(name)} COLLATE BINARY`).join();
  return `(${all('NEW')}) IS NOT (${all('OLD')})`;
}

/**
 * What an UPDATE that changes a key may name, which may be the row's number by one of its own names: SQLite compares
 * only names here. Without a list every UPDATE of the application would have to compile this trigger as well.
 */
function keyNames(key: Column[]): string {
  return [...key.map(({ name }) => quote(name)), 'rowid', 'oid', '_rowid_'].join();
}

/** A row of more than 1 MiB is announced by its key alone: the work that it costs its writer is bounded too. */
function eventSql(type: string, source: string, columns: Column[], row: 'NEW' | 'OLD'): string {
  const key = keyOf(columns);
  return `INSERT INTO changebell_events (type, source, data, extensions)
  SELECT ${text(type)}, ${sourceSql(source, key, row)},
    CASE WHEN fits THEN json ELSE ${keySql(key, row)} END, CASE WHEN fits THEN NULL ELSE '{"truncated":true}' END
  FROM (SELECT json, coalesce(length(CAST(json AS BLOB)) <= ${MAX_ROW_BYTES}, 0) AS fits FROM (
    SELECT CASE WHEN ${roughSizeSql(columns, row)} <= 1048576 THEN ${rowSql(columns, row)} END AS json));`;
}
