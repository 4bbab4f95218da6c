// Orders on their way to PostgreSQL, and what came of them on the way back. All of a turn go as one call of
// `changebell_write`. What is simple goes together; what broke a rule a moment ago goes alone, so that nobody pays for it.
import { type StoredEvent, toCloudEvent } from '../event.ts';
import type { Result } from './group-commit.ts';
import { toRefusal } from './postgres-errors.ts';
import type { Order } from './store.ts';

const MAX_SUSPECTS = 100;
const SUSPICION_MS = 10_000;

/** A row of `changebell_write`. */
export type Row = { place: number; outcome: string; answer: string; event_id: string };

export class Orders {
  /** Orders like these were refused or locked; until when that is remembered. */
  private readonly suspects = new Map<string, number>();

  /** The parameters `together` and `alone`, as JSON; and orders that must wait for another one of the same key. */
  sort(orders: Order[]): { together: string; alone: string; later: Set<number> } {
    const together: object[] = [];
    const alone: object[] = [];
    const later = new Set<number>();
    const keys = new Set<string>();
    const now = performance.now();
    for (const [key, until] of this.suspects) if (until < now) this.suspects.delete(key);
    for (const [place, order] of orders.entries()) {
      const key = 'idempotency' in order ? order.idempotency?.key : undefined;
      if (key !== undefined && keys.has(key)) later.add(place);
      else if (!isPlain(order)) alone.push({ place, ...flat(order) });
      else if (this.suspects.size > 0 && this.suspects.has(likeness(order)))
        alone.push({ place, plain: true, ...flat(order) });
      else together.push({ place, plain: true, ...flat(order) });
      if (key !== undefined) keys.add(key);
    }
    return { together: JSON.stringify(together), alone: JSON.stringify(alone), later };
  }

  toResults(rows: Row[], orders: Order[]): Result[] {
    const results: Result[] = orders.map(() => ({ is: 'locked' })); // `later` ones: their turn comes
    for (const row of rows) {
      const order = orders[row.place]!;
      results[row.place] = toResult(row, order);
      if (row.outcome === 'locked' || row.outcome === 'refused') this.suspect(order);
    }
    return results;
  }

  private suspect(order: Order): void {
    if (!isPlain(order)) return;
    this.suspects.set(likeness(order), performance.now() + SUSPICION_MS);
    if (this.suspects.size > MAX_SUSPECTS) this.suspects.delete(this.suspects.keys().next().value!);
  }
}

/** One that needs no look at what is there. */
function isPlain(order: Order): boolean {
  if (order.op === 'create') return order.idempotency === undefined && isOfCustomers(order);
  if (order.op !== 'publish' || order.idempotency) return false;
  return order.events.every((event) => event.idempotency === undefined);
}

function likeness(order: Order): string {
  return JSON.stringify(flat(order)).slice(0, 1000);
}

/** The customers' fields stand beside the rest, as `changebell_change` takes them. */
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
      return { is: outcome, exists: answer !== null };
    case 'locked':
    case 'missing':
    case 'key taken':
      return { is: outcome };
    case 'refused':
      return toRefusal(lastEventId, answer);
    default:
      throw new Error(`changebell_write knows an outcome that this program doesn't: ${outcome}`);
  }
}

function published(answer: string, isList: boolean): string {
  const events = (JSON.parse(answer) as StoredEvent[]).map(toCloudEvent);
  return isList ? `[${events.join()}]` : events[0]!;
}
