// The one who writes to SQLite: what is answered is on the disk. Here is what surrounds the transactions of a batch:
// the files must still be those that were opened, orders that broke a transaction lately are tried apart from the rest,
// and the log is pruned in small steps. How one transaction goes, `sqlite-batch.ts` says.
import type Database from 'better-sqlite3';
import type { Result } from './group-commit.ts';
import { failureOf, isBusy } from './sqlite.ts';
import { answerAll, SqliteBatch, UNCLEAR, unavailable } from './sqlite-batch.ts';
import type { FileGuard } from './sqlite-guard.ts';
import { prepareTables, prepareWriting, type TableOptions } from './sqlite-statements.ts';
import { Suspicion } from './sqlite-suspicion.ts';
import type { Order } from './store.ts';

/** Events that are pruned in one step: a log that is far too long must not hold up the writes behind it. */
const PRUNE_STEP = 500;

export class SqliteWriter {
  private readonly db: Database.Database;
  private readonly sql: ReturnType<typeof prepareWriting>;
  private readonly batch: SqliteBatch;
  private readonly guard: FileGuard;
  /** How many of the newest events are kept. */
  private readonly retention: number;
  private readonly suspicion = new Suspicion();

  constructor(
    db: Database.Database,
    guard: FileGuard,
    { retention, ...tables }: TableOptions & { retention: number },
  ) {
    this.db = db;
    this.guard = guard;
    this.sql = prepareWriting(db);
    this.batch = new SqliteBatch(db, this.sql, prepareTables(db, tables), this.suspicion);
    this.retention = retention;
  }

  /**
   * What came of each order, in their order; what is `done` is on the disk. Nothing is thrown but a bug of ours.
   * @param announced events up to here may be pruned in the same transaction
   */
  commit(orders: Order[], announced: number): Result[] {
    const entries = orders.map((order, place) => ({ order, place }));
    const results: Result[] = [];
    const trouble = this.guard.trouble();
    if (trouble) {
      answerAll(entries, unavailable(`${trouble.reason} Nothing was changed.`), results);
      return results;
    }
    const { suspects, others } = this.suspicion.divide(entries);
    this.batch.commit(suspects, results);
    // Twice as many go as come, so that a log that is too long becomes shorter under load as well.
    this.batch.commit(others, results, () => this.pruneStep(announced, 2 * orders.length + PRUNE_STEP));
    // Not even what was committed is anywhere if the files were taken away meanwhile.
    if (this.guard.trouble()) answerAll(entries, UNCLEAR, results);
    return results;
  }

  /**
   * Prunes what is above the retention, one step, in a transaction of its own: where nobody writes here, other programs
   * may still make the log grow.
   * @returns is there more to prune? False as well where it can't be done now: the next call may
   */
  prune(announced: number): boolean {
    if (this.guard.trouble()) return false;
    try {
      this.sql.begin.run();
      const hasMore = this.pruneStep(announced, PRUNE_STEP);
      this.sql.commit.run();
      return hasMore;
    } catch (error) {
      if (this.db.inTransaction) this.sql.rollback.run();
      if (!isBusy(error)) failureOf(error); // it is printed; nobody waits for an answer
      return false;
    }
  }

  /**
   * What keeps writes from succeeding, in one sentence; undefined if nothing does. That the lock can be had says
   * enough, and costs no wait for the disk; after a failure only a real write can tell that the disk takes one again.
   */
  check(): string | undefined {
    const trouble = this.guard.trouble();
    if (trouble) return trouble.reason;
    try {
      this.sql.begin.run();
      if (this.batch.failure !== undefined) this.batch.touch();
      this.sql.commit.run();
      this.batch.failure = undefined;
      return undefined;
    } catch (error) {
      if (this.db.inTransaction) this.sql.rollback.run();
      return isBusy(error) ? 'The database is locked by another program.' : failureOf(error).message;
    }
  }

  /**
   * Deletes the oldest events, at most `step`; the caller has a transaction open. Never one above `announced`: the hub
   * must have read an event before it goes, or its clients would miss it.
   * @returns whether some are left that may go
   */
  private pruneStep(announced: number, step: number): boolean {
    const { head, pruned } = this.sql.position();
    const upTo = Math.min(head.seq - this.retention, announced);
    if (upTo > pruned.seq) this.sql.prune().run(Math.min(upTo, pruned.seq + step));
    return upTo > pruned.seq + step;
  }
}
