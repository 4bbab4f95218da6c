// Requests take turns with everything else. In one turn the event loop hands out all requests that have come, and if
// two thousand of them ask for a page of the log, nothing else happens until the last is answered. So those of one
// turn are begun for a few milliseconds, and the rest in the next turns, first come, first served.
const TURN_MS = 5;

export class Turns {
  private readonly waiting: (() => void)[] = [];
  /** When those that may begin in this turn of the loop have had their time; 0 between two turns. */
  private endsAt = 0;
  private isScheduled = false;

  /** Resolves when a request may begin; undefined if that is now. */
  next(): Promise<void> | undefined {
    const now = performance.now();
    if (this.endsAt === 0) this.endsAt = now + TURN_MS;
    this.schedule();
    if (this.waiting.length === 0 && now < this.endsAt) return undefined;
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(this.turn);
  }

  private readonly turn = async (): Promise<void> => {
    const endsAt = performance.now() + TURN_MS;
    while (this.waiting.length > 0 && performance.now() < endsAt) {
      this.waiting.shift()!();
      // The tick comes after all promises that are settled: only then its time is measured whole.
      await new Promise<void>((resolve) => process.nextTick(resolve));
    }
    this.isScheduled = false;
    this.endsAt = 0;
    if (this.waiting.length > 0) this.schedule();
  };
}
