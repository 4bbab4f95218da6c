// Long answers are made in slices, one slice at a time over all requests: between two of them the event loop goes
// round, so twenty callers who ask for much hold up nobody more than one does.

// For all requests of the process: two queues would take two slices of each round.
const waiting: (() => void)[] = [];
let isServing = false;

/** Resolves when it is this caller's turn for some milliseconds of work. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (!isServing) setImmediate(serve);
    isServing = true;
  });
}

/** One caller a round: `setImmediate` lets sockets and timers have their turn before the next. */
function serve(): void {
  waiting.shift()?.();
  isServing = waiting.length > 0;
  if (isServing) setImmediate(serve);
}
