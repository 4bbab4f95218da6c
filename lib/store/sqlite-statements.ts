// What the store asks of SQLite, each prepared once (`sqlite.ts` says why). What is true of the data,
// whoever writes it, stands in `sqlite-schema.sql`.
import type Database from 'better-sqlite3';
import { cannotBeOpened, hasOurCustomers } from './sqlite-file.ts';

/**
 * With the log's name, and whether the customers are ours.
 * @throws {StartError} if there are tables with the names of ours, and not with our columns
 */
export function prepareStatements(db: Database.Database, path: string) {
  try {
    const log = db.prepare('SELECT name FROM changebell_log').pluck().get() as string;
    const hasCustomers = hasOurCustomers(db);
    return { log, hasCustomers, sql: prepare(db, hasCustomers) };
  } catch (error) {
    db.close();
    throw cannotBeOpened(path, error);
  }
}

function prepare(db: Database.Database, hasCustomers: boolean) {
  // Where the customers are another program's, nobody asks for ours: the routes are off.
  const ours = (text: string) => db.prepare(hasCustomers ? text : 'SELECT NULL');
  const column = 'seq, type, source, time, data';
  return {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    rollback: db.prepare('ROLLBACK'),
    dataVersion: db.prepare('PRAGMA data_version').pluck(),
    position: db.prepare(
      "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changebell_events'), 0) AS head, pruned FROM changebell_log",
    ),
    events: db.prepare(
      `SELECT ${column} FROM changebell_events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`,
    ),
    event: db.prepare(`SELECT ${column} FROM changebell_events WHERE seq = ?`),
    insertEvent: db.prepare('INSERT INTO changebell_events (type, source, data) VALUES (?, ?, ?)'),
    prune: db.prepare('DELETE FROM changebell_events WHERE seq <= ?'),
    customer: ours('SELECT json FROM changebell_customers WHERE id = ?').pluck(),
    customers: ours('SELECT id, json FROM changebell_customers WHERE id > ? ORDER BY id LIMIT ?'),
    insertCustomer: ours('INSERT INTO customers (name, email) VALUES (?, ?)'),
    updateCustomer: ours('UPDATE customers SET name = ?, email = ? WHERE id = ?'),
    deleteCustomer: ours('DELETE FROM customers WHERE id = ?'),
    findKey: db.prepare('SELECT request, answer FROM changebell_idempotency WHERE key = ?'),
    addKey: db.prepare('INSERT INTO changebell_idempotency (key, request, answer) VALUES (?, ?, ?)'),
    dropOldKeys: db.prepare(
      `DELETE FROM changebell_idempotency WHERE key IN (SELECT key FROM changebell_idempotency
       WHERE created_at < CAST(strftime('%s', 'now') AS INTEGER) - ? ORDER BY created_at LIMIT 2)`,
    ),
  };
}
