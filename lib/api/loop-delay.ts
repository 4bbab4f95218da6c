// How late the event loop comes round: the one figure that tells whether a server of one thread is well. A timer
// that asks for its turn every 20 ms measures it: what it is late by, everyone else had to wait for as well.
import { createHistogram } from 'node:perf_hooks';

const INTERVAL_MS = 20;

/**
 * The delay since it was asked last. Node has a monitor of its own, but it counts a freeze of 5 s as one late timer among
 * hundreds that were on time, and its 99th percentile would show nothing.
 */
export class LoopDelay {
  private readonly delays = createHistogram(); // nanoseconds
  private dueAt = performance.now() + INTERVAL_MS;

  /** Measures as long as the process lives, and doesn't keep it alive. */
  constructor() {
    setInterval(() => this.measure(), INTERVAL_MS).unref();
  }

  /** Seconds: what 99 of 100 requests that come at any time wait at most, and the longest wait. */
  read(): { p99: number; max: number } {
    if (performance.now() > this.dueAt) this.measure(); // what is late just now counts too
    const seconds = { p99: this.delays.percentile(99) / 1e9, max: this.delays.max / 1e9 };
    // Each scrape tells of its own time: a freeze of last week must not stand in the figures for ever.
    this.delays.reset();
    return seconds;
  }

  /** A freeze of 5 s is one late timer, but 250 requests would have met it: it counts for each of them. */
  private measure(): void {
    const now = performance.now();
    for (let late = now - this.dueAt; late >= 0; late -= INTERVAL_MS) this.record(late);
    if (now < this.dueAt) this.record(0); // timers know whole milliseconds alone: this one came a little early
    this.dueAt = now + INTERVAL_MS;
  }

  /** A histogram takes whole numbers of 1 and more. */
  private record(milliseconds: number): void {
    this.delays.record(Math.max(1, Math.round(milliseconds * 1e6)));
  }
}
