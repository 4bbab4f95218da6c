// Which orders of a batch go together. Most are creations that break no rule, and go in one statement; who broke a
// rule of another program, and took the whole transaction with it, is kept apart for a while, so that the others don't
// pay for it a second time.
import type { Order } from './store.ts';

const MAX_SUSPECTS = 100;
const SUSPICION_MS = 10_000;

/** An order, and its place in the batch. */
export type Entry = { order: Order; place: number };

export type Creation = Extract<Order, { op: 'create' }>;

export class Suspicion {
  /** Orders like these broke a whole transaction; until when that is remembered, by `performance.now()`. */
  private readonly suspects = new Map<string, number>();
  /** Until then creations are run one by one: some rule of another program wanted that. */
  private apartUntil = 0;

  /** Suspects are to be tried in a transaction of their own. */
  divide(entries: Entry[]): { suspects: Entry[]; others: Entry[] } {
    const now = performance.now();
    for (const [key, until] of this.suspects) if (until < now) this.suspects.delete(key);
    if (this.suspects.size === 0) return { suspects: [], others: entries };
    const isSuspect = ({ order }: Entry) => this.suspects.has(likeness(order));
    return {
      suspects: entries.filter(isSuspect),
      others: entries.filter((entry) => !isSuspect(entry)),
    };
  }

  /** The entries in their order; creations that stand side by side are one run, while nothing is known against it. */
  runsOf(entries: Entry[]): Entry[][] {
    const isTogether = performance.now() >= this.apartUntil;
    const runs: Entry[][] = [];
    for (const entry of entries) {
      const run = runs.at(-1);
      if (isTogether && run && isPlainCreation(entry) && isPlainCreation(run[0]!)) run.push(entry);
      else runs.push([entry]);
    }
    return runs;
  }

  /** This one took a whole transaction with it. */
  add({ order }: Entry): void {
    this.suspects.set(likeness(order), performance.now() + SUSPICION_MS);
    if (this.suspects.size > MAX_SUSPECTS) this.suspects.delete(this.suspects.keys().next().value!);
  }

  /** Creations could not go in one statement, and whatever rule it was is still there. */
  addCreations(): void {
    this.apartUntil = performance.now() + SUSPICION_MS;
  }
}

/** A creation on which nothing hangs: no key is stored with its answer. */
function isPlainCreation({ order }: Entry): boolean {
  return order.op === 'create' && order.idempotency === undefined;
}

/** Orders that are as good as the same: changes of any customer, or creations with equal content. */
function likeness(order: Order): string {
  if (order.op === 'update' || order.op === 'delete') return order.op;
  return JSON.stringify(order.op === 'create' ? order.fields : order.events).slice(0, 1000);
}
