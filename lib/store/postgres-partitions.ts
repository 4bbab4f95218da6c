// Partitions of watched tables that come and go while the server runs. No trigger fires for ATTACH and DETACH, and an
// event trigger is a superuser's. So once a second one of the servers compares the catalog with what was noted, tells
// the rows of a partition that went as deleted and those that one brought as created, and puts up its TRUNCATE trigger.
import type { PoolClient } from 'pg';
import { inSchema } from './postgres-statements.ts';
import { bindTruncate, type WatchedTable } from './postgres-watch.ts';

const LOOK_MS = 1000; // two small reads of the catalog for each partitioned table
const STEP_PAGES = 8; // of 8 KiB, in one transaction: whoever drops a table that is being told waits some 100 ms
const STEP_MS = 60_000; // rows may be of megabytes each, which stand elsewhere and not in these pages
const LOCK_MS = 5; // a CREATE TRIGGER that waits would let the application's writers wait behind it

/** Runs work on a connection of our own. @throws what the database said */
export type OnConnection = <T>(work: (client: PoolClient) => Promise<T>) => Promise<T>;

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
  /** Gives a connection of the writer's pool: a look has its own, so that no write of ours waits for it. */
  private readonly run: OnConnection;
  private readonly schema: string;
  private readonly tables: WatchedTable[];
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private isStopped = false;

  constructor(run: OnConnection, schema: string, watched: readonly WatchedTable[]) {
    this.run = run;
    this.schema = schema;
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
      this.looking = this.run((client) => this.look(client)).catch(() => {});
      await this.looking;
      this.lookLater();
    }, LOOK_MS);
  }

  /** Of several servers one does it: who comes second finds the lock taken, or nothing left to do. */
  private async look(client: PoolClient): Promise<void> {
    // A lock of the session: one look is many transactions, and no other server may come between them.
    const { rows } = await client.query('SELECT pg_try_advisory_lock(1130918254, 2) AS "isFree"');
    if (!rows[0].isFree) return;
    try {
      for (const table of this.tables) await this.compare(client, table);
    } finally {
      // The connection goes back to its pool and lives on: it would keep the lock, and no server could look any more.
      await client.query('SELECT pg_advisory_unlock(1130918254, 2)');
    }
  }

  private async compare(client: PoolClient, table: WatchedTable): Promise<void> {
    // A name that leads to no table any more is null here, and then nothing is told: it isn't known what became of it.
    const find = inSchema('SELECT * FROM bell.changebell_moved($1, to_regclass($2))', this.schema);
    const { rows } = await client.query<Moved>(find, [table.source, table.relation]);
    // One that is locked keeps nothing from the others, and is still there at the next look.
    for (const moved of rows) await this.follow(client, table, moved).catch(() => {});
  }

  /**
   * It is noted at the end: whoever is cut off before leaves it to the next look, which tells its rows once more. Told
   * twice, a row does no harm to a copy that is kept by key; never told, it would leave the copy wrong for ever.
   */
  private async follow(client: PoolClient, table: WatchedTable, moved: Moved): Promise<void> {
    if (moved.change === 'created') await this.putUp(client, table, moved);
    await this.tell(client, table, moved);
    await client.query(inSchema(NOTE[moved.change], this.schema), [table.source, moved.relation]);
    if (moved.change === 'deleted') await this.takeDown(client, moved);
  }

  /** Before its rows are told: else a TRUNCATE right after would be missed. */
  private async putUp(client: PoolClient, table: WatchedTable, { relation }: Moved): Promise<void> {
    const { rows } = await client.query<{ name: string }>(NAME, [relation]);
    if (!rows[0]) return; // gone already
    const { name } = rows[0];
    // Where the table is locked this fails, and with it the whole partition: the next look begins with it again.
    await inTransaction(client, BRIEFLY, () => bindTruncate(client, this.schema, table, name));
  }

  /** Its table is another's from now on. Where it is locked, or not ours, a TRUNCATE of it will be told in vain. */
  private async takeDown(client: PoolClient, { relation }: Moved): Promise<void> {
    const { rows } = await client.query<{ name: string }>(NAME, [relation]);
    if (!rows[0]) return;
    const drop = `DROP TRIGGER IF EXISTS changebell_watch_truncate ON ${rows[0].name}`;
    await inTransaction(client, BRIEFLY, () => client.query(drop)).catch(() => {});
  }

  /**
   * In steps, each a transaction: what was told stays told when a later step fails. A table that was dropped meanwhile
   * has no rows to tell any more.
   */
  private async tell(client: PoolClient, { source }: WatchedTable, moved: Moved): Promise<void> {
    const { relation, change, since, command, pages } = moved;
    const sql = inSchema('SELECT bell.changebell_tell_moved($1, $2, $3, $4, $5, $6, $7)', this.schema);
    // Steps of pages and not of rows: from PostgreSQL 14 on a step then reads no other part of the table.
    for (let page = 0; page < pages; page += STEP_PAGES) {
      if (this.isStopped) throw new Error('stopped before all was told: who looks next begins again');
      const values = [source, relation, change, since, command, page, page + STEP_PAGES];
      // The pool gives its queries some seconds: too few where one page leads to rows of megabytes.
      const step = { text: sql, values, query_timeout: STEP_MS };
      await inTransaction(client, PATIENTLY, () => client.query(step));
    }
  }
}

// Both settings end with their transaction, so the connection goes back to its pool as it was.
const BRIEFLY = `SET LOCAL lock_timeout = ${LOCK_MS}`;
const PATIENTLY = `SET LOCAL statement_timeout = ${STEP_MS}`;

/** @throws what the work threw: then nothing of it is done */
async function inTransaction(
  client: PoolClient,
  setting: string,
  work: () => Promise<unknown>,
): Promise<void> {
  await client.query(`BEGIN; ${setting}`);
  try {
    await work();
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

// Asked anew each time: a partition may have been renamed since it was seen. %I quotes what SQL wants quoted.
const NAME = `
  SELECT format('%I.%I', nspname, relname) AS name FROM pg_class AS class
    JOIN pg_namespace AS namespace ON namespace.oid = relnamespace WHERE class.oid = $1`;

// A server that starts notes partitions as well, and doesn't take the lock of a look: so one may be there already.
const NOTE = {
  created: 'INSERT INTO bell.changebell_partitions VALUES ($1, $2) ON CONFLICT DO NOTHING',
  deleted: 'DELETE FROM bell.changebell_partitions WHERE source = $1 AND relation = $2',
};
