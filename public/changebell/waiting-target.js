// An EventTarget that waits for its listeners. The platform throws away what a listener returns; here a promise
// is work that is still going on, and the event is done only when all of its work is.

/** @typedef {import('./types.js').Waits} Waits */

/** @template {Record<string, any>} Events the events, by type */
export class WaitingTarget extends EventTarget {
  #wrapped = new WeakMap(); // listeners, and what stands for each: the same one again, so that it can be removed
  #types = new Set(); // what was ever listened to

  /**
   * As on any EventTarget; and where the listener is async, the next event comes when it is through. One that
   * throws, or whose promise fails, has had its event: the error is reported as any that nobody has caught.
   * @override
   * @template {string} Type
   * @param {Type} type
   * @param {import('./types.js').Listener<Type extends keyof Events ? Events[Type] : any>} listener
   * @param {import('./types.js').ListenerOptions} [options]
   */
  addEventListener(type, listener, options) {
    this.#types.add(type);
    super.addEventListener(type, listener && this.#wrap(listener), options);
  }

  /**
   * @override
   * @param {string} type
   * @param {import('./types.js').Listener<any>} listener
   * @param {import('./types.js').ListenerOptions} [options]
   */
  removeEventListener(type, listener, options) {
    super.removeEventListener(type, listener && this.#wrap(listener), options);
  }

  /** Did anyone ever? @protected @param {string} type */
  wasListenedTo(type) {
    return this.#types.has(type);
  }

  /** @param {any} listener */
  #wrap(listener) {
    const wrapped = (/** @type {Event & Partial<Waits>} */ event) => {
      const result =
        typeof listener === 'function' ? listener.call(this, event) : listener.handleEvent(event);
      if (typeof result?.then === 'function') event.waitUntil?.(result);
    };
    // Also for itself: where a `signal` is aborted, Node 20 removes what was added, by our own method.
    if (!this.#wrapped.has(listener)) this.#wrapped.set(listener, wrapped).set(wrapped, wrapped);
    return this.#wrapped.get(listener);
  }

  /**
   * Calls `done` when the listeners and their work are through: before it returns, where none is async.
   * @protected
   * @param {Event} event
   * @param {() => void} done
   */
  dispatchAndWait(event, done) {
    let works = 1;
    const release = () => {
      works -= 1;
      if (works === 0) done();
    };
    /** @param {PromiseLike<unknown>} work */
    const waitUntil = (work) => {
      if (works === 0) throw new Error('waitUntil() came too late');
      works += 1;
      const fail = (/** @type {unknown} */ error) => {
        release();
        throw error; // into a promise that nobody catches
      };
      work.then(release, fail);
    };
    this.dispatchEvent(Object.assign(event, { waitUntil }));
    release();
  }
}
