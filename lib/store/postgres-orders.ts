// Orders on their way to PostgreSQL, and what came of them on the way back. All of a turn go as one call of
// `changebell_write`. What is simple goes together; what broke a rule a moment ago goes alone, so that nobody pays for it.
import { type StoredEvent, toCloudEvent } from '../event.ts';
import type { Result } from './group-commit.ts';
import { toRefusal } from './postgres-errors.ts';
import type { Order } from './store.ts';

// So many are remembered, each in at most 1,000 characters: a flood of bad writes takes no more memory than that.
const MAX_SUSPECTS = 100;
// So long an order goes alone that is like one that failed: among others it would make its whole part run again.
const SUSPICION_MS = 10_000;

/**
 * A row of `changebell_write`: what came of the order at `place`. Of one that was refused, `answer` is the database's
 * message and `event_id` its SQLSTATE.
 */
export type Row = { place: number; outcome: string; answer: string; event_id: string };

/** What is remembered here saves time, and decides nothing: after a restart it is found out anew. */
export class Orders {
  /** Orders like these were refused or locked; until when that is remembered. */
  private readonly suspects = new Map<string, number>();

  /**
   * The parameters `together` and `alone`, as JSON. Of orders with the same key only the first is in them: the others
   * wait for what comes of it.
   */
  sort(orders: Order[]): { together: string; alone: string } {
    const together: object[] = [];
    const alone: object[] = [];
    const keys = new Set<string>();
    const now = performance.now();
    for (const [key, until] of this.suspects) if (until < now) this.suspects.delete(key);
    for (const [place, order] of orders.entries()) {
      const key = 'idempotency' in order ? order.idempotency?.key : undefined;
      // No row will speak of it, so `toResults` sends it to the next turn.
      if (key !== undefined && keys.has(key)) continue;
      if (!isPlain(order)) alone.push({ place, ...flat(order) });
      // To tell what an order is like takes a JSON text of it: only while somebody is suspected.
      else if (this.suspects.size > 0 && this.suspects.has(likeness(order)))
        alone.push({ place, plain: true, ...flat(order) });
      else together.push({ place, plain: true, ...flat(order) });
      if (key !== undefined) keys.add(key);
    }
    return { together: JSON.stringify(together), alone: JSON.stringify(alone) };
  }

  /** One result for each order, in the orders' sequence. What `changebell_write` says of them is durable by now. */
  toResults(rows: Row[], orders: Order[]): Result[] {
    const results: Result[] = orders.map(() => ({ is: 'locked' })); // one that no row speaks of is tried again
    for (const row of rows) {
      const order = orders[row.place]!;
      results[row.place] = toResult(row, order);
      if (row.outcome === 'locked' || row.outcome === 'refused') this.suspect(order);
    }
    return results;
  }

  private suspect(order: Order): void {
    // The others go alone in any case.
    if (!isPlain(order)) return;
    this.suspects.set(likeness(order), performance.now() + SUSPICION_MS);
    // A Map keeps the sequence in which its keys came: the first has been here for longest.
    if (this.suspects.size > MAX_SUSPECTS) this.suspects.delete(this.suspects.keys().next().value!);
  }
}

/**
 * One that needs no look at what is there, neither at a row nor at a key: one INSERT does it for all of its kind. Of
 * the tables only the customers have such an INSERT: see `changebell_write_together`.
 */
function isPlain(order: Order): boolean {
  if (order.op === 'create') return order.idempotency === undefined && isOfCustomers(order);
  if (order.op !== 'publish' || order.idempotency) return false;
  return order.events.every((event) => event.idempotency === undefined);
}

/** Orders that begin alike are taken for the same. A mistake costs time, and changes nothing that is written. */
function likeness(order: Order): string {
  return JSON.stringify(flat(order)).slice(0, 1000);
}

/**
 * An order as the functions in the database read it. The customers' fields stand beside the rest, as
 * `changebell_change` takes them; so do the key and the hash of an `Idempotency-Key`.
 */
function flat(order: Order): object {
  if (order.op === 'publish') {
    const events = order.events.map(({ idempotency, ...event }) => ({ ...event, ...idempotency }));
    return { op: order.op, events, ...order.idempotency };
  }
  const { op, table } = order;
  const fields = op === 'delete' ? {} : order.fields;
  const item = { op, ...(isOfCustomers(order) ? fields : { table, fields }) };
  if (op === 'create') return { ...item, ...order.idempotency };
  return { ...item, id: order.id, ...order.preconditions };
}

function isOfCustomers({ table = 'customers' }: { table?: string }): boolean {
  return table === 'customers';
}

function toResult({ outcome, answer, event_id: lastEventId }: Row, order: Order): Result {
  switch (outcome) {
    case 'done':
    case 'replayed':
      return {
        is: outcome,
        json: order.op === 'publish' ? published(answer, order.isList) : order.op === 'delete' ? '' : answer,
        lastEventId,
      };
    case 'precondition failed':
      // The row as it is now, if there is one: who is told 412 learns whether it has changed or gone.
      return { is: outcome, exists: answer !== null };
    case 'locked':
    case 'missing':
    case 'key taken':
      return { is: outcome };
    case 'refused':
      return toRefusal(lastEventId, answer);
    default:
      // To guess would tell somebody that his change is saved, or that it is not.
      throw new Error(`changebell_write knows an outcome that this program doesn't: ${outcome}`);
  }
}

/** The answer to a publication: a list only to whoever sent a list. Its text is what streams deliver. */
function published(answer: string, isList: boolean): string {
  const events = (JSON.parse(answer) as StoredEvent[]).map(toCloudEvent);
  return isList ? `[${events.join()}]` : events[0]!;
}
