// How many events a reader of limited scope is behind: of those that it may see, so each has to be looked at. After a
// restart thousands of readers come at once, from places far back. So a stretch of the log is read once for all who stand
// in it, and after some milliseconds everybody else has a turn.
import type { Cursor, StoredEvent } from '../event.ts';
import type { Scope } from '../scope.ts';
import type { Store } from '../store/store.ts';
import { nextSlice } from '../turns.ts';

const STEP_EVENTS = 500;
const STEP_BYTES = 256 * 1024;

/** One who waits to be told. `at` is how far was counted for it, and `behind` what was found up to there. */
type Waiter = {
  at: Cursor;
  readonly head: Cursor;
  readonly scope: Scope;
  behind: number;
  tell: (behind: number) => void;
  fail: (error: unknown) => void;
};

/** Those of a store, in the order in which they came, while they are counted for. */
const waiting = new WeakMap<Store, Set<Waiter>>();

/** Resolves with the events after `at` up to `head` that this scope may see. @throws {Problem} 503 */
export function countBehind(store: Store, at: Cursor, head: Cursor, scope: Scope): Promise<number> {
  return new Promise((tell, fail) => {
    const waiter = { at, head, scope, behind: 0, tell, fail };
    const others = waiting.get(store);
    if (others) return void others.add(waiter);
    const waiters = new Set([waiter]);
    waiting.set(store, waiters);
    void countForAll(store, waiters);
  });
}

/** Until nobody waits any more. What can't be read for one can't be read for all. */
async function countForAll(store: Store, waiters: Set<Waiter>): Promise<void> {
  try {
    // Who came first and who has least to go take turns: a short way never waits for a long one, and no way for ever.
    for (let n = 0; waiters.size > 0; n += 1) {
      const [oldest] = waiters;
      await step(store, n % 2 === 0 ? oldest! : nearest(waiters), waiters);
    }
  } catch (error) {
    for (const { fail } of waiters) fail(error);
  }
  waiting.delete(store);
}

function nearest(waiters: Set<Waiter>): Waiter {
  const left = ({ at, head }: Waiter) => head.seq - at.seq;
  return [...waiters].reduce((one, other) => (left(other) < left(one) ? other : one));
}

/** The stretch after the first one's place, for everyone who stands in it: from its end on they are together. */
async function step(store: Store, first: Waiter, waiters: Set<Waiter>): Promise<void> {
  const start = first.at.seq;
  const { events, end, reset } = await store.readEvents(first.at, first.head.seq, STEP_EVENTS, STEP_BYTES);
  const isGone = reset !== undefined || events.length === 0; // its first turn as a stream finds out
  const seen = new Map<string, number[]>(); // by scope: those with equal ones share what was found
  for (const waiter of waiters) {
    const { at, head, scope } = waiter;
    if (at.seq >= start && at.seq < end.seq) {
      if (!seen.has(scope.key)) seen.set(scope.key, seqsFor(scope, events));
      waiter.behind += seen.get(scope.key)!.filter((seq) => seq > at.seq && seq <= head.seq).length;
      waiter.at = end;
    }
    if (waiter.at.seq >= head.seq || (isGone && waiter === first)) {
      waiters.delete(waiter);
      waiter.tell(waiter.behind);
    }
    await nextSlice();
  }
}

function seqsFor(scope: Scope, events: StoredEvent[]): number[] {
  return events.filter((event) => scope.maySee(event)).map(({ seq }) => seq);
}
