// Long work in slices: a search of the log, a count for those who are far behind. After some milliseconds everybody else
// has a turn, and of all long work in the process one slice is done at a time: twenty callers who ask for much hold up
// nobody more than one does.
import { setImmediate as nextRound } from 'node:timers/promises';

const SLICE_MS = 4;
const ROUNDS_BETWEEN = 4; // of the event loop: in each, libuv accepts only one new connection from each address

/** All slices after each other: each begins some rounds after the one before has ended. */
let queue = Promise.resolve();

/** For one piece of work, to be asked again and again: where its slice is used up, it is to wait for what comes back. */
export function createSlices(): () => Promise<void> | undefined {
  let end = performance.now() + SLICE_MS;
  return () => {
    if (performance.now() < end) return undefined;
    queue = queue.then(giveWay);
    return queue.then(() => {
      end = performance.now() + SLICE_MS;
    });
  };
}

async function giveWay(): Promise<void> {
  for (let n = 0; n < ROUNDS_BETWEEN; n += 1) await nextRound();
}
