// The user's own `load`, and when its work still counts: a newer reset, or a cursor that was set meanwhile, makes what
// an older call brings worthless.

/** @typedef {import('./types.js').Attempt} Attempt */

/** `load` for the stream: at the start within an attempt to connect, after a reset beside an open connection. */
export class Snapshots {
  #load;
  #waiters;
  #loading = /** @type {AbortController | undefined} */ (undefined);

  /** @param {import('./types.js').Load | undefined} load @param {import('./waiters.js').Waiters} waiters */
  constructor(load, waiters) {
    this.#load = load;
    this.#waiters = waiters;
  }

  /** Is one under way, after a reset? Until it is there, nothing that comes is processed. */
  get isLoading() {
    return this.#loading !== undefined;
  }

  /** What it brings is thrown away. The user's own work is told by its signal. */
  abort() {
    this.#loading?.abort();
    this.#loading = undefined;
  }

  /** Who waited for a position before it began need not wait longer: what was written by then is in it. @param {Attempt} attempt */
  async load(attempt) {
    // Before the call: who comes while it runs may wait for a write that it has not seen.
    const waiting = this.#waiters.all();
    const id = await this.#load?.(attempt);
    attempt.signal.throwIfAborted();
    // Said at once: without a position the stream would go on from nowhere, and miss what came meanwhile.
    if (typeof id !== 'string') throw new TypeError('load() must return the lastEventId of its snapshot');
    this.#waiters.resolve(waiting);
    return id;
  }

  /** After a reset: the connection stays, and what it brings waits. @param {string | undefined} token @returns {Promise<string | undefined>} undefined if it was aborted */
  async reload(token) {
    const loading = new AbortController();
    this.#loading = loading;
    try {
      const id = await this.load({ token, signal: loading.signal });
      this.#loading = undefined;
      return id;
    } catch (error) {
      if (loading.signal.aborted) return undefined;
      throw error;
    }
  }
}
