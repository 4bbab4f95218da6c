// Requests take turns with everything else. When two thousand of them ask for a page of the log at once, the event
// loop would do nothing else until the last is answered. So requests are begun for a few milliseconds; then the loop
// goes round some times for all others before the next ones have their turn, first come, first served. It has to be
// several times: each time round, libuv accepts only one new connection from each address.
import { setImmediate as nextRound } from 'node:timers/promises';

const TURN_MS = 5;
const ROUNDS_BETWEEN = 16;

/** The turns of one server. A turn is taken by asking: nobody has to give it back. */
export class Turns {
  private readonly waiting: (() => void)[] = [];
  /** When the turn under way ends; 0 if nothing was begun in this round of the loop. */
  private endsAt = 0;
  /** A turn was used up: until the loop has gone round, nobody begins. */
  private isResting = false;

  /** Resolves when a request may begin; undefined if that is now. */
  next(): Promise<void> | undefined {
    if (!this.isResting && this.hasTime()) return undefined;
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** The first who asks in a round of the loop begins its time. */
  private hasTime(): boolean {
    const now = performance.now();
    if (this.endsAt === 0) {
      this.endsAt = now + TURN_MS;
      setImmediate(this.endRound);
    }
    return now < this.endsAt;
  }

  private readonly endRound = async (): Promise<void> => {
    this.isResting = performance.now() >= this.endsAt;
    this.endsAt = 0;
    while (this.isResting) {
      for (let round = 0; round < ROUNDS_BETWEEN; round += 1) await nextRound();
      await this.serve();
    }
  };

  private async serve(): Promise<void> {
    const endsAt = performance.now() + TURN_MS;
    while (this.waiting.length > 0 && performance.now() < endsAt) {
      this.waiting.shift()!();
      // The tick comes after all promises that are settled: only then the time of this one is measured whole.
      await new Promise<void>((resolve) => process.nextTick(resolve));
    }
    // Who comes while others wait goes behind them, and who comes after a long turn waits for a rest.
    this.isResting = this.waiting.length > 0 || performance.now() >= endsAt;
  }
}
