// Numbers the drafts of other programs. Their transactions say nothing when they commit: a NOTIFY in them would take a
// lock at the commit that all who notify share, and would forbid PREPARE TRANSACTION. So each server looks ten times a
// second whether there are drafts, which costs next to nothing, and one of them numbers what it sees, in steps. The same look
// tells where the log stands, should the NOTIFY of whoever made it grow have been lost.
import type { Commits } from './commits.ts';
import type { Run, Shared } from './postgres-connection.ts';

const LOOK_MS = 100; // what others commit is promised to be told within 250 ms
const LOOK_SHARE = 3; // a look that takes long, since much is in flight, rests three times as long before the next one
const STEP_MS = 25; // our own writes wait for a step: so it has as many drafts as the last one says will take so long
const LEAST_STEP = 250; // below that the flush at the end of each step is most of its time
const MOST_STEP = 8000; // more would be a burst that the hub and its clients can't take in one go
const LEAST = -9007199254740991; // the first draft's number: above it they count up to -1

/** What is there to be numbered: the first draft that can be seen, the newest number given out, who is at work; the head. */
type Look = { first: number | null; newest: number; oldest_xid: number; head: number };
type Options = { retention: number; hasCustomers: boolean; commits: Commits };

/** Works from when it is made until `stop`. What it has numbered is durable, and wakes the hubs of all servers. */
export class Numbering {
  /**
   * Below this no draft is still to come, and none is left. A search that begins here passes over no dead rows, of
   * which a long transaction elsewhere keeps any number.
   */
  low = LEAST;
  private readonly query: Run;
  private readonly options: Options;
  /** The newest draft number at the last look. */
  private newest = LEAST - 1;
  private head = 0;
  /** Drafts up to `draft` are all of transactions before `xid`. */
  private settling: { draft: number; xid: number } | undefined;
  /** How many drafts the next step takes. */
  private step = LEAST_STEP;
  /** The numbering under way. There is one at a time: a second one would only wait for the lock of the first. */
  private running: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(connections: Shared, options: Options) {
    this.query = connections.query;
    this.options = options;
    // Behind a new connection may be another server, or the same one with another history.
    connections.pool.on('connect', () => this.reset());
    this.lookLater();
  }

  /** A step that is under way is waited for: its connection goes back to the pool. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.running?.catch(() => {});
  }

  /**
   * Numbers all that is committed by now: one who waited for the numbering under way begins another, since that one may
   * have looked before his commit. @throws what the database said
   */
  async run(): Promise<void> {
    while (this.running) await this.running.catch(() => {});
    this.running = this.numberAll().finally(() => {
      this.running = undefined;
    });
    await this.running;
  }

  /** What is known of drafts is of one database. */
  private reset(): void {
    this.low = LEAST;
    this.newest = LEAST - 1;
    this.settling = undefined;
  }

  private lookLater(rest = LOOK_MS): void {
    if (this.isStopped) return;
    // A timer for each look and no interval: a slow look never has another one beside it.
    this.timer = setTimeout(async () => {
      // Away for the moment: the next look sees what this one missed.
      const took = await this.lookOnce().catch(() => 0);
      this.lookLater(Math.max(LOOK_MS, LOOK_SHARE * took));
    }, rest);
  }

  /** @returns how many milliseconds the look took, without what was to be done then */
  private async lookOnce(): Promise<number> {
    const since = performance.now();
    const [look] = await this.query<Look>(LOOK, [this.low]);
    const took = performance.now() - since;
    // Another place, not a later one: a history that was replaced may be shorter. Of our own commits it tells once more.
    if (look!.head !== this.head) this.options.commits.wake();
    this.head = look!.head;
    if (look!.newest < this.newest)
      this.reset(); // restored under us
    else await this.settle(look!);
    if (look!.first !== null && !this.isStopped) await this.run();
    return took;
  }

  /** Step after step while there is a backlog. Each goes on behind the last, so none passes over its dead rows. */
  private async numberAll(): Promise<void> {
    const { retention, hasCustomers, commits } = this.options;
    for (let from = this.low; !this.isStopped; ) {
      const { step } = this;
      const since = performance.now();
      const [row] = await this.query<{ many: number; last: number | null }>(NUMBER, [from, step]);
      if (row!.last === null) return;
      this.adapt(performance.now() - since);
      commits.committed(); // clients hear of this step while the next one runs
      // The step may tell of customers whose ids were given by hand: no new one may get the same.
      if (hasCustomers) await this.query('SELECT bell.changebell_keep_ids()');
      // What comes in fast must go as fast: a backlog of others is pruned by who numbers it, faster than the log grows.
      await this.query('SELECT bell.changebell_prune($1, $2, $3)', [retention, commits.announced, 2 * step]);
      // Fewer than it could take: the backlog is done, and what comes later is for the next look.
      if (row!.many < step) return;
      from = row!.last + 1;
    }
  }

  /** At most twice as many as before: a step that found the lock free says little of the next one. */
  private adapt(took: number): void {
    const factor = Math.min(2, STEP_MS / took);
    this.step = Math.round(Math.min(MOST_STEP, Math.max(LEAST_STEP, this.step * factor)));
  }

  /**
   * A writer has its transaction number before its draft number (see `changebell_begin`), so whoever wrote a draft that
   * was seen at a look has a number below that of a transaction of ours that began after it. Also our own drafts are
   * left behind so: for as long as somebody elsewhere reads in one transaction, their dead rows stay.
   */
  private async settle({ first, newest, oldest_xid }: Look): Promise<void> {
    if (this.settling && oldest_xid > this.settling.xid) {
      this.low = Math.max(this.low, Math.min(first ?? 0, this.settling.draft + 1));
      this.settling = undefined;
    }
    this.newest = newest;
    if (this.settling || newest < this.low) return; // on a quiet database no transaction is numbered for this
    const [row] = await this.query<{ xid: number }>(NEXT_XID);
    this.settling = { draft: newest, xid: row!.xid };
  }
}

const LOOK = `
  SELECT (SELECT seq FROM bell.changebell_events WHERE seq >= $1 AND seq < 0 ORDER BY seq LIMIT 1) AS first,
    (SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM bell.changebell_drafts) AS newest,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_xid, head
  FROM bell.changebell_position`;

// Without a mark, and following nothing: these drafts are all of others, and come in their own order.
const NUMBER = 'SELECT count(*) AS many, max(draft) AS last FROM bell.changebell_number($1, $2, 0, false)';

// Not the end of a snapshot: transactions that run may have numbers above that.
const NEXT_XID = 'SELECT pg_current_xact_id()::text::bigint AS xid';
