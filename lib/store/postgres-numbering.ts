// Numbers the drafts of other programs. Their transactions say nothing when they commit: a NOTIFY in them would take a
// lock at the commit that all who notify share, and would forbid PREPARE TRANSACTION. So each server looks ten times a
// second whether there are drafts, which costs next to nothing, and one of them numbers what it sees, in steps.
import type { Pool } from 'pg';
import type { Postgres } from './postgres-connection.ts';
import { inSchema } from './postgres-statements.ts';

const LOOK_MS = 100;
const STEP = 2000; // drafts in one transaction: some 20 ms, in which our own writes wait
const LEAST = -9007199254740991;

type Look = { first: number | null; newest: number; oldest_xid: string };
type Options = { retention: number; announced: () => number; hasCustomers: boolean; onNumbered: () => void };

export class Numbering {
  /**
   * Below this no draft is still to come, and none is left. A search that begins here passes over no dead rows, of
   * which a long transaction elsewhere keeps any number.
   */
  low = LEAST;
  private readonly postgres: Postgres;
  private readonly pool: Pool;
  private readonly sql: Record<'look' | 'number' | 'prune' | 'ids', string>;
  private readonly options: Options;
  /** The newest draft number at the last look. */
  private newest = LEAST - 1;
  /** Drafts up to `draft` are all of transactions before `xid`. */
  private settling: { draft: number; xid: bigint } | undefined;
  private running: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(postgres: Postgres, pool: Pool, schema: string, options: Options) {
    this.postgres = postgres;
    this.pool = pool;
    this.options = options;
    this.sql = {
      look: inSchema(LOOK, schema),
      number: inSchema(
        'SELECT count(*) AS many, pg_current_xact_id()::text AS xid FROM bell.changebell_number($1, $2, 0, false)',
        schema,
      ),
      prune: inSchema('SELECT bell.changebell_prune($1, $2, $3)', schema),
      ids: inSchema('SELECT bell.changebell_keep_ids()', schema),
    };
    this.lookLater();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.running?.catch(() => {});
  }

  /** Numbers all that is committed by now. @throws what the database said */
  async run(): Promise<void> {
    while (this.running) await this.running.catch(() => {});
    this.running = this.numberAll();
    try {
      await this.running;
    } finally {
      this.running = undefined;
    }
  }

  /** What is known of drafts is of one database: behind a new connection there may be another, or an older one. */
  reset(): void {
    this.low = LEAST;
    this.newest = LEAST - 1;
    this.settling = undefined;
  }

  private lookLater(): void {
    if (this.isStopped) return;
    this.timer = setTimeout(async () => {
      await this.lookOnce().catch(() => {}); // away for the moment: the next look sees what this one missed
      this.lookLater();
    }, LOOK_MS);
  }

  private async lookOnce(): Promise<void> {
    const [look] = await this.query<Look>(this.sql.look, [this.low]);
    if (look!.newest < this.newest) return this.reset(); // restored under us
    this.settle(look!);
    if (look!.first !== null && !this.isStopped) await this.run();
  }

  private async numberAll(): Promise<void> {
    const { retention, announced, hasCustomers, onNumbered } = this.options;
    for (let many = STEP; many >= STEP && !this.isStopped; ) {
      const { newest } = this;
      const [row] = await this.query<{ many: number; xid: string }>(this.sql.number, [this.low, STEP]);
      many = row!.many;
      this.settling ??= { draft: newest, xid: BigInt(row!.xid) };
      if (many === 0) return;
      onNumbered();
      if (hasCustomers) await this.query(this.sql.ids, []);
      await this.query(this.sql.prune, [retention, announced(), 2 * STEP]);
    }
  }

  /**
   * A writer has its transaction number before its draft number (see `changebell_begin`), so whoever wrote a draft that
   * was seen at a look has a number below that of a transaction of ours that began after it.
   */
  private settle({ first, newest, oldest_xid }: Look): void {
    if (this.settling && BigInt(oldest_xid) > this.settling.xid) {
      this.low = Math.max(this.low, Math.min(first ?? 0, this.settling.draft + 1));
      this.settling = undefined;
    }
    this.newest = newest;
  }

  private async query<Row>(text: string, values: unknown[]): Promise<Row[]> {
    const client = await this.postgres.take(this.pool);
    try {
      const { rows } = await client.query(text, values);
      client.release();
      return rows as Row[];
    } catch (error) {
      client.release(true);
      throw error;
    }
  }
}

const LOOK = `
  SELECT (SELECT seq FROM bell.changebell_events WHERE seq >= $1 AND seq < 0 ORDER BY seq LIMIT 1) AS first,
    (SELECT last_value FROM bell.changebell_drafts) AS newest,
    pg_snapshot_xmin(pg_current_snapshot())::text AS oldest_xid`;
