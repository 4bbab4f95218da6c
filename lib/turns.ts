// Work takes turns with everything else. When two thousand requests for a page of the log come at once, or one of them
// looks through all of it, the event loop would do nothing else until the last is answered. So work is done for a few
// milliseconds; then the loop goes round some times for all others before the next has its turn, first come, first
// served. It has to be several times: each time round, libuv accepts only one new connection from each address.
import { setImmediate as nextRound } from 'node:timers/promises';

const TURN_MS = 5;

/** What it returns resolves when work may begin, or go on; undefined if that is now. Nobody has to give a turn back. */
export type NextTurn = () => Promise<void> | undefined;

/** For requests that are to begin. Who writes has a queue of its own: a short write must not wait for two thousand pages. */
export const nextRead = createTurns(16);
export const nextWrite = createTurns(16);

/** For long bodies that have come: one takes tens of milliseconds to parse, and thirty may come at once. */
export const nextBody = createTurns(16);

/**
 * For long work that is under way, to be asked between two pieces of it: a search of the log, a count for those who are
 * far behind. In a queue of its own: a short request must not wait behind all searches.
 */
export const nextSlice = createTurns(4);

/** The turns of one queue. @param roundsBetween of the loop, where a turn was used up */
function createTurns(roundsBetween: number): NextTurn {
  const waiting: (() => void)[] = [];
  /** When the turn under way ends; 0 if nobody works. What lies behind us is a rest. */
  let endsAt = 0;

  /** Runs when the loop has gone round, and then for as long as turns are used up. */
  async function goOn(): Promise<void> {
    while (waiting.length > 0 || performance.now() >= endsAt) {
      for (let n = 0; n < roundsBetween; n += 1) await nextRound();
      endsAt = performance.now() + TURN_MS;
      while (waiting.length > 0 && performance.now() < endsAt) {
        waiting.shift()!();
        // The tick comes after all promises that are settled: only then the time of this one is measured whole.
        await new Promise<void>((resolve) => process.nextTick(resolve));
      }
    }
    endsAt = 0;
  }

  return () => {
    if (endsAt === 0) {
      endsAt = performance.now() + TURN_MS;
      setImmediate(goOn);
    }
    // Who comes while others wait goes behind them.
    if (waiting.length === 0 && performance.now() < endsAt) return undefined;
    return new Promise((resolve) => waiting.push(resolve));
  };
}
