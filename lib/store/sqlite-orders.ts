// What each order does in SQLite. Orders that are made together share a savepoint: where a rule refuses one of them,
// none is made, and `sqlite-writer.ts` tries each alone. Nothing here writes the event of a change, since triggers do;
// but that they did is looked at before anybody is told `done`. Whether it lasts, the writer says with its commit.
import type Database from 'better-sqlite3';
import { etagOf, matchesStrongly, matchesWeakly, type Preconditions } from '../etag.ts';
import { type Cursor, eventId, type Position, type StoredEvent, toCloudEvent } from '../event.ts';
import type { Idempotency } from '../idempotency.ts';
import type { NewEvent } from '../new-event.ts';
import type { Fields } from '../resource.ts';
import { Refused, type Transaction } from './sqlite.ts';
import { readPosition } from './sqlite-reader.ts';
import type { Table } from './sqlite-tables.ts';
import type { Order, Outcome } from './store.ts';

type Done = Extract<Outcome, { is: 'done' | 'replayed' }>;
type Creation = Extract<Order, { op: 'create' }>;

/** Twice the 24 hours that are promised, so that nothing hangs on the very moment. */
const IDEMPOTENCY_SECONDS = 48 * 3600;

/** Nobody publishes an empty list but the store itself, to learn whether it could. */
const NOTHING_NEW: Done = { is: 'replayed', json: '[]', lastEventId: '' };

// What an insert of many rows has announced, with what it says of each row.
const EVENTS_AFTER = 'SELECT seq, stamp, type, data FROM changebell_events WHERE seq > ? ORDER BY seq';
const INSERT_EVENT =
  'INSERT INTO changebell_events (type, source, data, extensions) VALUES (?, ?, ?, ?) RETURNING seq, stamp, time';
const FIND_KEY = 'SELECT request, answer, event_id FROM changebell_idempotency WHERE key = ?';
const ADD_KEY = 'INSERT INTO changebell_idempotency (key, request, answer, event_id) VALUES (?, ?, ?, ?)';
// By the index on their age, and no more than two: the time that a write takes doesn't depend on how many are old.
const DROP_OLD_KEYS = `DELETE FROM changebell_idempotency WHERE key IN (SELECT key FROM changebell_idempotency
  WHERE created_at < CAST(strftime('%s', 'now') AS INTEGER) - ? ORDER BY created_at LIMIT 2)`;

export class SqliteOrders {
  /** The newest event, as far as the transaction has come: a change must move it. */
  head = 0;
  private readonly db: Database.Database;
  /** The caller has one open, so it is a savepoint. */
  private readonly transaction: Transaction;
  private readonly tables: ReadonlyMap<string, Table>;

  constructor(db: Database.Database, transaction: Transaction, tables: ReadonlyMap<string, Table>) {
    this.db = db;
    this.transaction = transaction;
    this.tables = tables;
  }

  /** A transaction begins: its head is the newest event that others have written, too. @returns where the log stands */
  begin(): Position {
    const position = readPosition(this.db);
    this.head = position.head.seq;
    return position;
  }

  /**
   * One order, or plain ones of a kind, which is what a batch mostly is: they share a savepoint, as if they were one write,
   * and creations are one statement, in half the time. Also where all is one statement: another program's trigger may
   * leave half of it with RAISE(FAIL).
   * @throws where one of them can't be made: then nothing of them was done
   */
  run(orders: Order[]): Outcome[] {
    const { head } = this;
    try {
      return this.transaction(() =>
        isCreations(orders) ? this.createAll(orders) : orders.map((order) => this.make(order)),
      );
    } catch (error) {
      this.head = head;
      throw error;
    }
  }

  /** Always there: without the table its routes are off, so that no order for it comes. */
  private tableOf({ table = 'customers' }: { table?: string }): Table {
    return this.tables.get(table)!;
  }

  /** Preconditions are judged here, under the lock: nobody can change the row between the look and the write. */
  private make(order: Order): Outcome {
    if (order.op === 'publish')
      return this.once(order.idempotency, () => this.publish(order.events, order.isList));
    const table = this.tableOf(order);
    if (order.op === 'create') return this.once(order.idempotency, () => this.create(table, order.fields));
    const current = table.row(order.id);
    if (!holds(order.preconditions, current))
      return { is: 'precondition failed', exists: current !== undefined };
    if (current === undefined) return { is: 'missing' };
    return order.op === 'update'
      ? this.update(table, order.id, order.fields, current)
      : this.delete(table, order.id);
  }

  /**
   * A repeat gets the answer to the first. Key and change share a savepoint: a refused one leaves its key free.
   * @param place of an event in its list
   */
  private once(idempotency: Idempotency | undefined, make: () => Done, place?: number): Done {
    if (!idempotency) return make();
    const { key, request } = idempotency;
    type Row = { request: string; answer: string; event_id: string };
    const earlier = this.db.prepare<[string], Row>(FIND_KEY).get(key);
    if (earlier && earlier.request !== request) throw new Refused({ is: 'key taken', place });
    if (earlier) return { is: 'replayed', json: earlier.answer, lastEventId: earlier.event_id };
    const done = make();
    this.db.prepare(ADD_KEY).run(key, request, done.json, done.lastEventId);
    this.db.prepare(DROP_OLD_KEYS).run(IDEMPOTENCY_SECONDS); // so old keys go faster than new ones come
    return done;
  }

  /** Read back: RETURNING would not show what other programs' triggers made of the row. */
  private create(table: Table, fields: Fields): Done {
    const { changes, lastInsertRowid } = table.insert(fields);
    return this.announced(changes === 1 ? table.row(lastInsertRowid) : undefined);
  }

  /** Where each one writes its event, and nothing else is written, what was announced is what there is. */
  private createAll(run: Creation[]): Done[] {
    const table = this.tableOf(run[0]!);
    table.insertAll(run.map(({ fields }) => fields));
    type Row = Cursor & { type: string; data: string };
    const events = this.db.prepare<[number], Row>(EVENTS_AFTER).all(this.head);
    const isAll = events.length === run.length && events.every(({ type }) => type === table.created);
    if (!isAll) throw ignored();
    this.head = events.at(-1)!.seq;
    return events.map((event) => ({ is: 'done', json: event.data, lastEventId: eventId(event) }));
  }

  /** A patch names some fields; the others are those of the row. What changes nothing is silent, and done. */
  private update(table: Table, id: number, fields: Fields, current: string): Done {
    const { changes } = table.update(id, { ...(JSON.parse(current) as Fields), ...fields });
    const json = changes === 1 ? table.row(id) : undefined;
    return json === current ? this.done(json, readPosition(this.db).head) : this.announced(json);
  }

  /** The row as it last was is in its event; the caller gets no content. */
  private delete(table: Table, id: number): Done {
    const { changes } = table.remove(id);
    return this.announced(changes === 1 ? '' : undefined);
  }

  /** Repeats in a list get their stored answers. The id is that of the newest event that was written now, if any. */
  private publish(events: NewEvent[], isList: boolean): Done {
    if (events.length === 0) return NOTHING_NEW;
    const all = events.map((event, place) => this.once(event.idempotency, () => this.insert(event), place));
    const json = isList ? `[${all.map((done) => done.json).join()}]` : all[0]!.json;
    return { ...(all.findLast(({ is }) => is === 'done') ?? all.at(-1)!), json };
  }

  /** An event is what the caller gave, and what the log adds: RETURNING has that, since it comes from defaults. */
  private insert({ type, source, data, extensions }: NewEvent): Done {
    type Row = Pick<StoredEvent, 'seq' | 'stamp' | 'time'>;
    const row = this.db.prepare<unknown[], Row>(INSERT_EVENT).get(type, source, data, extensions);
    if (row === undefined) throw ignored();
    return this.done(toCloudEvent({ ...row, type, source, data, extensions }), row);
  }

  /**
   * A change and its event stand or fall together: where the log has not grown, no trigger has written it.
   * @param json undefined where there was no change
   */
  private announced(json: string | undefined): Done {
    const { head } = readPosition(this.db);
    if (json === undefined || head.seq <= this.head) throw ignored();
    return this.done(json, head);
  }

  /** The position, and not only the own event: a reader that has passed it has seen this change. */
  private done(json: string, head: Cursor): Done {
    this.head = head.seq;
    return { is: 'done', json, lastEventId: eventId(head) };
  }
}

/**
 * Another program's trigger said RAISE(IGNORE): the change, or its event, was left out without an error. To answer
 * `done` would promise an event that nobody gets.
 */
function ignored(): Refused {
  return new Refused({ is: 'refused', status: 409, detail: 'A rule of the database ignores this change.' });
}

/** Several are of one kind, and plain. */
function isCreations(orders: Order[]): orders is Creation[] {
  return orders.length > 1 && orders[0]!.op === 'create';
}

/** RFC 9110 §13.1.1: `If-Match` fails where there is nothing; §13.1.2: `If-None-Match` fails where it matches. */
function holds({ ifMatch, ifNoneMatch }: Preconditions = {}, current: string | undefined): boolean {
  if (current === undefined) return ifMatch === undefined;
  const etag = etagOf(current);
  if (ifMatch !== undefined && !matchesStrongly(ifMatch, etag)) return false;
  return ifNoneMatch === undefined || !matchesWeakly(ifNoneMatch, etag);
}
