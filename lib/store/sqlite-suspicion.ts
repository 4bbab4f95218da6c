// Which orders of a batch go together. Most are creations and publications that break no rule; who broke a rule of
// another program, and took the whole transaction with it, is kept apart for a while, so that the others don't pay for
// it a second time. It only guesses: who is tried apart, and is at no fault, gets the same answer.
import type { Order } from './store.ts';

/** Callers choose what is suspected, so the memory of it is bounded. */
const MAX_SUSPECTS = 100;
/** So long a rule of another program may be gone before we notice, and so often we pay for one that stays. */
const SUSPICION_MS = 10_000;

/** An order, and its place in the batch, where its result goes. */
export type Entry = { order: Order; place: number };

/** It makes a row; what a batch mostly is. */
export type Creation = Extract<Order, { op: 'create' }>;

/** An order on which nothing hangs: no key is looked for, and none is stored with its answer. */
export type Plain = Creation | Extract<Order, { op: 'publish' }>;

/** What the writer remembers of broken transactions, for some seconds. */
export class Suspicion {
  /** Orders like these broke a whole transaction; until when that is remembered, by `performance.now()`. */
  private readonly suspects = new Map<string, number>();
  /** Until then all orders are run one by one: some rule of another program wanted that. */
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

  /** This one took a whole transaction with it. */
  add({ order }: Entry): void {
    this.suspects.set(likeness(order), performance.now() + SUSPICION_MS);
    if (this.suspects.size > MAX_SUSPECTS) this.suspects.delete(this.suspects.keys().next().value!);
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

/** Orders that are as good as the same: changes of any customer, or creations with equal content. */
function likeness(order: Order): string {
  if (order.op === 'update' || order.op === 'delete') return order.op;
  return JSON.stringify(order.op === 'create' ? order.fields : order.events).slice(0, 1000);
}
