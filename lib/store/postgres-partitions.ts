// Partitions of watched tables that come and go while the server runs. No trigger fires for ATTACH and DETACH, and an
// event trigger is a superuser's. So once a second one of the servers compares the catalog with what was noted, tells
// the rows of a partition that went as deleted and those that one brought as created, and puts up its TRUNCATE trigger.
import type { Run } from './postgres-connection.ts';
import { BRIEFLY, inTransaction, tidyUp, type WatchedTable } from './postgres-watch.ts';

const STEP_PAGES = 8; // of 8 KiB, in one transaction: whoever drops a table that is being told waits some 100 ms
const STEP_MS = 60_000; // rows may be of megabytes each, which stand elsewhere and not in these pages

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

/**
 * One look at the partitions of these tables. Of several servers one does it: who comes second finds the lock taken, or
 * nothing left to do.
 * @param stopped ends it at its next step: what is untold then is told at the next start, or by another server
 */
export async function followPartitions(
  run: Run,
  watched: WatchedTable[],
  stopped: AbortSignal,
): Promise<void> {
  const tables = watched.filter(({ isPartitioned, isAway }) => isPartitioned && !isAway);
  if (tables.length === 0) return;
  // A lock of the session: one look is many transactions, and no other server may come between them.
  const [lock] = await run<{ isFree: boolean }>('SELECT pg_try_advisory_lock(1130918254, 2) AS "isFree"');
  if (!lock!.isFree) return;
  try {
    for (const table of tables) await compare(run, table, stopped);
  } finally {
    // The connection goes back to its pool and lives on: it would keep the lock, and no server could look any more.
    await run('SELECT pg_advisory_unlock(1130918254, 2)');
  }
}

async function compare(run: Run, table: WatchedTable, stopped: AbortSignal): Promise<void> {
  const { source, relation } = table;
  // A name that leads to no table any more is null here, and then nothing is told: it isn't known what became of it.
  const find = 'SELECT * FROM bell.changebell_moved($1, to_regclass($2))';
  // One that is locked keeps nothing from the others, and is still there at the next look.
  for (const moved of await run<Moved>(find, [source, relation]))
    await follow(run, table, moved, stopped).catch(() => {});
}

/**
 * It is noted at the end: whoever is cut off before leaves it to the next look, which tells its rows once more. Told
 * twice, a row does no harm to a copy that is kept by key; never told, it would leave the copy wrong for ever.
 */
async function follow(run: Run, table: WatchedTable, moved: Moved, stopped: AbortSignal): Promise<void> {
  const { source } = table;
  const { relation, change } = moved;
  // Before its rows are told: else a TRUNCATE right after would be missed. Where the table is locked this fails, and
  // with it the whole partition: the next look begins with it again.
  if (change === 'created') await inTransaction(run, BRIEFLY, () => run(BIND, [relation, source]));
  await tell(run, source, moved, stopped);
  await run(NOTE[change], [source, relation]);
  // Its table is another's from now on. Where it is locked, or not ours, a TRUNCATE of it will be told in vain.
  if (change === 'deleted') await inTransaction(run, BRIEFLY, () => tidyUp(run, table)).catch(() => {});
}

/**
 * In steps, each a transaction: what was told stays told when a later step fails. A table that was dropped meanwhile
 * has no rows to tell any more.
 */
async function tell(run: Run, source: string, moved: Moved, stopped: AbortSignal): Promise<void> {
  const { relation, change, since, command, pages } = moved;
  // The pool gives its queries some seconds: too few where one page leads to rows of megabytes.
  const step = {
    text: 'SELECT bell.changebell_tell_moved($1, $2, $3, $4, $5, $6, $7)',
    query_timeout: STEP_MS,
  };
  // Steps of pages and not of rows: from PostgreSQL 14 on a step then reads no other part of the table.
  for (let page = 0; page < pages; page += STEP_PAGES) {
    stopped.throwIfAborted();
    const values = [source, relation, change, since, command, page, page + STEP_PAGES];
    await inTransaction(run, PATIENTLY, () => run(step, values));
  }
}

const PATIENTLY = `SET LOCAL statement_timeout = ${STEP_MS}`;

// Of a partition that is gone already there is no row, and nothing is done.
const BIND = `SELECT bell.changebell_bind(oid, 'changebell_watch_truncate', $2) FROM pg_class WHERE oid = $1`;

// A server that starts notes partitions as well, and doesn't take the lock of a look: so one may be there already.
const NOTE = {
  created: 'INSERT INTO bell.changebell_partitions VALUES ($1, $2) ON CONFLICT DO NOTHING',
  deleted: 'DELETE FROM bell.changebell_partitions WHERE source = $1 AND relation = $2',
};
