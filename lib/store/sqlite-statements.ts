// What the store asks of SQLite, each prepared once (`sqlite.ts` says why). What is true of the data, whoever
// writes it, stands in the `.sql` files beside this one.
import type Database from 'better-sqlite3';
import { CUSTOMERS } from '../customer.ts';
import type { Cursor, Position, StoredEvent } from '../event.ts';
import type { Fields, Resource } from '../resource.ts';
import { WATCHED_RESOURCES } from '../resources.ts';
import { rowSql } from './sqlite-json.ts';
import type { WatchedTable } from './sqlite-watch-plan.ts';

/** The columns of a `StoredEvent`, by its names: a row is one as it comes. */
const EVENT = 'seq, stamp, type, source, time, data, extensions';

/**
 * For the connection that reads. Every query goes by a primary key and has a limit, so its cost is that of its answer,
 * however long the log is: it runs on the event loop.
 */
export function prepareReading(db: Database.Database, hasCustomers: boolean) {
  const ours = oursOn(db, hasCustomers);
  return {
    // Deferred: the moment that is read is that of the first query, and no lock is taken that a writer needs.
    begin: db.prepare('BEGIN'),
    commit: db.prepare('COMMIT'),
    // Another number after another connection has committed, that of our own writing thread included.
    dataVersion: db.prepare('PRAGMA data_version').pluck(),
    position: preparePosition(db),
    stamp: db.prepare<[number], string>('SELECT stamp FROM changebell_events WHERE seq = ?').pluck(),
    // One event and its time, for a search by halving: no index is kept of times, since every write would pay for it.
    placeOf: db.prepare<[number], Cursor & { time: string }>(
      'SELECT seq, stamp, time FROM changebell_events WHERE seq = ?',
    ),
    events: db.prepare<[number, number, number], StoredEvent>(
      `SELECT ${EVENT} FROM changebell_events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`,
    ),
    customer: ours<[number], string>('SELECT json FROM changebell_customers WHERE id = ?').pluck(),
    customers: ours<[number, number], { id: number; json: string }>(
      'SELECT id, json FROM changebell_customers WHERE id > ? ORDER BY id LIMIT ?',
    ),
  };
}

/**
 * Prepared at its first use, and kept from then on (`sqlite.ts`): a trigger of another program that stands behind it may
 * be broken. That refuses the writes which fire it, and must not keep the program from starting.
 */
function later<Bind extends unknown[], Row = unknown>(db: Database.Database, sql: string) {
  return () => db.prepare<Bind, Row>(sql);
}

/** For the connection that writes. Savepoints are never nested, so one name does for all of them. */
export function prepareWriting(db: Database.Database) {
  return {
    // The lock first: to a transaction that has read already it may be refused (SQLITE_BUSY_SNAPSHOT).
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    rollback: db.prepare('ROLLBACK'),
    savepoint: db.prepare('SAVEPOINT one_write'),
    release: db.prepare('RELEASE one_write'),
    // It undoes what was done since, and leaves the savepoint open: a release follows.
    rollbackTo: db.prepare('ROLLBACK TO one_write'),
    position: preparePosition(db),
    // What an insert of many rows has announced, with what it says of each row.
    eventsAfter: db.prepare<[number], Cursor & { type: string; data: string }>(
      'SELECT seq, stamp, type, data FROM changebell_events WHERE seq > ? ORDER BY seq',
    ),
    insertEvent: later<[string, string, string, string | null], Pick<StoredEvent, 'seq' | 'stamp' | 'time'>>(
      db,
      'INSERT INTO changebell_events (type, source, data, extensions) VALUES (?, ?, ?, ?) RETURNING seq, stamp, time',
    ),
    // A write that changes nothing in the end. An update to the same value would not do: SQLite leaves it out.
    touch: db.prepare("INSERT INTO changebell_idempotency VALUES (' ', '', '', '', 0)"),
    untouch: db.prepare("DELETE FROM changebell_idempotency WHERE key = ' '"),
    // A trigger notes the newest of them (`changebell_events_pruned`), so that a cursor below it is told.
    prune: later<[number]>(db, 'DELETE FROM changebell_events WHERE seq <= ?'),
    findKey: db.prepare<[string], { request: string; answer: string; event_id: string }>(
      'SELECT request, answer, event_id FROM changebell_idempotency WHERE key = ?',
    ),
    addKey: db.prepare(
      'INSERT INTO changebell_idempotency (key, request, answer, event_id) VALUES (?, ?, ?, ?)',
    ),
    // By the index on their age, and no more than two: the time that a write takes doesn't depend on how many are old.
    dropOldKeys: db.prepare(
      `DELETE FROM changebell_idempotency WHERE key IN (SELECT key FROM changebell_idempotency
       WHERE created_at < CAST(strftime('%s', 'now') AS INTEGER) - ? ORDER BY created_at LIMIT 2)`,
    ),
  };
}

/** Asks where the log stands: one statement, since it is done at every commit. */
function preparePosition(db: Database.Database): () => Position {
  type Row = { pruned: number; prunedStamp: string } & (Cursor | { seq: null });
  const look = db.prepare<[], Row>(
    `SELECT seq, stamp, pruned, pruned_stamp AS prunedStamp FROM changebell_log
     LEFT JOIN (SELECT seq, stamp FROM changebell_events ORDER BY seq DESC LIMIT 1)`,
  );
  return () => {
    const row = look.get()!;
    const pruned = { seq: row.pruned, stamp: row.prunedStamp };
    // Somebody may have deleted the newest events: their numbers are used up all the same.
    const isKept = row.seq !== null && row.seq > row.pruned;
    return { head: isKept ? { seq: row.seq, stamp: row.stamp } : pruned, pruned };
  };
}

/** Whose rows can be written; a watched resource has its columns from there. */
export type TableOptions = { hasCustomers: boolean; watched: WatchedTable[] };

/** What is prepared to write rows of one resource. */
export type Table = ReturnType<typeof prepareTable>;

/**
 * For each resource whose rows can be written here, by the name of its table. The JSON of a row is put together by the
 * SQL that its events are made with: an answer and an event are the same to the byte.
 */
export function prepareTables(
  db: Database.Database,
  { hasCustomers, watched }: TableOptions,
): Map<string, Table> {
  const tables = new Map<string, Table>();
  const customer = 'SELECT json FROM changebell_customers WHERE id = ?';
  if (hasCustomers) tables.set('customers', prepareTable(db, CUSTOMERS, customer));
  for (const resource of WATCHED_RESOURCES) {
    const { columns } = watched.find(({ table }) => table === resource.table)!; // `readConfig` adds it to WATCH
    const row = `SELECT ${rowSql(columns, 't')} FROM ${resource.table} AS t WHERE id = ?`;
    tables.set(resource.table, prepareTable(db, resource, row));
  }
  return tables;
}

/** @param row a query for the JSON of one row, by its id */
function prepareTable(db: Database.Database, { table, type, fields }: Resource, row: string) {
  // Of our own code, never of a request: so they may stand in SQL as they are.
  const names = Object.keys(fields);
  const values = names.map((name) => `@${name}`).join();
  const changes = names.map((name) => `${name} = @${name}`).join();
  const extracted = names.map((name) => `json_extract(value, '$.${name}')`).join();
  return {
    /** The type of the event that an insert writes. */
    created: `${type}.created`,
    row: db.prepare<[number], string>(row).pluck(),
    insert: later<[Fields]>(db, `INSERT INTO ${table} (${names.join()}) VALUES (${values})`),
    /** Many rows at once, as a JSON array: one statement, so that what a statement costs is paid once. */
    insertAll: later<[string]>(
      db,
      `INSERT INTO ${table} (${names.join()}) SELECT ${extracted} FROM json_each(?)`,
    ),
    // All fields, also those that stay: one statement does for every patch.
    update: later<[Fields]>(db, `UPDATE ${table} SET ${changes} WHERE id = @id`),
    delete: later<[number]>(db, `DELETE FROM ${table} WHERE id = ?`),
  };
}

/** Where the customers are another program's, nobody asks for ours: the routes are off. */
function oursOn(db: Database.Database, hasCustomers: boolean) {
  return <Bind extends unknown[] = unknown[], Row = unknown>(sql: string) =>
    db.prepare<Bind, Row>(hasCustomers ? sql : 'SELECT NULL');
}
