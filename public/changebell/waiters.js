// Who waits until the stream has passed a position: a program that has just written, and wants to see its own write. The
// answer to a write says where it stands in the log, whichever server gave it.

/** @typedef {{ id: string, resolve: () => void, reject: (error: Error) => void }} Waiter */

const CLOSED = 'the stream was closed';

export class Waiters {
  #waiters = /** @type {Waiter[]} */ ([]);
  #isClosed = false;

  /** @param {string} id @returns {Promise<void>} */
  add(id) {
    const passed = new Promise((/** @type {(value: void) => void} */ resolve, reject) => {
      if (Number.isNaN(seqOf(id))) return reject(new TypeError(`reached() wants an id, not ${id}`));
      if (this.#isClosed) return reject(new Error(CLOSED));
      this.#waiters.push({ id, resolve, reject });
    });
    passed.catch(() => {}); // who doesn't wait for it any more need not be told
    return passed;
  }

  /** Those of now. */
  all() {
    return [...this.#waiters];
  }

  /** @param {Waiter[]} waiters */
  resolve(waiters) {
    this.#waiters = this.#waiters.filter((waiter) => !waiters.includes(waiter));
    for (const { resolve } of waiters) resolve();
  }

  /** @param {number} seq in the history that they were told of */
  pass(seq) {
    this.resolve(this.#waiters.filter(({ id }) => seqOf(id) <= seq));
  }

  /** Those of now, and whoever comes later: a stream that was closed passes nothing any more. */
  close() {
    this.#isClosed = true;
    for (const { reject } of this.#waiters.splice(0)) reject(new Error(CLOSED));
  }
}

/** The position in an id; NaN where there is none. @param {string | undefined} id */
export const seqOf = (id) => Number(/-(\d+)$/.exec(`${id}`)?.[1]);
