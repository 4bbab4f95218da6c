// When is a connection dead that nobody has closed? When nothing comes any more: the server sends heartbeats, and says
// how often. Reckoned by a monotonic clock, so that a clock that is set makes no connection dead.

const GRACE_MS = 250; // a process that was blocked has yet to read what came meanwhile

/** Tells once when nothing came for too long. One timer is enough for it, however much comes. */
export class Silence {
  /** For people, in milliseconds since 1970; what is reckoned with is `#heardAt`. */
  heardAt = Date.now();
  #heardAt = 0;
  #heartbeatSeconds;
  #tell;
  #timer = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);

  /** @param {number} heartbeatSeconds until the server tells @param {(why: string) => void} tell of a silence that is too long */
  constructor(heartbeatSeconds, tell) {
    this.#heartbeatSeconds = heartbeatSeconds;
    this.#tell = tell;
  }

  /** A connection begins. */
  listen() {
    this.end();
    this.#wait();
  }

  /** No connection is there, so nobody is silent. */
  stop() {
    clearTimeout(this.#timer);
  }

  /** Something came. Only the time is noted: to set the timer anew with each event would cost more than it tells. */
  end() {
    this.heardAt = Date.now();
    this.#heardAt = performance.now();
  }

  /** As the server says: a guess would take a slow server for a dead one. @param {number} seconds between heartbeats */
  expect(seconds) {
    this.#heartbeatSeconds = seconds;
    this.stop();
    this.#wait();
  }

  /** By the clock on the wall, which goes on while a computer sleeps. */
  isOverdue() {
    return Date.now() - this.heardAt > this.#heartbeatSeconds * 1000 + 2000;
  }

  /** Two heartbeats may fail to come, and two seconds: 32 s where they come every 15 s. */
  #wait(isGrace = false) {
    const seconds = 2 * this.#heartbeatSeconds + 2;
    // Asked anew each time: what came since the timer was set has moved the end.
    const rest = () => this.#heardAt + seconds * 1000 - performance.now();
    const ms = isGrace ? GRACE_MS : rest();
    const due = performance.now() + ms;
    const judge = () => {
      // Something came since the timer was set.
      if (rest() > 0) return this.#wait();
      // A debugger or a long task stops the timers and the reading alike: that is no fault of the server's.
      const wasBlocked = performance.now() - due > GRACE_MS; // again: timers come before what has arrived
      if (!isGrace || wasBlocked) return this.#wait(true);
      this.#tell(`no heartbeat for ${seconds} s, though the socket says open`);
    };
    this.#timer = setTimeout(judge, ms);
  }
}
