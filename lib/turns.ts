// Work takes turns with everything else. When two thousand requests for a page of the log come at once, or one of them
// looks through all of it, the event loop would do nothing else until the last is answered. So work is done for a few
// milliseconds; then the loop goes round some times for all others before the next has its turn, first come, first
// served. It has to be several times: each time round, libuv accepts only one new connection from each address.
import { setImmediate as nextRound } from 'node:timers/promises';

const TURN_MS = 5;

/** What it returns resolves when work may begin, or go on; undefined if that is now. Nobody has to give a turn back. */
export type NextTurn = () => Promise<void> | undefined;

/** For requests that are to begin. */
export const nextRequest = createTurns(16);

/**
 * For long work that is under way, to be asked between two pieces of it: a search of the log, a count for those who are
 * far behind. In a queue of its own: a short request must not wait behind all searches.
 */
export const nextSlice = createTurns(4);

/** The turns of one queue. */
function createTurns(roundsBetween: number): NextTurn {
  const waiting: (() => void)[] = [];
  /** When the turn under way ends; 0 if nothing was begun in this round of the loop. */
  let endsAt = 0;
  /** A turn was used up: until the loop has gone round, nobody begins. */
  let isResting = false;

  /** The first who asks in a round of the loop begins its time. */
  function hasTime(): boolean {
    const now = performance.now();
    if (endsAt === 0) {
      endsAt = now + TURN_MS;
      setImmediate(endRound);
    }
    return now < endsAt;
  }

  async function endRound(): Promise<void> {
    isResting = performance.now() >= endsAt;
    endsAt = 0;
    while (isResting) {
      for (let n = 0; n < roundsBetween; n += 1) await nextRound();
      await serve();
    }
  }

  async function serve(): Promise<void> {
    const end = performance.now() + TURN_MS;
    while (waiting.length > 0 && performance.now() < end) {
      waiting.shift()!();
      // The tick comes after all promises that are settled: only then the time of this one is measured whole.
      await new Promise<void>((resolve) => process.nextTick(resolve));
    }
    // Who comes while others wait goes behind them, and who comes after a long turn waits for a rest.
    isResting = waiting.length > 0 || performance.now() >= end;
  }

  return () => {
    if (!isResting && hasTime()) return undefined;
    return new Promise((resolve) => waiting.push(resolve));
  };
}
