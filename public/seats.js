// Seats for event streams. A browser opens at most six connections to one host, for all of its tabs
// together, and a stream of server-sent events holds one for ever: the seventh request would wait for ever,
// without an error. So four streams at most; WebSockets don't count among the six.

export const SEATS = 4;
const own = new Set(); // where the browser has no locks (they need localhost or https) we count our own tab's

/** @returns {Promise<(() => void) | undefined>} gives the seat back; undefined if all are taken */
export async function takeSeat() {
  for (let number = 1; number <= SEATS; number += 1) {
    const leave = await (navigator.locks ? takeLock(`changebell-seat-${number}`) : takeOwn(number));
    if (leave) return leave;
  }
  return undefined;
}

/** A lock is held over all tabs, and given back by the browser when its tab is gone. @param {string} name */
function takeLock(name) {
  return new Promise((/** @type {(leave: (() => void) | undefined) => void} */ resolve) => {
    const hold = (/** @type {Lock | null} */ lock) => {
      if (lock === null) return resolve(undefined);
      return new Promise((/** @type {(value?: unknown) => void} */ leave) => resolve(() => leave()));
    };
    navigator.locks.request(name, { ifAvailable: true }, hold).catch(() => resolve(() => {})); // blocked, as storage
  });
}

/** @param {number} number */
function takeOwn(number) {
  if (own.has(number)) return undefined;
  own.add(number);
  return () => own.delete(number);
}
