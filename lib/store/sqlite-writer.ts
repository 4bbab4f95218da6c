// The one who writes to SQLite. All orders of a batch go into one transaction, and what is answered is on the disk.
// Where another program's rule breaks the whole transaction, its orders are tried in ever smaller parts, so that
// each gets its own answer; and who broke one is kept apart for a while, so that the others don't pay for it.
import type Database from 'better-sqlite3';
import { type Result, unclear } from './group-commit.ts';
import { failureOf, hasCode, isBusy, refusalOf } from './sqlite.ts';
import type { FileGuard } from './sqlite-guard.ts';
import { SqliteOrders } from './sqlite-orders.ts';
import { prepareWriting } from './sqlite-statements.ts';
import { type Entry, type Plain, Suspicion } from './sqlite-suspicion.ts';
import type { WatchedTable } from './sqlite-watch.ts';
import type { Order, Outcome } from './store.ts';

const PRUNE_STEP = 500;

export class SqliteWriter {
  private readonly db: Database.Database;
  private readonly sql: ReturnType<typeof prepareWriting>;
  private readonly orders: SqliteOrders;
  private readonly guard: FileGuard;
  private readonly retention: number;
  private readonly suspicion = new Suspicion();
  /** What kept the last commit from the disk; undefined if nothing did. */
  private failure: string | undefined;

  constructor(
    db: Database.Database,
    guard: FileGuard,
    { retention, ...tables }: { retention: number; hasCustomers: boolean; watched: WatchedTable[] },
  ) {
    this.db = db;
    this.guard = guard;
    this.sql = prepareWriting(db);
    this.orders = new SqliteOrders(db, this.sql, tables);
    this.retention = retention;
  }

  /** What came of each order; events up to `announced` may be pruned with them. */
  commit(orders: Order[], announced: number): Result[] {
    const entries = orders.map((order, place) => ({ order, place }));
    const results: Result[] = [];
    const trouble = this.guard.trouble();
    if (trouble) {
      this.answerAll(entries, unavailable(`${trouble.reason} Nothing was changed.`), results);
      return results;
    }
    const { suspects, others } = this.suspicion.divide(entries);
    this.commitPart(suspects, results);
    this.commitPart(others, results, () => this.pruneStep(announced, 2 * orders.length + PRUNE_STEP));
    // Not even what was committed is anywhere if the files were taken away meanwhile.
    if (this.guard.trouble()) this.answerAll(entries, UNCLEAR, results);
    return results;
  }

  /** Prunes what is above the retention, one step. @returns false if that was the last one for now */
  prune(announced: number): boolean {
    if (this.guard.trouble()) return false;
    try {
      this.sql.begin.run();
      const hasMore = this.pruneStep(announced, PRUNE_STEP);
      this.sql.commit.run();
      return hasMore;
    } catch (error) {
      if (this.db.inTransaction) this.sql.rollback.run();
      if (!isBusy(error)) failureOf(error);
      return false;
    }
  }

  /** What keeps writes from succeeding; undefined if nothing does. After a failure only a real write can tell. */
  check(): string | undefined {
    const trouble = this.guard.trouble();
    if (trouble) return trouble.reason;
    try {
      this.sql.begin.run();
      if (this.failure !== undefined) this.touch();
      this.sql.commit.run();
      this.failure = undefined;
      return undefined;
    } catch (error) {
      if (this.db.inTransaction) this.sql.rollback.run();
      return isBusy(error) ? 'The database is locked by another program.' : failureOf(error).message;
    }
  }

  // --- one transaction

  private commitPart(entries: Entry[], results: Result[], finish?: () => void): void {
    if (entries.length === 0 && !finish) return;
    try {
      this.sql.begin.run();
    } catch (error) {
      const outcome = isBusy(error) ? ({ is: 'locked' } as const) : this.failed(error);
      return this.answerAll(entries, outcome, results);
    }
    const end = this.runAll(entries, results);
    if (end === 'failed') return;
    if (end === 'done') return this.finishPart(entries, results, finish);
    if (end === 'again') return this.commitPart(entries, results, finish);
    this.suspicion.add(end);
    const left = entries.filter((entry) => entry !== end);
    return this.commitPart(left, results, finish);
  }

  /** @returns where there was no transaction any more, by RAISE(ROLLBACK): the entry, or `again` after several */
  private runAll(entries: Entry[], results: Result[]): Entry | 'done' | 'failed' | 'again' {
    try {
      this.orders.begin();
      for (const run of this.suspicion.runsOf(entries)) {
        if (this.runTogether(run, results)) continue;
        if (!this.db.inTransaction) return 'again';
        for (const entry of run) {
          results[entry.place] = this.orders.run(entry.order);
          if (!this.db.inTransaction) return entry;
        }
      }
      return 'done';
    } catch (error) {
      if (this.db.inTransaction) this.sql.rollback.run(); // a full disk may have rolled it back already
      this.answerAll(entries, this.failed(error), results);
      return 'failed';
    }
  }

  /** @returns false if they are to be run one by one */
  private runTogether(run: Entry[], results: Result[]): boolean {
    if (run.length === 1) return false;
    const outcomes = this.orders.together(run.map(({ order }) => order as Plain)); // as `runsOf` made them
    if (!outcomes) this.suspicion.addRun();
    else for (const [i, { place }] of run.entries()) results[place] = outcomes[i]!;
    return outcomes !== undefined;
  }

  private finishPart(entries: Entry[], results: Result[], finish?: () => void): void {
    try {
      finish?.();
      this.sql.commit.run();
      this.failure = undefined;
    } catch (error) {
      if (this.db.inTransaction) this.sql.rollback.run();
      this.settleFailure(error, entries, results, finish);
    }
  }

  /** A commit that fails for a rule (a foreign key that is checked last) has one at fault, and we look for it. */
  private settleFailure(error: unknown, entries: Entry[], results: Result[], finish?: () => void): void {
    const refusal = refusalOf(error);
    const [first] = entries;
    if (!refusal || !first) {
      const outcome = hasCode(error, /^SQLITE_IOERR/) ? this.unclear(error) : this.failed(error);
      return this.answerAll(entries, outcome, results);
    }
    if (entries.length === 1) {
      results[first.place] = refusal;
      this.suspicion.add(first);
      return;
    }
    const half = Math.ceil(entries.length / 2);
    this.commitPart(entries.slice(0, half), results);
    this.commitPart(entries.slice(half), results, finish);
  }

  private answerAll(entries: Entry[], outcome: Result, results: Result[]): void {
    for (const { place } of entries) results[place] = outcome;
  }

  private failed(error: unknown): Outcome {
    const { message } = failureOf(error);
    this.failure = message;
    return unavailable(message);
  }

  /**
   * The frames of a commit whose sync failed are in the -wal, and a restart would find them. The next transaction
   * begins at their place: so an empty one is written over them, which makes them void, if the disk takes it.
   */
  private unclear(error: unknown): Outcome {
    this.failed(error);
    try {
      this.sql.begin.run();
      this.touch();
      this.sql.commit.run();
    } catch {
      if (this.db.inTransaction) this.sql.rollback.run();
    }
    return UNCLEAR;
  }

  /** Something to commit. */
  private touch(): void {
    this.sql.touch.run();
    this.sql.untouch.run();
  }

  // --- retention

  /** Deletes the oldest events in small steps. @returns whether some are left that may go */
  private pruneStep(announced: number, step: number): boolean {
    const { head, pruned } = this.sql.position();
    const upTo = Math.min(head.seq - this.retention, announced);
    if (upTo > pruned.seq) this.sql.prune.run(Math.min(upTo, pruned.seq + step));
    return upTo > pruned.seq + step;
  }
}

function unavailable(detail: string): Outcome {
  return { is: 'refused', status: 503, detail };
}

const UNCLEAR = unavailable(unclear().message);
