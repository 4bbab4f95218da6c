// What each order does in SQLite. Plain ones share a savepoint, and where a rule refuses one of them, each gets a
// savepoint of its own: a bad one fails alone. Nothing here writes the event of a change, since triggers do; but that
// they did is looked at before anybody is told `done`. Whether it lasts, `sqlite-batch.ts` says with its commit.
import type Database from 'better-sqlite3';
import { etagOf, matchesStrongly, matchesWeakly, type Preconditions } from '../etag.ts';
import { type Cursor, eventId, toCloudEvent } from '../event.ts';
import type { Idempotency } from '../idempotency.ts';
import type { NewEvent } from '../new-event.ts';
import type { Fields } from '../resource.ts';
import { refusalOf } from './sqlite.ts';
import type { prepareWriting, Table } from './sqlite-statements.ts';
import type { Creation, Plain } from './sqlite-suspicion.ts';
import type { Order, Outcome } from './store.ts';

type Done = Extract<Outcome, { is: 'done' | 'replayed' }>;

/** Twice the 24 hours that are promised, so that nothing hangs on the very moment. */
const IDEMPOTENCY_SECONDS = 48 * 3600;

/**
 * Another program's trigger said RAISE(IGNORE): the change, or its event, was left out without an error. To answer
 * `done` would promise an event that nobody gets.
 */
const IGNORED: Outcome = {
  is: 'refused',
  status: 409,
  detail: 'A rule of the database ignores this change.',
};

export class SqliteOrders {
  private readonly db: Database.Database;
  private readonly sql: ReturnType<typeof prepareWriting>;
  private readonly tables: ReadonlyMap<string, Table>;
  /** The newest event, as far as the transaction has come: a change must move it. */
  private head = 0;

  constructor(
    db: Database.Database,
    sql: ReturnType<typeof prepareWriting>,
    tables: ReadonlyMap<string, Table>,
  ) {
    this.db = db;
    this.sql = sql;
    this.tables = tables;
  }

  /** A transaction begins: its head is the newest event that others have written, too. */
  begin(): void {
    this.head = this.sql.position().head.seq;
  }

  /**
   * One order, in a savepoint of its own. Also where it is one statement: another program's trigger may leave half of
   * it with RAISE(FAIL). After RAISE(ROLLBACK) the transaction is over, and whoever called finds out by
   * `inTransaction`.
   * @throws what is no order's fault: a full disk, a bug of ours
   */
  run(order: Order): Outcome {
    const head = this.head;
    this.sql.savepoint.run();
    try {
      const outcome = this.make(order);
      // Of a list nothing is stored then, and of a change that was ignored nothing is left without its event.
      if (outcome.is === 'key taken' || outcome.is === 'refused') this.undo(head);
      else this.sql.release.run();
      return outcome;
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      if (this.db.inTransaction) this.undo(head);
      return refusal;
    }
  }

  /**
   * What a batch mostly is: creations, or publications, that nothing hangs on. They share a savepoint, as if they were
   * one write, and creations are one statement: that takes half the time.
   * @param run orders of one kind, at least one
   * @returns undefined if some rule of the database wants them one by one: then nothing was done, or, after
   *   RAISE(ROLLBACK), the transaction is over
   */
  together(run: Plain[]): Outcome[] | undefined {
    const head = this.head;
    this.sql.savepoint.run();
    try {
      const outcomes = isCreations(run) ? this.createAll(run) : run.map((order) => this.make(order));
      if (outcomes.every(({ is }) => is === 'done')) {
        this.sql.release.run();
        return outcomes;
      }
    } catch (error) {
      if (!refusalOf(error)) throw error;
    }
    if (this.db.inTransaction) this.undo(head);
    return undefined;
  }

  /** Always there: without the table its routes are off, so that no order for it comes. */
  private tableOf({ table = 'customers' }: { table?: string }): Table {
    return this.tables.get(table)!;
  }

  /** Back to where the savepoint began; the transaction goes on, and so does what was written before it. */
  private undo(head: number): void {
    this.sql.rollbackTo.run();
    this.sql.release.run();
    this.head = head;
  }

  /** Preconditions are judged here, under the lock: nobody can change the row between the look and the write. */
  private make(order: Order): Outcome {
    if (order.op === 'publish')
      return this.once(order.idempotency, () => this.publish(order.events, order.isList));
    const table = this.tableOf(order);
    if (order.op === 'create') return this.once(order.idempotency, () => this.create(table, order.fields));
    const current = table.row.get(order.id);
    if (!holds(order.preconditions, current))
      return { is: 'precondition failed', exists: current !== undefined };
    if (current === undefined) return { is: 'missing' };
    return order.op === 'update'
      ? this.update(table, order.id, order.fields, current)
      : this.delete(table, order.id);
  }

  /** A repeat gets the answer to the first. Key and change share a savepoint: a refused one leaves its key free. */
  private once(idempotency: Idempotency | undefined, make: () => Outcome): Outcome {
    if (!idempotency) return make();
    const earlier = this.sql.findKey.get(idempotency.key);
    if (earlier && earlier.request !== idempotency.request) return { is: 'key taken' };
    if (earlier) return { is: 'replayed', json: earlier.answer, lastEventId: earlier.event_id };
    const outcome = make();
    if (outcome.is !== 'done') return outcome;
    this.sql.addKey.run(idempotency.key, idempotency.request, outcome.json, outcome.lastEventId);
    this.sql.dropOldKeys.run(IDEMPOTENCY_SECONDS); // two at a time, so that old keys go faster than new ones come
    return outcome;
  }

  /** Read back: RETURNING would not show what other programs' triggers made of the row. */
  private create(table: Table, fields: Fields): Outcome {
    const { changes, lastInsertRowid } = table.insert().run(fields);
    const json = changes === 1 ? table.row.get(Number(lastInsertRowid)) : undefined;
    return json === undefined ? IGNORED : this.announced(json);
  }

  /** Where each one writes its event, and nothing else is written, what was announced is what there is. */
  private createAll(run: Creation[]): Outcome[] {
    const table = this.tableOf(run[0]!);
    table.insertAll().run(JSON.stringify(run.map(({ fields }) => fields)));
    const events = this.sql.eventsAfter.all(this.head);
    const isAll = events.length === run.length && events.every(({ type }) => type === table.created);
    if (!isAll) return [IGNORED];
    this.head = events.at(-1)!.seq;
    return events.map((event) => ({ is: 'done', json: event.data, lastEventId: eventId(event) }));
  }

  /** A patch names some fields; the others are those of the row. What changes nothing is silent, and done. */
  private update(table: Table, id: number, fields: Fields, current: string): Outcome {
    const { changes } = table.update().run({ ...(JSON.parse(current) as Fields), ...fields, id });
    const json = table.row.get(id);
    if (changes === 0 || json === undefined) return IGNORED;
    return json === current ? this.done(json, this.sql.position().head) : this.announced(json);
  }

  /** The row as it last was is in its event; the caller gets no content. */
  private delete(table: Table, id: number): Outcome {
    const { changes } = table.delete().run(id);
    return changes === 0 ? IGNORED : this.announced('');
  }

  /** Repeats in a list get their stored answers. The id is that of the newest event that was written now, if any. */
  private publish(events: NewEvent[], isList: boolean): Outcome {
    const outcomes: Done[] = [];
    for (const [place, event] of events.entries()) {
      const outcome = this.once(event.idempotency, () => this.insert(event));
      if (outcome.is === 'key taken') return { is: 'key taken', place };
      if (!('json' in outcome)) return outcome;
      outcomes.push(outcome);
    }
    const json = isList ? `[${outcomes.map((outcome) => outcome.json).join()}]` : outcomes[0]!.json;
    return { ...(outcomes.findLast(({ is }) => is === 'done') ?? outcomes.at(-1)!), json };
  }

  /** An event is what the caller gave, and what the log adds: RETURNING has that, since it comes from defaults. */
  private insert({ type, source, data, extensions }: NewEvent): Outcome {
    const place = this.sql.insertEvent().get(type, source, data, extensions);
    if (place === undefined) return IGNORED;
    this.head = place.seq;
    const json = toCloudEvent({ ...place, type, source, data, extensions });
    return { is: 'done', json, lastEventId: eventId(place) };
  }

  /** A change and its event stand or fall together: where the log has not grown, no trigger has written it. */
  private announced(json: string): Outcome {
    const { head } = this.sql.position();
    return head.seq > this.head ? this.done(json, head) : IGNORED;
  }

  /** The position, and not only the own event: a reader that has passed it has seen this change. */
  private done(json: string, head: Cursor): Done {
    this.head = head.seq;
    return { is: 'done', json, lastEventId: eventId(head) };
  }
}

function isCreations(run: Plain[]): run is Creation[] {
  return run[0]!.op === 'create';
}

/** RFC 9110 §13.1.1: `If-Match` fails where there is nothing; §13.1.2: `If-None-Match` fails where it matches. */
function holds({ ifMatch, ifNoneMatch }: Preconditions = {}, current: string | undefined): boolean {
  if (current === undefined) return ifMatch === undefined;
  const etag = etagOf(current);
  if (ifMatch !== undefined && !matchesStrongly(ifMatch, etag)) return false;
  return ifNoneMatch === undefined || !matchesWeakly(ifNoneMatch, etag);
}
