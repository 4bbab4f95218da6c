// Who waits until the stream has passed a position.

/** @typedef {{ id: string, resolve: () => void, reject: (error: Error) => void }} Waiter */

export class Waiters {
  #waiters = /** @type {Waiter[]} */ ([]);

  /** @param {string} id @returns {Promise<void>} */
  add(id) {
    const passed = new Promise((/** @type {(value: void) => void} */ resolve, reject) => {
      if (Number.isNaN(seqOf(id))) return reject(new TypeError(`reached() wants an id, not ${id}`));
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

  rejectAll() {
    for (const { reject } of this.#waiters.splice(0)) reject(new Error('the stream was closed'));
  }
}

/** The position in an id. @param {string | undefined} id */
export const seqOf = (id) => Number(/-(\d+)$/.exec(id ?? '')?.[1] ?? Number.NaN);
