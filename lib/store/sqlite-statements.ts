// What the store asks of SQLite, each prepared once (`sqlite.ts` says why). What is true of the data, whoever
// writes it, stands in the `.sql` files beside this one.
import type Database from 'better-sqlite3';
import type { Cursor, Position, StoredEvent } from '../event.ts';
import type { Fields, Resource } from '../resource.ts';

const EVENT = 'seq, stamp, type, source, time, data, extensions';

/** For the connection that reads. */
export function prepareReading(db: Database.Database, hasCustomers: boolean) {
  const ours = oursOn(db, hasCustomers);
  return {
    begin: db.prepare('BEGIN'),
    commit: db.prepare('COMMIT'),
    dataVersion: db.prepare('PRAGMA data_version').pluck(),
    position: preparePosition(db),
    stamp: db.prepare<[number], string>('SELECT stamp FROM changebell_events WHERE seq = ?').pluck(),
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

/** For the connection that writes. */
export function prepareWriting(db: Database.Database) {
  return {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    rollback: db.prepare('ROLLBACK'),
    savepoint: db.prepare('SAVEPOINT one_write'),
    release: db.prepare('RELEASE one_write'),
    rollbackTo: db.prepare('ROLLBACK TO one_write'),
    position: preparePosition(db),
    eventsAfter: db.prepare<[number], Cursor & { type: string; data: string }>(
      'SELECT seq, stamp, type, data FROM changebell_events WHERE seq > ? ORDER BY seq',
    ),
    insertEvent: db.prepare<
      [string, string, string, string | null],
      Pick<StoredEvent, 'seq' | 'stamp' | 'time'>
    >(
      'INSERT INTO changebell_events (type, source, data, extensions) VALUES (?, ?, ?, ?) RETURNING seq, stamp, time',
    ),
    // A write that changes nothing in the end. An update to the same value would not do: SQLite leaves it out.
    touch: db.prepare("INSERT INTO changebell_idempotency VALUES (' ', '', '', '', 0)"),
    untouch: db.prepare("DELETE FROM changebell_idempotency WHERE key = ' '"),
    prune: db.prepare('DELETE FROM changebell_events WHERE seq <= ?'),
    findKey: db.prepare<[string], { request: string; answer: string; event_id: string }>(
      'SELECT request, answer, event_id FROM changebell_idempotency WHERE key = ?',
    ),
    addKey: db.prepare(
      'INSERT INTO changebell_idempotency (key, request, answer, event_id) VALUES (?, ?, ?, ?)',
    ),
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

/** To write rows of a resource. @param row a query for the JSON of one, by its id */
export function prepareTable(db: Database.Database, { table, type, fields }: Resource, row: string) {
  const names = Object.keys(fields);
  const values = names.map((name) => `@${name}`).join();
  const changes = names.map((name) => `${name} = @${name}`).join();
  const extracted = names.map((name) => `json_extract(value, '$.${name}')`).join();
  return {
    /** The type of the event that an insert writes. */
    created: `${type}.created`,
    row: db.prepare<[number], string>(row).pluck(),
    insert: db.prepare<[Fields]>(`INSERT INTO ${table} (${names.join()}) VALUES (${values})`),
    /** Many rows at once, as a JSON array. */
    insertAll: db.prepare<[string]>(
      `INSERT INTO ${table} (${names.join()}) SELECT ${extracted} FROM json_each(?)`,
    ),
    update: db.prepare<[Fields]>(`UPDATE ${table} SET ${changes} WHERE id = @id`),
    delete: db.prepare<[number]>(`DELETE FROM ${table} WHERE id = ?`),
  };
}

/** Where the customers are another program's, nobody asks for ours: the routes are off. */
function oursOn(db: Database.Database, hasCustomers: boolean) {
  return <Bind extends unknown[] = unknown[], Row = unknown>(sql: string) =>
    db.prepare<Bind, Row>(hasCustomers ? sql : 'SELECT NULL');
}
