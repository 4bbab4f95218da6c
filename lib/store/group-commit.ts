// Many writes, one commit. Making a commit durable costs a wait for the disk, however much is in it, so all
// writes that arrive in two turns of the event loop, or while the last batch is under way, share one. What
// waits is bounded in time and in bytes: nobody waits longer than a caller would, and a database that stands
// still can't fill the memory.
import { type Problem, unavailable } from '../problem.ts';
import { type Answer, type Order, type Outcome, toAnswer } from './store.ts';

const MAX_BATCH = 1000;
const MAX_BATCH_BYTES = 8 * 1024 * 1024;
export const MAX_WAITING_BYTES = 64 * 1024 * 1024;
const RETRY_MS = 10; // what a batch found locked is tried again after so long; nobody waits inside the database
const PATIENCE_MS = 2000; // for each write, from when it came
const LOOK_MS = 20; // thousands may wait: not each of them gets a look of its own
const ORDER_BYTES = 1024; // an order without its data: fields are bounded by their parsers

/** What a batch did with an order; `locked`: it wrote nothing of it, and the same may work in a moment. */
export type Result = Outcome | { is: 'locked' };

/** A write that waits for its commit. */
type Write = {
  order: Order;
  bytes: number;
  /** When its caller is told 503, by `performance.now()`. */
  deadline: number;
  isSettled: boolean;
  resolve: (answer: Answer) => void;
  reject: (reason: unknown) => void;
};

export class GroupCommit {
  /** Runs orders in one transaction, and resolves to their results, in order, once they are durable. */
  private readonly commit: (orders: Order[]) => Promise<Result[]>;
  private waiting: Write[] = [];
  /** The batch under way: whether it will be committed, nobody knows yet. */
  private flying: Write[] = [];
  private bytes = 0;
  private isFlushDue = false;
  private deadlineTimer: NodeJS.Timeout | undefined;
  private drained: (() => void)[] = [];

  constructor(commit: (orders: Order[]) => Promise<Result[]>) {
    this.commit = commit;
  }

  get isIdle(): boolean {
    return this.waiting.length === 0 && this.flying.length === 0;
  }

  /** Bytes of all writes that wait or are under way. */
  get waitingBytes(): number {
    return this.bytes;
  }

  /** @throws {Problem} as `Store.write` says */
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

  private async flush(): Promise<void> {
    this.isFlushDue = false;
    const batch = this.takeBatch();
    if (batch.length === 0) return this.finish();
    this.flying = batch;
    let hasLocked = false;
    try {
      const results = await this.commit(batch.map((write) => write.order));
      hasLocked = this.settleAll(batch, results);
    } catch (error) {
      for (const write of batch) this.settle(write, () => write.reject(error));
    }
    this.flying = [];
    if (this.waiting.length === 0) return this.finish();
    if (!hasLocked) return this.flushSoon();
    this.isFlushDue = true;
    setTimeout(() => this.flush(), RETRY_MS);
  }

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

  /** True if some were locked: they wait again, at the end, since a thousand of them would hold up the rest. */
  private settleAll(batch: Write[], results: Result[]): boolean {
    let hasLocked = false;
    for (const [i, write] of batch.entries()) {
      const result = results[i]!;
      if (result.is !== 'locked') {
        this.settle(write, () => answer(write, result));
      } else if (!write.isSettled) {
        this.waiting.push(write);
        hasLocked = true;
      }
    }
    return hasLocked;
  }

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

  private refuseLate(): void {
    const now = performance.now();
    const isLate = (write: Write) => !write.isSettled && write.deadline <= now;
    for (const write of this.flying.filter(isLate)) this.settle(write, () => write.reject(unclear()));
    for (const write of this.waiting.filter(isLate)) this.settle(write, () => write.reject(outOfPatience()));
    this.waiting = this.waiting.filter((write) => !write.isSettled);
  }

  private finish(): void {
    for (const resolve of this.drained.splice(0)) resolve();
  }
}

function answer(write: Write, outcome: Outcome): void {
  try {
    write.resolve(toAnswer(outcome, write.order));
  } catch (problem) {
    write.reject(problem);
  }
}

function bytesOf(order: Order): number {
  if (order.op !== 'publish') return ORDER_BYTES;
  return order.events.reduce((sum, event) => sum + event.data.length + ORDER_BYTES, 0);
}

function outOfPatience(): Problem {
  return unavailable('The database is locked by another program, or stands still. Nothing was changed.');
}

/** 503 for a write of which nobody can say on which side of the commit it was. */
export function unclear(): Problem {
  return unavailable(
    'The database did not say in time whether it wrote this: the change may have been made, or not. Look before you repeat it; an Idempotency-Key makes repeating safe.',
  );
}
