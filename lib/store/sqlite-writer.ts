// The one who writes to SQLite. It takes orders, runs each in a savepoint of its own, and commits them all in one
// transaction: a bad one fails alone, and what is answered is on the disk. The triggers in `sqlite-log.sql` and
// `sqlite-customers.sql` write the events.
import { statSync } from 'node:fs';
import type Database from 'better-sqlite3';
import type { CustomerFields } from '../customer.ts';
import { etagOf, matchesStrongly, matchesWeakly } from '../etag.ts';
import { eventId, toCloudEvent } from '../event.ts';
import type { Idempotency } from '../idempotency.ts';
import type { NewEvent } from '../new-event.ts';
import { unavailable } from '../problem.ts';
import type { Result } from './group-commit.ts';
import { isBusy, refusalOf, toProblem } from './sqlite.ts';
import { prepareWriting } from './sqlite-statements.ts';
import type { Order, Outcome, Preconditions } from './store.ts';

type Done = Extract<Outcome, { is: 'done' | 'replayed' }>;

const PRUNE_STEP = 500;
const IDEMPOTENCY_SECONDS = 48 * 3600;

export class SqliteWriter {
  private readonly db: Database.Database;
  private readonly sql: ReturnType<typeof prepareWriting>;
  private readonly path: string;
  private readonly inode: number;
  private readonly retention: number;

  constructor(
    db: Database.Database,
    path: string,
    { hasCustomers, retention }: { hasCustomers: boolean; retention: number },
  ) {
    this.db = db;
    this.sql = prepareWriting(db, hasCustomers);
    this.path = path;
    this.inode = path === ':memory:' ? 0 : statSync(path).ino;
    this.retention = retention;
  }

  /**
   * One transaction for all of them; events up to `announced` may be pruned with it.
   * @throws {Problem} 503 where nothing was written
   */
  commit(orders: Order[], announced: number): Result[] {
    try {
      this.checkFile();
      this.sql.begin.run();
    } catch (error) {
      if (isBusy(error)) return orders.map(() => ({ is: 'locked' }));
      throw toProblem(error);
    }
    try {
      const results = orders.map((order) => this.runAlone(order));
      this.prune(announced, 2 * orders.length + PRUNE_STEP);
      this.sql.commit.run();
      return results;
    } catch (error) {
      if (this.db.inTransaction) this.sql.rollback.run();
      throw toProblem(error);
    }
  }

  /** SQLite goes on writing into a file that was deleted: nothing would be left of it after a restart. */
  private checkFile(): void {
    const isGone = this.inode !== 0 && statSync(this.path, { throwIfNoEntry: false })?.ino !== this.inode;
    if (isGone) throw unavailable('The database file is gone.');
  }

  /** Also where it is one statement: another program's trigger may leave half of it with RAISE(FAIL). */
  private runAlone(order: Order): Outcome {
    this.sql.savepoint.run();
    try {
      const outcome = this.run(order);
      if (outcome.is === 'key taken') this.sql.rollbackTo.run(); // of a list, nothing is stored
      this.sql.release.run();
      return outcome;
    } catch (error) {
      if (!this.db.inTransaction) throw error; // a full disk may have rolled back the whole batch
      this.sql.rollbackTo.run();
      this.sql.release.run();
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      return refusal;
    }
  }

  private run(order: Order): Outcome {
    switch (order.op) {
      case 'create':
        return this.once(order.idempotency, () => this.create(order.fields));
      case 'publish':
        return this.once(order.idempotency, () => this.publish(order.events, order.isList));
      case 'update':
        return this.change(order.id, order.preconditions, (current) =>
          this.update(order.id, order.fields, current),
        );
      case 'delete':
        return this.change(order.id, order.preconditions, () => this.delete(order.id));
    }
  }

  /** A repeat gets the answer to the first. */
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

  private create({ name, email }: CustomerFields): Outcome {
    const { lastInsertRowid } = this.sql.insertCustomer.run(name, email);
    return this.done(this.sql.customer.get(Number(lastInsertRowid))!);
  }

  private update(id: number, fields: Partial<CustomerFields>, current: string): Outcome {
    const { name, email } = { ...(JSON.parse(current) as CustomerFields), ...fields };
    this.sql.updateCustomer.run(name, email, id);
    return this.done(this.sql.customer.get(id)!);
  }

  private delete(id: number): Outcome {
    this.sql.deleteCustomer.run(id);
    return this.done('');
  }

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

  private insert({ type, source, data, extensions }: NewEvent): Done {
    const { lastInsertRowid } = this.sql.insertEvent.run(type, source, data, extensions);
    return this.done(toCloudEvent(this.sql.event.get(lastInsertRowid)!));
  }

  private change(id: number, preconditions: Preconditions = {}, make: (current: string) => Outcome): Outcome {
    const current = this.sql.customer.get(id);
    if (!holds(preconditions, current)) return { is: 'precondition failed', exists: current !== undefined };
    return current === undefined ? { is: 'missing' } : make(current);
  }

  private done(json: string): Done {
    return { is: 'done', json, lastEventId: eventId(this.sql.head.get()!) };
  }

  /** Deletes the oldest events in small steps, with the writes that push them out. */
  private prune(announced: number, step: number): void {
    const { head, pruned } = this.sql.bounds.get() as { head: number; pruned: number };
    const upTo = Math.min(head - this.retention, pruned + step, announced);
    if (upTo > pruned) this.sql.prune.run(upTo);
  }
}

/** RFC 9110 §13.1.1: `If-Match` fails where there is nothing; §13.1.2: `If-None-Match` fails where it matches. */
function holds({ ifMatch, ifNoneMatch }: Preconditions, current: string | undefined): boolean {
  if (current === undefined) return ifMatch === undefined;
  const etag = etagOf(current);
  if (ifMatch !== undefined && !matchesStrongly(ifMatch, etag)) return false;
  return ifNoneMatch === undefined || !matchesWeakly(ifNoneMatch, etag);
}
