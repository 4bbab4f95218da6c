// Which orders of a batch go together. Most are creations and publications that break no rule; who broke a rule of
// another program, and took the whole transaction with it, is kept apart for a while (`suspects.ts`), so that the others
// don't pay for it a second time.
import type { Order } from './store.ts';
import { SUSPICION_MS, Suspects } from './suspects.ts';

/** An order, and its place in the batch, where its result goes. */
export type Entry = { order: Order; place: number };

/** It makes a row; what a batch mostly is. */
export type Creation = Extract<Order, { op: 'create' }>;

/** An order on which nothing hangs: no key is looked for, and none is stored with its answer. */
export type Plain = Creation | Extract<Order, { op: 'publish' }>;

export class Suspicion {
  /** Who took a whole transaction with it. */
  readonly suspects = new Suspects();
  /** Until then all orders are run one by one: some rule of another program wanted that. */
  private apartUntil = 0;

  /** Suspects are to be tried in a transaction of their own. */
  divide(entries: Entry[]): { suspects: Entry[]; others: Entry[] } {
    // Asked once for each: it may be forgotten in this very moment.
    const suspects = new Set(entries.filter(({ order }) => this.suspects.has(order)));
    return { suspects: [...suspects], others: entries.filter((entry) => !suspects.has(entry)) };
  }

  /** The entries in their order; plain ones of a kind that stand side by side are one run, unless that failed lately. */
  runsOf(entries: Entry[]): Entry[][] {
    const isTogether = performance.now() >= this.apartUntil;
    const areAlike = (a: Entry, b: Entry) =>
      isTogether && kindOf(a) === kindOf(b) && isPlain(a) && isPlain(b);
    const runs: Entry[][] = [];
    for (const entry of entries) {
      const run = runs.at(-1);
      if (run && areAlike(run[0]!, entry)) run.push(entry);
      else runs.push([entry]);
    }
    return runs;
  }

  /** A run of several failed, and whatever rule it was is still there. */
  addRun(): void {
    this.apartUntil = performance.now() + SUSPICION_MS;
  }
}

function kindOf({ order }: Entry): string {
  return 'table' in order ? `${order.op} ${order.table}` : order.op;
}

function isPlain({ order }: Entry): boolean {
  if (order.op === 'create') return order.idempotency === undefined;
  if (order.op !== 'publish') return false;
  return order.idempotency === undefined && order.events.every((event) => event.idempotency === undefined);
}
