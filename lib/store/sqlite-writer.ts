// The one who writes to SQLite: what is answered is on the disk. A batch of orders is one transaction: one wait for the
// disk, however many they are. Where another program's rule breaks the transaction as a whole, the orders are tried in
// ever smaller parts, so that each gets its own answer, and who broke it is kept apart for a while. SQLite tells of such
// a rule at three moments: at the statement (`sqlite-orders.ts`), by RAISE(ROLLBACK), after which there is no
// transaction any more, and at the commit, for a foreign key that is deferred.
import type Database from 'better-sqlite3';
import { pruneTo } from './commits.ts';
import { type Result, unclear } from './group-commit.ts';
import { failureOf, hasCode, isBusy, refusalOf, type Transaction, transactionOf } from './sqlite.ts';
import type { FileGuard } from './sqlite-guard.ts';
import { SqliteOrders } from './sqlite-orders.ts';
import { openTables, type TableOptions } from './sqlite-tables.ts';
import { isPlain, type Order, type Outcome } from './store.ts';
import { SUSPICION_MS, Suspects } from './suspects.ts';

/** Events that are pruned in one step: a log that is far too long must not hold up the writes behind it. */
const PRUNE_STEP = 500;

/** An order, and what came of it. */
type Entry = { order: Order; result: Result };

export class SqliteWriter {
  private readonly db: Database.Database;
  private readonly transaction: Transaction;
  private readonly guard: FileGuard;
  private readonly orders: SqliteOrders;
  /** How many of the newest events are kept. */
  private readonly retention: number;
  /** Who took a whole transaction with it. */
  private readonly suspects = new Suspects();
  /** Until then all orders are run one by one: some rule of another program wanted that. */
  private apartUntil = 0;
  /** Until then nothing is pruned: a table of another program may refer to an event. */
  private pruneFrom = 0;
  /** Events up to here were announced, and may be pruned. */
  private announced = 0;
  /** The last transaction could not be made: only one that writes can tell whether the disk takes one again. */
  private hasFailed = false;

  constructor(
    db: Database.Database,
    guard: FileGuard,
    { retention, ...tables }: TableOptions & { retention: number },
  ) {
    this.db = db;
    this.transaction = transactionOf(db);
    this.guard = guard;
    this.orders = new SqliteOrders(db, this.transaction, openTables(db, tables));
    this.retention = retention;
  }

  /**
   * What came of each order, in their order: `done` once it is on the disk, `not tried` where another program holds the
   * lock. Nothing is thrown but a bug of ours.
   * @param announced events up to here may be pruned in the same transaction
   */
  commit(orders: Order[], announced: number): Result[] {
    const entries = orders.map((order): Entry => ({ order, result: { is: 'not tried' } }));
    this.announced = announced;
    const trouble = this.guard.trouble();
    if (trouble) answerAll(entries, unavailable(`${trouble.reason} Nothing was changed.`));
    else {
      // Asked once for each: it may be forgotten in this very moment.
      const suspects = new Set(entries.filter(({ order }) => this.suspects.has(order)));
      if (suspects.size > 0) this.commitAll([...suspects], false);
      this.commitAll(entries.filter((entry) => !suspects.has(entry)));
      // Not even what was committed is anywhere if the files were taken away meanwhile.
      if (this.guard.trouble()) answerAll(entries, UNCLEAR);
    }
    return entries.map(({ result }) => result);
  }

  /**
   * One transaction, and its results. It calls itself for what was broken: without pruning, then for the parts, each time
   * of fewer entries. So it comes to an end.
   */
  private commitAll(entries: Entry[], isPruning = performance.now() >= this.pruneFrom): void {
    let running: Entry[] = [];
    try {
      this.transaction.immediate(() => {
        const { pruned } = this.orders.begin();
        for (running of this.runsOf(entries)) this.run(running);
        running = [];
        if (this.hasFailed) this.touch();
        // Twice as many go as come, so that a log that is too long becomes shorter under load as well.
        if (isPruning) this.prune(pruned.seq, 2 * entries.length + PRUNE_STEP);
      });
      // With `synchronous = FULL` it returned after its sync: an answer is true after a power cut.
      this.hasFailed = false;
    } catch (error) {
      this.settleFailure(error, entries, running, isPruning);
    }
  }

  /** What shares a savepoint, until a rule refuses it: then each has one of its own, and whoever broke it is refused alone. */
  private run(entries: Entry[]): void {
    try {
      const outcomes = this.orders.run(entries.map(({ order }) => order));
      for (const [i, entry] of entries.entries()) entry.result = outcomes[i]!;
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      const [first, ...others] = entries as [Entry, ...Entry[]];
      if (others.length > 0) this.apartUntil = performance.now() + SUSPICION_MS; // whatever rule it was is still there
      if (!this.db.inTransaction) throw error; // RAISE(ROLLBACK) has ended it
      if (others.length > 0) for (const entry of entries) this.run([entry]);
      else first.result = refusal;
    }
  }

  /**
   * Whoever broke a rule alone is refused; of several each part gets a transaction of its own. Where it isn't known who
   * is at fault, it is tried without pruning, since that is no order's; then in halves: of a thousand orders one is found
   * after ten halvings.
   * @param running those that were run when it happened
   */
  private settleFailure(error: unknown, entries: Entry[], running: Entry[], isPruning: boolean): void {
    if (isBusy(error)) return answerAll(entries, { is: 'not tried' });
    const refusal = refusalOf(error);
    if (refusal && isPruning && running.length === 0) {
      this.pruneFrom = performance.now() + SUSPICION_MS;
      return this.commitAll(entries, false);
    }
    const [first, second] = entries;
    // Where the disk failed nobody knows how much of the commit it took. Else nothing was written.
    if (!refusal || !first)
      return answerAll(entries, hasCode(error, /^SQLITE_IOERR/) ? this.unclear(error) : this.failed(error));
    if (!second) {
      first.result = refusal;
      this.suspects.add(first.order);
      this.pruneFrom = 0; // it was not the pruning
      return;
    }
    const isPart = running.length > 0 && running.length < entries.length;
    const part = new Set(isPart ? running : entries.slice(0, Math.ceil(entries.length / 2)));
    this.commitAll([...part]);
    this.commitAll(entries.filter((entry) => !part.has(entry)));
  }

  /** A 503 for all. @throws what is no error of SQLite: a bug of ours */
  private failed(error: unknown): Outcome {
    this.hasFailed = true;
    return unavailable(failureOf(error).message);
  }

  /**
   * The frames of a commit whose sync failed are in the -wal, and a restart would find them. The next transaction
   * begins at their place: so an empty one is written over them, which makes them void, if the disk takes it.
   */
  private unclear(error: unknown): Outcome {
    this.failed(error);
    try {
      this.transaction.immediate(() => this.touch());
    } catch {
      // It didn't: that is why the answer leaves it open.
    }
    return UNCLEAR;
  }

  /** A write that changes nothing in the end. An update to the same value would not do: SQLite leaves it out. */
  private touch(): void {
    this.db.prepare("INSERT INTO changebell_idempotency VALUES (' ', '', '', '', 0)").run();
    this.db.prepare("DELETE FROM changebell_idempotency WHERE key = ' '").run();
  }

  /**
   * Deletes the oldest events, at most `step`. Never one above `announced`: the hub must have read an event before it
   * goes, or its clients would miss it. A trigger notes the newest of them (`changebell_events_pruned`), so that a cursor
   * below it is told.
   */
  private prune(pruned: number, step: number): void {
    const upTo = Math.min(pruneTo(this.orders.head, this.retention, this.announced), pruned + step);
    if (upTo > pruned) this.db.prepare('DELETE FROM changebell_events WHERE seq <= ?').run(upTo);
  }

  /** The entries in their order; plain ones of a kind that stand side by side are one run, unless that failed lately. */
  private runsOf(entries: Entry[]): Entry[][] {
    const isTogether = performance.now() >= this.apartUntil;
    const runs: Entry[][] = [];
    for (const entry of entries) {
      const run = runs.at(-1);
      if (isTogether && run && areAlike(run[0]!.order, entry.order)) run.push(entry);
      else runs.push([entry]);
    }
    return runs;
  }
}

function areAlike(a: Order, b: Order): boolean {
  const tableOf = (order: Order) => ('table' in order ? order.table : undefined);
  return a.op === b.op && tableOf(a) === tableOf(b) && isPlain(a) && isPlain(b);
}

/** The same for each of them. */
function answerAll(entries: Entry[], result: Result): void {
  for (const entry of entries) entry.result = result;
}

/** The outcome of a write that the database can't take at the moment. */
export function unavailable(detail: string): Outcome {
  return { is: 'refused', status: 503, detail };
}

/** The outcome of a write of which nobody can say whether it was made. */
const UNCLEAR = unavailable(unclear().message);
