// Many writes, one commit. Making a commit durable costs a wait for the disk, however much is in it, so all
// writes that arrive in two turns of the event loop, or while the last batch is under way, share one. What
// waits is bounded in time and in bytes: nobody waits longer than a caller would, and a database that stands
// still can't fill the memory.
import type { NewEvent } from '../new-event.ts';
import { type Problem, unavailable } from '../problem.ts';
import { type Answer, type Order, type Outcome, toAnswer } from './store.ts';

/** A batch is bounded, since whoever comes next waits for all of it, and a failure is a failure of all of it. */
const MAX_BATCH = 1000;
const MAX_BATCH_BYTES = 8 * 1024 * 1024;
/** Of all writes that wait or are under way: a database that stands still must not fill the memory. */
export const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** What a batch found locked is tried again after so long: nobody waits inside the database. */
const RETRY_MS = 10;
/** For each write, from when it came, whatever it waits for: at most 2 s until the look that finds it. */
const PATIENCE_MS = 1980;
const LOOK_MS = 20;
/** An order without its data: fields are bounded by their parsers. */
const ORDER_BYTES = 1024;

/**
 * What a batch did with an order. Two wrote nothing, and the same may work in a moment: `locked`, where something stood
 * in the way of this one, and `not tried`, where something stood in the way of all.
 */
export type Result = Outcome | { is: 'locked' } | { is: 'not tried' };

/** A write that waits for its commit. */
type Write = {
  order: Order;
  /** What it counts for in `waitingBytes`. */
  bytes: number;
  /** When its caller is told 503, by `performance.now()`. */
  deadline: number;
  /** Its caller has an answer. A write that was refused in the middle of its batch may still be committed. */
  isSettled: boolean;
  resolve: (answer: Answer) => void;
  reject: (reason: unknown) => void;
};

/**
 * Gathers writes, and hands them over in batches, one batch at a time and in the order in which they came. The engine
 * behind it is a function: it makes a transaction of a batch, and says what came of each order.
 */
export class GroupCommit {
  /** Runs orders in one transaction, and resolves to their results, in order, once they are durable. */
  private readonly commit: (orders: Order[]) => Promise<Result[]>;
  /** In the order in which they came, but what was locked is at the end. */
  private waiting: Write[] = [];
  /** The batch under way: whether it will be committed, nobody knows yet. */
  private flying: Write[] = [];
  private bytes = 0;
  /** Batch after batch, until nothing waits: there is never a second one beside it. Undefined while nothing does. */
  private working: Promise<void> | undefined;

  constructor(commit: (orders: Order[]) => Promise<Result[]>) {
    this.commit = commit;
  }

  /** Nothing waits, and nothing is under way: the engine has time for other work. */
  get isIdle(): boolean {
    return this.working === undefined;
  }

  /** Bytes of all writes that wait or are under way. */
  get waitingBytes(): number {
    return this.bytes;
  }

  /**
   * Resolves once the order is durable, and never before; rejects within some 2 s whatever the database does. The order
   * may be committed all the same where the words say that this can't be known.
   * @throws {Problem} as `Store.write` says; 503 at once where too much waits
   */
  write(order: Order): Promise<Answer> {
    const bytes = bytesOf(order);
    if (this.bytes + bytes > MAX_WAITING_BYTES) {
      return Promise.reject(unavailable('Too much waits to be written already. Nothing was changed.'));
    }
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + PATIENCE_MS;
      this.bytes += bytes;
      this.waiting.push({ order, bytes, deadline, isSettled: false, resolve, reject });
      this.working ??= this.work();
    });
  }

  /** Resolves when nothing waits and nothing is under way: a batch may be written after its callers were refused. */
  async drain(): Promise<void> {
    await this.working;
  }

  private async work(): Promise<void> {
    const look = setInterval(() => this.refuseLate(), LOOK_MS);
    let isAgain = false;
    do {
      // One more turn: callers just answered send their next write in it, and a larger batch waits as long.
      if (isAgain) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      else await new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
      this.flying = this.takeBatch();
      isAgain = this.flying.length > 0 && (await this.flush(this.flying));
      this.flying = [];
    } while (this.waiting.length > 0);
    clearInterval(look);
    this.working = undefined;
  }

  /** One batch from its start to its answers. @returns are some of it to be tried again? */
  private async flush(batch: Write[]): Promise<boolean> {
    try {
      return this.settleAll(batch, await this.commit(batch.map((write) => write.order)));
    } catch (error) {
      // What an engine throws holds for all of the batch: that nobody can know what became of it, or a bug of ours.
      for (const write of batch) this.settle(write, () => fail(error));
      return false;
    }
  }

  /** The oldest writes, as many as a batch takes; one that is larger than a batch is a batch of its own. */
  private takeBatch(): Write[] {
    let bytes = 0;
    const end = this.waiting.findIndex((write, i) => {
      bytes += write.bytes;
      return i > 0 && (bytes > MAX_BATCH_BYTES || i === MAX_BATCH);
    });
    return this.waiting.splice(0, end < 0 ? this.waiting.length : end);
  }

  /**
   * True if some are to be tried again. What was not tried keeps its place: of two writes of one client the first stays
   * the first. What was locked goes to the end, since a thousand of those would hold up the rest.
   */
  private settleAll(batch: Write[], results: Result[]): boolean {
    const notTried: Write[] = [];
    const locked: Write[] = [];
    for (const [i, write] of batch.entries()) {
      const result = results[i]!;
      if (write.isSettled) continue; // its caller was told meanwhile that nobody knows
      if (result.is === 'locked') locked.push(write);
      else if (result.is === 'not tried') notTried.push(write);
      else this.settle(write, () => toAnswer(result, write.order));
    }
    this.waiting = [...notTried, ...this.waiting, ...locked];
    return notTried.length + locked.length > 0;
  }

  /** Of what is under way nobody knows on which side of the commit it is; of what waits, that nothing was written. */
  private refuseLate(): void {
    const now = performance.now();
    const refuse = (writes: Write[], problem: () => Problem) => {
      for (const write of writes) if (write.deadline <= now) this.settle(write, () => fail(problem()));
    };
    refuse(this.flying, unclear);
    refuse(this.waiting, outOfPatience);
    this.waiting = this.waiting.filter((write) => !write.isSettled);
  }

  /**
   * Answers once: a batch that hung may come back after its writes were refused. What an outcome means is told to each
   * caller alone.
   * @param say the answer, or what it throws
   */
  private settle(write: Write, say: () => Answer): void {
    if (write.isSettled) return;
    write.isSettled = true;
    this.bytes -= write.bytes;
    try {
      write.resolve(say());
    } catch (error) {
      write.reject(error);
    }
  }
}

function fail(error: unknown): never {
  throw error;
}

/** Near enough: what counts is that a megabyte is counted as one. Text of Latin letters takes a byte for each. */
function bytesOf(order: Order): number {
  if (order.op !== 'publish') return ORDER_BYTES;
  const bytes = ({ data, extensions }: NewEvent) => data.length + (extensions?.length ?? 0) + ORDER_BYTES;
  return order.events.reduce((sum, event) => sum + bytes(event), 0);
}

/** 503 for a write that no batch has taken, or that each one found locked. */
function outOfPatience(): Problem {
  return unavailable('The database is locked by another program, or stands still. Nothing was changed.');
}

/** 503 for a write of which nobody can say on which side of the commit it was. */
export function unclear(): Problem {
  return unavailable(
    'The database did not say in time whether it wrote this: the change may have been made, or not. Look before you repeat it; an Idempotency-Key makes repeating safe.',
  );
}
