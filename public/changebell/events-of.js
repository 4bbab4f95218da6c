// A stream as an async iterable, made of nothing but a listener whose work is the body of the loop. So the loop gets the
// stream's own promise for nothing: no event is done, and none is stored, before the loop asks for the next.

/** @typedef {import('./types.js').ChangeEvent} ChangeEvent */

/**
 * @param {import('./change-stream.js').ChangeStream} stream
 * @param {() => void} begin called before the loop listens
 * @returns {AsyncGenerator<ChangeEvent, void, undefined>}
 */
export async function* eventsOf(stream, begin) {
  let next = /** @type {{ event: ChangeEvent, done: () => void } | undefined} */ (undefined);
  let wake = () => {};
  const end = new AbortController();
  /** The work of this listener is over when the loop calls `done`. @param {import('./types.js').Message} message */
  const listener = ({ data: event }) => ({
    // biome-ignore lint/suspicious/noThenProperty: a promise would tell of the end one turn too late.
    then(/** @type {() => void} */ done) {
      next = { event, done };
      wake();
    },
  });
  begin();
  stream.addEventListener('message', listener, { signal: end.signal });
  stream.addEventListener('state', () => wake(), { signal: end.signal });
  try {
    // One event at a time is held here: what comes meanwhile waits in the inbox, since this listener is not through.
    while (stream.state !== 'closed') {
      if (next) {
        const { event, done } = next;
        next = undefined;
        yield event;
        done();
      } else {
        await new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    // A `break`, an error in the loop, or the end: nobody is there who would process what comes.
    end.abort();
    stream.close();
  }
}
