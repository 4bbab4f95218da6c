// Many writes, one commit. Making a commit durable costs a wait for the disk, however much is in it,
// so all writes that arrive in two turns of the event loop, or while the last batch is under way, share one.
// What a batch finds locked is tried again while it has patience; nobody waits inside the database.

const MAX_BATCH = 1000;
const RETRY_MS = 10;
const PATIENCE_MS = 2000;

/** A write that waits for its commit. `change` is for the store; `settle` tells its caller, after the commit. */
export type Write<Change> = {
  change: Change;
  settle: (failure?: unknown) => void;
  /** Set by the batch if this write alone failed. */
  failure?: unknown;
};

type Waiting<Change> = Write<Change> & { since: number };

/**
 * @param commitBatch runs the writes in one transaction and returns once they are durable; it returns those
 *   that found what they need locked and wrote nothing, and throws if the whole batch failed
 * @param refusal what a write is told that lost its patience with a lock
 * @returns a function that adds a write; and whether none is waiting or under way
 */
export function createGroupCommit<Change>(
  commitBatch: (writes: Write<Change>[]) => Write<Change>[] | Promise<Write<Change>[]>,
  refusal: () => unknown,
) {
  let waiting: Waiting<Change>[] = [];
  let isIdle = true;

  function add(write: Write<Change>): void {
    waiting.push(Object.assign(write, { since: performance.now() }));
    if (isIdle) flushSoon();
    isIdle = false;
  }

  /** After one more turn: callers just answered send their next write in it, and a larger batch waits as long. */
  function flushSoon(): void {
    setImmediate(() => setImmediate(flush));
  }

  async function flush(): Promise<void> {
    const batch = waiting.splice(0, MAX_BATCH);
    let locked = new Set<Write<Change>>();
    try {
      locked = new Set(await commitBatch(batch));
      for (const write of batch) if (!locked.has(write)) write.settle(write.failure);
    } catch (error) {
      for (const write of batch) write.settle(error);
    }
    if (locked.size > 0) putBack(batch.filter((write) => locked.has(write)));
    isIdle = waiting.length === 0;
    if (isIdle) return;
    if (locked.size > 0) setTimeout(flush, RETRY_MS);
    else flushSoon();
  }

  function putBack(locked: Waiting<Change>[]): void {
    const oldest = performance.now() - PATIENCE_MS;
    const isPatient = (write: Waiting<Change>) => write.since > oldest;
    for (const write of locked) if (!isPatient(write)) write.settle(refusal());
    waiting = waiting.concat(locked.filter(isPatient)); // at the end: a thousand of them would hold up the rest
  }

  return { add, isIdle: () => isIdle };
}
