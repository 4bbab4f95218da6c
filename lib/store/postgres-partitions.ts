// Partitions of watched tables that come and go while the server runs. No trigger fires for ATTACH and DETACH, and an
// event trigger is a superuser's. So once a second one of the servers compares the catalog with what was noted, tells
// the rows of a partition that went as deleted and those that one brought as created, and puts up its TRUNCATE trigger.
import type { Pool } from 'pg';
import type { Postgres, Run } from './postgres-connection.ts';
import type { WatchedTable } from './postgres-watch.ts';

const LOOK_MS = 1000; // two small reads of the catalog for each partitioned table
const STEP_PAGES = 8; // of 8 KiB, in one transaction: whoever drops a table that is being told waits some 100 ms
const STEP_MS = 60_000; // rows may be of megabytes each, which stand elsewhere and not in these pages
const LOCK_MS = 5; // a CREATE TRIGGER that waits would let the application's writers wait behind it

/** A partition that came or went, and what that did to its rows. */
type Moved = {
  /** Its oid: a name may be given to another table at any time. */
  relation: number;
  change: 'created' | 'deleted';
  /** The transaction and the command that attached it: what was in it before was told to nobody. */
  since: string;
  command: number;
  pages: number;
};

/** Looks by itself from when it is made until `stop`; where no partitioned table is watched, it never does. */
export class Partitions {
  private readonly postgres: Postgres;
  /** The writer's: a look takes a connection of its own from it, so that no write of ours waits for it. */
  private readonly pool: Pool;
  private readonly tables: WatchedTable[];
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private isStopped = false;

  constructor(postgres: Postgres, pool: Pool, watched: readonly WatchedTable[]) {
    this.postgres = postgres;
    this.pool = pool;
    this.tables = watched.filter(({ isPartitioned }) => isPartitioned);
    if (this.tables.length > 0) this.lookLater();
  }

  /** Waits for the step under way. What is untold then is told at the next start, or by another server. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.looking;
  }

  private lookLater(): void {
    if (this.isStopped) return;
    this.timer = setTimeout(async () => {
      // Away for the moment, or a table is locked: the next look finds the same again.
      this.looking = this.postgres.use(this.pool, (run) => this.look(run)).catch(() => {});
      await this.looking;
      this.lookLater();
    }, LOOK_MS);
  }

  /** Of several servers one does it: who comes second finds the lock taken, or nothing left to do. */
  private async look(run: Run): Promise<void> {
    // A lock of the session: one look is many transactions, and no other server may come between them.
    const [lock] = await run<{ isFree: boolean }>('SELECT pg_try_advisory_lock(1130918254, 2) AS "isFree"');
    if (!lock!.isFree) return;
    try {
      for (const table of this.tables) await this.compare(run, table);
    } finally {
      // The connection goes back to its pool and lives on: it would keep the lock, and no server could look any more.
      await run('SELECT pg_advisory_unlock(1130918254, 2)');
    }
  }

  private async compare(run: Run, { source, relation }: WatchedTable): Promise<void> {
    // A name that leads to no table any more is null here, and then nothing is told: it isn't known what became of it.
    const find = 'SELECT * FROM bell.changebell_moved($1, to_regclass($2))';
    await run(RESET, [source, relation]);
    // One that is locked keeps nothing from the others, and is still there at the next look.
    for (const moved of await run<Moved>(find, [source, relation]))
      await this.follow(run, source, moved).catch(() => {});
  }

  /**
   * It is noted at the end: whoever is cut off before leaves it to the next look, which tells its rows once more. Told
   * twice, a row does no harm to a copy that is kept by key; never told, it would leave the copy wrong for ever.
   */
  private async follow(run: Run, source: string, moved: Moved): Promise<void> {
    const { relation, change } = moved;
    // Before its rows are told: else a TRUNCATE right after would be missed. Where the table is locked this fails, and
    // with it the whole partition: the next look begins with it again.
    if (change === 'created') await inTransaction(run, BRIEFLY, () => run(BIND, [relation, source]));
    await this.tell(run, source, moved);
    await run(NOTE[change], [source, relation]);
    // Its table is another's from now on. Where it is locked, or not ours, a TRUNCATE of it will be told in vain.
    if (change === 'deleted')
      await inTransaction(run, BRIEFLY, () => run(UNBIND, [relation])).catch(() => {});
  }

  /**
   * In steps, each a transaction: what was told stays told when a later step fails. A table that was dropped meanwhile
   * has no rows to tell any more.
   */
  private async tell(run: Run, source: string, moved: Moved): Promise<void> {
    const { relation, change, since, command, pages } = moved;
    // The pool gives its queries some seconds: too few where one page leads to rows of megabytes.
    const step = {
      text: 'SELECT bell.changebell_tell_moved($1, $2, $3, $4, $5, $6, $7)',
      query_timeout: STEP_MS,
    };
    // Steps of pages and not of rows: from PostgreSQL 14 on a step then reads no other part of the table.
    for (let page = 0; page < pages; page += STEP_PAGES) {
      if (this.isStopped) throw new Error('stopped before all was told: who looks next begins again');
      const values = [source, relation, change, since, command, page, page + STEP_PAGES];
      await inTransaction(run, PATIENTLY, () => run(step, values));
    }
  }
}

// Both settings end with their transaction, so the connection goes back to its pool as it was.
const BRIEFLY = `SET LOCAL lock_timeout = ${LOCK_MS}`;
const PATIENTLY = `SET LOCAL statement_timeout = ${STEP_MS}`;

/** @throws what the work threw: then nothing of it is done */
async function inTransaction(run: Run, setting: string, work: () => Promise<unknown>): Promise<void> {
  await run(`BEGIN; ${setting}`);
  try {
    await work();
    await run('COMMIT');
  } catch (error) {
    await run('ROLLBACK');
    throw error;
  }
}

// What was dropped with its rows is told nobody by nobody.
const RESET = `
  WITH gone AS (
    DELETE FROM bell.changebell_partitions AS noted
    WHERE source = $1 AND NOT EXISTS (SELECT FROM pg_class WHERE oid = relation)
      AND EXISTS (SELECT FROM bell.changebell_partitions WHERE source = $1 AND relation = to_regclass($2))
    RETURNING relation)
  INSERT INTO bell.changebell_events (type, source)
  SELECT type || '.reset', source || '/*' FROM bell.changebell_watched WHERE source = $1 AND EXISTS (SELECT FROM gone)`;

// Of a partition that is gone already there is no row, and nothing is done.
const BIND = `SELECT bell.changebell_bind(oid, 'changebell_watch_truncate', $2) FROM pg_class WHERE oid = $1`;
const UNBIND = 'SELECT bell.changebell_unbind(oid) FROM pg_class WHERE oid = $1';

// A server that starts notes partitions as well, and doesn't take the lock of a look: so one may be there already.
const NOTE = {
  created: 'INSERT INTO bell.changebell_partitions VALUES ($1, $2) ON CONFLICT DO NOTHING',
  deleted: 'DELETE FROM bell.changebell_partitions WHERE source = $1 AND relation = $2',
};
