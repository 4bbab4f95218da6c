// WATCH on SQLite: three triggers for each table. Several servers may watch different tables of one file, so a table
// `changebell_watching` says who watches what; a server renews its rows, and a table's triggers go when nobody does.
import type Database from 'better-sqlite3';
import { StartError } from '../config.ts';
import {
  type Column,
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
    // By its name too: a table that was renamed takes its triggers with it, and another may have its name now.
    const isMine = (one: Trigger) => mine.some(({ table, name }) => table === one.table || name === one.name);
    const isOver = (one: Trigger) => !live.has(one.table) && (!isRenewal || dead.has(one.table));
    for (const one of found) {
      if (isMine(one) ? !isWanted(one) : isOver(one)) db.exec(`DROP TRIGGER ${quote(one.name)}`);
    }
    const left = new Set(readTriggers(db).map(({ name }) => name));
    for (const { name, sql } of mine) if (!left.has(name)) db.exec(sql);
  });
  if (isRenewal && mine.length === 0 && deadTables(db).length === 0) return; // nothing to write
  if (!isRenewal && mine.length === 0 && readTriggers(db).length === 0) return;
  renew.immediate();
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
       WHERE type = 'trigger' AND name GLOB 'changebell_watch_*'`,
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
  const { table } = watched;
  const columns = db
    .prepare<[string], Column>('SELECT name, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1')
    .all(table);
  if (keyOf(columns).length === 0) throw cannotWatch(table, 'that table has no primary key');
  const triggers = [
    triggerOf(watched, columns, 'created', 'INSERT', '', [['created', 'NEW']]),
    triggerOf(
      watched,
      columns,
      'updated',
      'UPDATE',
      `WHEN ${isChanged(columns)} AND NOT ${isMoved(columns)}`,
      [['updated', 'NEW']],
    ),
    // Copies are kept by key, so a row whose key changes is gone from one place and there at another.
    triggerOf(watched, columns, 'moved', `UPDATE OF ${keyNames(columns)}`, `WHEN ${isMoved(columns)}`, [
      ['deleted', 'OLD'],
      ['created', 'NEW'],
    ]),
    triggerOf(watched, columns, 'deleted', 'DELETE', '', [['deleted', 'OLD']]),
  ];
  return { ...watched, columns, triggers };
}

/** Byte by byte: a collation may call two values equal that a reader of the event can tell apart. */
function isChanged(columns: Column[]): string {
  const all = (row: string) => columns.map(({ name }) => `${row}.${quote(name)} COLLATE BINARY`).join();
  return `(${all('NEW')}) IS NOT (${all('OLD')})`;
}

/** The kind of a value counts too: 1 and 1.0 are equal, but are written differently at the end of a source. */
function isMoved(columns: Column[]): string {
  const key = (row: string) =>
    keyOf(columns).map(({ name }) => `${row}.${quote(name)} COLLATE BINARY, typeof(${row}.${quote(name)})`);
  return `((${key('NEW').join()}) IS NOT (${key('OLD').join()}))`;
}

/**
 * What an UPDATE that changes a key may name, which may be the row's number by one of its own names: SQLite compares
 * only names here. Without a list every UPDATE of the application would have to compile this trigger as well.
 */
function keyNames(columns: Column[]): string {
  return [...keyOf(columns).map(({ name }) => quote(name)), 'rowid', 'oid', '_rowid_'].join();
}

/** An event of `type.<change>` for each of `changes`, with the row as it was (OLD) or is now (NEW). */
function triggerOf(
  { table, type, source }: Watched,
  columns: Column[],
  ending: string,
  on: string,
  when: string,
  changes: [change: string, row: 'NEW' | 'OLD'][],
): Trigger {
  const name = `changebell_watch_${table}_${ending}`;
  const events = changes.map(([change, row]) => eventSql(`${type}.${change}`, source, columns, row));
  const sql = `CREATE TRIGGER ${quote(name)} AFTER ${on} ON ${quote(table)} ${when}
BEGIN
${events.join('\n')}
END`;
  return { name, table, sql };
}

/** A row of more than 1 MiB is announced by its key alone: the work that it costs its writer is bounded too. */
function eventSql(type: string, source: string, columns: Column[], row: 'NEW' | 'OLD'): string {
  const key = keyOf(columns);
  return `  INSERT INTO changebell_events (type, source, data, extensions)
  SELECT ${text(type)}, ${sourceSql(source, key, row)},
    CASE WHEN fits THEN json ELSE ${keySql(key, row)} END, CASE WHEN fits THEN NULL ELSE '{"truncated":true}' END
  FROM (SELECT json, coalesce(length(CAST(json AS BLOB)) <= ${MAX_ROW_BYTES}, 0) AS fits FROM (
    SELECT CASE WHEN ${roughSizeSql(columns, row)} <= 1048576 THEN ${rowSql(columns, row)} END AS json));`;
}
