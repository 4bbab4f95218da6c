// Many writes, one commit. Making a commit durable costs a wait for the disk, however much is in it,
// so all writes that arrive in one turn of the event loop share one. A batch that finds the database
// locked is tried again while its writes have patience; nobody waits inside the database.

const MAX_BATCH = 1000;
const RETRY_MS = 10;
const PATIENCE_MS = 2000;

/** A write that waits for its commit. `run` does it; `settle` tells its caller, after the commit. */
export type Write = {
  run: () => void;
  settle: (failure?: unknown) => void;
  /** Set by the batch if this write alone failed. */
  failure?: unknown;
  since: number;
};

/**
 * @param commitBatch runs the writes in one transaction and returns once they are durable;
 *   it returns false if the database is locked, and throws if the whole batch was rolled back
 * @param refusal what a write is told that lost its patience with a lock
 * @returns a function that adds a write; and whether any is waiting
 */
export function createGroupCommit(commitBatch: (writes: Write[]) => boolean, refusal: () => unknown) {
  let waiting: Write[] = [];

  function add(write: Pick<Write, 'run' | 'settle'>): void {
    if (waiting.length === 0) setImmediate(flush);
    waiting.push({ ...write, since: performance.now() });
  }

  function flush(): void {
    const batch = waiting.splice(0, MAX_BATCH);
    try {
      if (!commitBatch(batch)) return retry(batch);
      for (const write of batch) write.settle(write.failure);
    } catch (error) {
      for (const write of batch) write.settle(error);
    }
    if (waiting.length > 0) setImmediate(flush);
  }

  function retry(batch: Write[]): void {
    const oldest = performance.now() - PATIENCE_MS;
    for (const write of batch) if (write.since < oldest) write.settle(refusal());
    waiting = batch.filter((write) => write.since >= oldest).concat(waiting);
    if (waiting.length > 0) setTimeout(flush, RETRY_MS);
  }

  return { add, isIdle: () => waiting.length === 0 };
}
