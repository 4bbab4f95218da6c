// The user's own `load`, and when its work still counts: a newer reset, or a cursor that was set meanwhile, makes what
// an older call brings worthless.

/** @typedef {import('./types.js').Attempt} Attempt */

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

  abort() {
    this.#loading?.abort();
    this.#loading = undefined;
  }

  /** Who waited for a position before it began need not wait longer: what was written by then is in it. @param {Attempt} attempt */
  async load(attempt) {
    const waiting = this.#waiters.all();
    const id = await this.#load?.(attempt);
    attempt.signal.throwIfAborted();
    if (typeof id !== 'string') throw new TypeError('load() must return the lastEventId of its snapshot');
    this.#waiters.resolve(waiting);
    return id;
  }

  /** @param {string | undefined} token @returns {Promise<string | undefined>} undefined if it was aborted */
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
