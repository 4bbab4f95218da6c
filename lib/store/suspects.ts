// Who broke a rule of another program lately, and cost others time by it: orders like those are tried apart from the
// rest for a while. It only guesses: who is tried apart, and is at no fault, gets the same answer.
import type { Order } from './store.ts';

/** Callers choose what is suspected, so the memory of it is bounded. */
const MAX_SUSPECTS = 100;
/** So long a rule of another program may be gone before we notice, and so often we pay for one that stays. */
export const SUSPICION_MS = 10_000;

/** What a writer remembers of refused orders, for some seconds. */
export class Suspects {
  /** Orders like these; until when that is remembered, by `performance.now()`. The oldest come first. */
  private readonly until = new Map<string, number>();

  add(order: Order): void {
    const key = likeness(order);
    this.until.delete(key); // to the end
    this.until.set(key, performance.now() + SUSPICION_MS);
    if (this.until.size > MAX_SUSPECTS) this.until.delete(this.until.keys().next().value!);
  }

  /** To tell what an order is like takes a JSON text of it: so nothing is asked while nobody is suspected. */
  has(order: Order): boolean {
    const now = performance.now();
    for (const [key, until] of this.until) {
      if (until >= now) break;
      this.until.delete(key);
    }
    return this.until.size > 0 && this.until.has(likeness(order));
  }
}

/** Orders that are as good as the same: changes of any row, or creations with equal content. */
function likeness(order: Order): string {
  if (order.op === 'update' || order.op === 'delete') return order.op;
  return JSON.stringify(order.op === 'create' ? order.fields : order.events).slice(0, 1000);
}
