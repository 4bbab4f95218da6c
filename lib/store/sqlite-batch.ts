// A batch of orders as one transaction: one wait for the disk, however many they are. Where another program's rule
// breaks the transaction as a whole, the orders are tried in ever smaller parts, so that each gets its own answer, and
// who broke it is kept apart for a while. SQLite tells of such a rule at three moments: at the statement
// (`sqlite-orders.ts`), by RAISE(ROLLBACK), after which there is no transaction any more, and at the commit, for a
// foreign key that is deferred.
import type Database from 'better-sqlite3';
import { type Result, unclear } from './group-commit.ts';
import { failureOf, hasCode, isBusy, refusalOf } from './sqlite.ts';
import { SqliteOrders } from './sqlite-orders.ts';
import type { prepareWriting, Table } from './sqlite-statements.ts';
import type { Entry, Plain, Suspicion } from './sqlite-suspicion.ts';
import type { Outcome } from './store.ts';

export class SqliteBatch {
  /** What kept the last commit from the disk; undefined if nothing did. */
  failure: string | undefined;
  private readonly db: Database.Database;
  private readonly sql: ReturnType<typeof prepareWriting>;
  private readonly orders: SqliteOrders;
  private readonly suspicion: Suspicion;

  constructor(
    db: Database.Database,
    sql: ReturnType<typeof prepareWriting>,
    tables: Map<string, Table>,
    suspicion: Suspicion,
  ) {
    this.db = db;
    this.sql = sql;
    this.orders = new SqliteOrders(db, sql, tables);
    this.suspicion = suspicion;
  }

  /**
   * Writes what came of each entry to its place in `results`: `done` once it is on the disk, `not tried` where
   * another program holds the lock, and then nothing was changed. It calls itself for what is left after a broken transaction:
   * each time fewer entries, or entries that are run one by one, so it comes to an end.
   * @param finish what else belongs into the transaction, also where there are no entries. It takes effect
   *   once, or not at all where the last transaction fails: then it must do for the next batch
   */
  commit(entries: Entry[], results: Result[], finish?: () => void): void {
    if (entries.length === 0 && !finish) return;
    try {
      this.sql.begin.run();
    } catch (error) {
      const outcome = isBusy(error) ? ({ is: 'not tried' } as const) : this.failed(error);
      return answerAll(entries, outcome, results);
    }
    const end = this.runAll(entries, results);
    if (end === 'failed') return;
    if (end === 'done') return this.finish(entries, results, finish);
    if (end === 'again') return this.commit(entries, results, finish);
    // This one has its refusal; the others were rolled back with it, through no fault of theirs.
    this.suspicion.suspects.add(end.order);
    const left = entries.filter((entry) => entry !== end);
    return this.commit(left, results, finish);
  }

  /** Something to commit, which leaves the database as it was. */
  touch(): void {
    this.sql.touch.run();
    this.sql.untouch.run();
  }

  /**
   * Runs them all, and commits nothing.
   * @returns where there was no transaction any more, by RAISE(ROLLBACK): the entry, or `again` after several
   */
  private runAll(entries: Entry[], results: Result[]): Entry | 'done' | 'failed' | 'again' {
    try {
      this.orders.begin();
      for (const run of this.suspicion.runsOf(entries)) {
        if (this.runTogether(run, results)) continue;
        // Which of them did it isn't known. `together` is off for a while now, so next time each is run alone.
        if (!this.db.inTransaction) return 'again';
        for (const entry of run) {
          results[entry.place] = this.orders.run(entry.order);
          if (!this.db.inTransaction) return entry;
        }
      }
      return 'done';
    } catch (error) {
      if (this.db.inTransaction) this.sql.rollback.run(); // a full disk may have rolled it back already
      answerAll(entries, this.failed(error), results);
      return 'failed';
    }
  }

  /** The cheap way, for a run of several. @returns false if they are to be run one by one */
  private runTogether(run: Entry[], results: Result[]): boolean {
    if (run.length === 1) return false;
    const outcomes = this.orders.together(run.map(({ order }) => order as Plain)); // as `runsOf` made them
    if (!outcomes) this.suspicion.addRun();
    else for (const [i, { place }] of run.entries()) results[place] = outcomes[i]!;
    return outcomes !== undefined;
  }

  /** With `synchronous = FULL` a commit returns after its sync: an answer is true after a power cut. */
  private finish(entries: Entry[], results: Result[], finish?: () => void): void {
    try {
      finish?.();
      this.sql.commit.run();
      this.failure = undefined;
    } catch (error) {
      if (this.db.inTransaction) this.sql.rollback.run();
      this.settleFailure(error, entries, results, finish);
    }
  }

  /**
   * A commit that fails for a rule (a foreign key that is checked last) has one at fault, and SQLite doesn't say which.
   * So each half is tried by itself: of a thousand orders one is found after ten halvings.
   */
  private settleFailure(error: unknown, entries: Entry[], results: Result[], finish?: () => void): void {
    const refusal = refusalOf(error);
    const [first] = entries;
    if (!refusal || !first) {
      // Where the disk failed nobody knows how much of the commit it took. Else nothing was written.
      const outcome = hasCode(error, /^SQLITE_IOERR/) ? this.unclear(error) : this.failed(error);
      return answerAll(entries, outcome, results);
    }
    if (entries.length === 1) {
      results[first.place] = refusal;
      this.suspicion.suspects.add(first.order);
      return;
    }
    const half = Math.ceil(entries.length / 2);
    this.commit(entries.slice(0, half), results);
    this.commit(entries.slice(half), results, finish);
  }

  /** A 503 for all, and `check` knows of it. @throws what is no error of SQLite: a bug of ours */
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
      if (this.db.inTransaction) this.sql.rollback.run(); // it didn't: that is why the answer leaves it open
    }
    return UNCLEAR;
  }
}

/** The same for each of them. */
export function answerAll(entries: Entry[], outcome: Result, results: Result[]): void {
  for (const { place } of entries) results[place] = outcome;
}

/** The outcome of a write that the database can't take at the moment. */
export function unavailable(detail: string): Outcome {
  return { is: 'refused', status: 503, detail };
}

/** The outcome of a write of which nobody can say whether it was made. */
export const UNCLEAR = unavailable(unclear().message);
