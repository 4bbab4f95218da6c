// How late the event loop comes round: the one figure that tells whether a server of one thread is well. A timer
// that asks for its turn every 20 ms measures it: what it is late by, everyone else had to wait for as well.
import { createHistogram } from 'node:perf_hooks';

const INTERVAL_MS = 20;

/**
 * Measures as long as the process lives, and doesn't keep it alive. Node has a monitor of its own, but it counts a freeze
 * of 5 s as one late timer among hundreds that were on time, and its 99th percentile would show nothing.
 * @returns what tells the delay since it was asked last
 */
export function measureLoopDelay(): () => { p99: number; max: number } {
  const delays = createHistogram(); // nanoseconds
  let dueAt = performance.now() + INTERVAL_MS;
  // A histogram takes whole numbers of 1 and more.
  const record = (milliseconds: number) => delays.record(Math.max(1, Math.round(milliseconds * 1e6)));

  /** A freeze of 5 s is one late timer, but 250 requests would have met it: it counts for each of them. */
  function measure(): void {
    const now = performance.now();
    for (let late = now - dueAt; late >= 0; late -= INTERVAL_MS) record(late);
    if (now < dueAt) record(0); // timers know whole milliseconds alone: this one came a little early
    dueAt = now + INTERVAL_MS;
  }

  setInterval(measure, INTERVAL_MS).unref();

  /** Seconds: what 99 of 100 requests that come at any time wait at most, and the longest wait. */
  return () => {
    if (performance.now() > dueAt) measure(); // what is late just now counts too
    const seconds = { p99: delays.percentile(99) / 1e9, max: delays.max / 1e9 };
    // Each scrape tells of its own time: a freeze of last week must not stand in the figures for ever.
    delays.reset();
    return seconds;
  };
}
