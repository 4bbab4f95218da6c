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
/** For each write, from when it came, whatever it waits for. */
const PATIENCE_MS = 2000;
/** Thousands may run out of patience one after the other: not each of them gets a look of its own. */
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
  /** Its caller has an answer. A write that was refused too late to be taken back may still be committed. */
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
  /** A flush is on its way: there is never a second one beside it. */
  private isFlushDue = false;
  /** The next look for writes that waited too long; undefined if nothing waits. */
  private deadlineTimer: NodeJS.Timeout | undefined;
  private drained: (() => void)[] = [];

  constructor(commit: (orders: Order[]) => Promise<Result[]>) {
    this.commit = commit;
  }

  /** Nothing waits, and nothing is under way: the engine has time for other work. */
  get isIdle(): boolean {
    return this.waiting.length === 0 && this.flying.length === 0;
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
      this.watchDeadlines();
      this.flushSoon();
    });
  }

  /** Resolves when nothing waits and nothing is under way. */
  drain(): Promise<void> {
    return this.isIdle ? Promise.resolve() : new Promise((resolve) => this.drained.push(resolve));
  }

  /** After one more turn: callers just answered send their next write in it, and a larger batch waits as long. */
  private flushSoon(): void {
    if (this.isFlushDue || this.flying.length > 0) return;
    this.isFlushDue = true;
    setImmediate(() => setImmediate(() => this.flush()));
  }

  /** One batch from its start to its answers; then the next, if anything came meanwhile. */
  private async flush(): Promise<void> {
    this.isFlushDue = false;
    const batch = this.takeBatch();
    if (batch.length === 0) return this.finish();
    this.flying = batch;
    let isAgain = false;
    try {
      const results = await this.commit(batch.map((write) => write.order));
      isAgain = this.settleAll(batch, results);
    } catch (error) {
      // What an engine throws holds for all of the batch: that nobody can know what became of it, or a bug of ours.
      for (const write of batch) this.settle(write, () => write.reject(error));
    }
    this.flying = [];
    if (this.waiting.length === 0) return this.finish();
    if (!isAgain) return this.flushSoon();
    this.isFlushDue = true;
    setTimeout(() => this.flush(), RETRY_MS);
  }

  /** The oldest writes, as many as a batch takes; one that is larger than a batch is a batch of its own. */
  private takeBatch(): Write[] {
    let bytes = 0;
    let count = 0;
    for (const write of this.waiting) {
      bytes += write.bytes;
      if (count > 0 && (bytes > MAX_BATCH_BYTES || count === MAX_BATCH)) break;
      count += 1;
    }
    return this.waiting.splice(0, count);
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
      else this.settle(write, () => answer(write, result));
    }
    this.waiting = [...notTried, ...this.waiting, ...locked];
    return notTried.length + locked.length > 0;
  }

  /** Answers once: a batch that hung may come back after its writes were refused. */
  private settle(write: Write, tell: () => void): void {
    if (write.isSettled) return;
    write.isSettled = true;
    this.bytes -= write.bytes;
    tell();
  }

  /** Looks again when the oldest write runs out of patience. */
  private watchDeadlines(): void {
    if (this.deadlineTimer) return;
    const open = [...this.flying, ...this.waiting].filter((write) => !write.isSettled);
    if (open.length === 0) return;
    const oldest = open.reduce((least, write) => Math.min(least, write.deadline), Number.POSITIVE_INFINITY);
    const wait = Math.max(LOOK_MS, oldest - performance.now());
    this.deadlineTimer = setTimeout(() => {
      this.deadlineTimer = undefined;
      this.refuseLate();
      this.watchDeadlines();
    }, wait);
  }

  /** Of what is under way nobody knows on which side of the commit it is; of the others, that nothing was written. */
  private refuseLate(): void {
    const now = performance.now();
    const isLate = (write: Write) => !write.isSettled && write.deadline <= now;
    for (const write of this.flying.filter(isLate)) this.settle(write, () => write.reject(unclear()));
    for (const write of this.waiting.filter(isLate)) this.settle(write, () => write.reject(outOfPatience()));
    this.waiting = this.waiting.filter((write) => !write.isSettled);
  }

  /** Only here, and not with the last answer: a batch under way may be refused, and be written after that. */
  private finish(): void {
    for (const resolve of this.drained.splice(0)) resolve();
  }
}

/** A batch fails for none of its writes: what its own outcome means is told to each caller alone. */
function answer(write: Write, outcome: Outcome): void {
  try {
    write.resolve(toAnswer(outcome, write.order));
  } catch (problem) {
    write.reject(problem);
  }
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
