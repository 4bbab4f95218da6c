// How this server hears that the log has grown, whoever made it grow. NOTIFY and looks at the clock only wake: the log is
// what is read, and a notification that was lost with its connection loses nothing.
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, Pool } from 'pg';
import type { Position } from '../event.ts';
import type { Commits } from './commits.ts';
import { type Postgres, processOf } from './postgres-connection.ts';
import { holdWatch } from './postgres-watch.ts';

const RECONNECT_MS = 250;
const MAX_RECONNECT_MS = 5000;
const WAKE_MS = 10; // several servers commit hundreds of times a second: one look serves for many

const POLL_MS = 1000; // how long a lost notification may stay unnoticed
const FIRST_MS = 5; // a replica close by has a commit by then

/** Listens, on a connection of its own that also holds the locks which say what tables are watched here. */
export class Listener {
  private readonly postgres: Postgres;
  private readonly sources: string[];
  private readonly commits: Commits;
  /** The database's processes that commit for us: of their commits we know already. */
  private readonly ownProcesses = new Set<number>();
  private readonly stopped = new AbortController();
  private client: Client | undefined;
  /** Resolves when the connection is over. */
  private ended = Promise.resolve();
  private wakeTimer: NodeJS.Timeout | undefined;

  /** @param writers the connections that commit for us; `sources` are those of the watched tables */
  constructor(postgres: Postgres, writers: Pool, sources: string[], commits: Commits) {
    this.postgres = postgres;
    this.sources = sources;
    this.commits = commits;
    writers.on('connect', (client) => this.ownProcesses.add(processOf(client)));
    writers.on('remove', (client) => this.ownProcesses.delete(processOf(client)));
  }

  /** Resolves when it listens. @throws what the database said */
  async start(): Promise<void> {
    await this.listen();
    void this.keepListening();
  }

  async close(): Promise<void> {
    this.stopped.abort();
    clearTimeout(this.wakeTimer);
    await this.client?.end().catch(() => {});
  }

  private async listen(): Promise<void> {
    const client = await this.postgres.connect();
    this.client = client;
    this.ended = new Promise((resolve) => client.once('end', resolve));
    client.on('notification', ({ processId }) => this.hear(processId));
    try {
      this.stopped.signal.throwIfAborted(); // closed meanwhile
      await holdWatch(this.postgres.runOn(client), this.sources);
      await client.query('LISTEN changebell');
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
    this.hear(0); // what was committed while nobody listened
  }

  /** The first try after a connection that lasted is made at once. */
  private async keepListening(): Promise<void> {
    for (let pause = 0; ; pause = Math.min(Math.max(2 * pause, RECONNECT_MS), MAX_RECONNECT_MS)) {
      const since = performance.now();
      await this.ended;
      if (performance.now() - since > MAX_RECONNECT_MS) pause = 0;
      await delay(pause, undefined, { signal: this.stopped.signal }).catch(() => {});
      if (this.stopped.signal.aborted) return;
      await this.listen().catch(() => {});
    }
  }

  private hear(sender: number): void {
    if (this.wakeTimer || this.ownProcesses.has(sender)) return;
    this.wakeTimer = setTimeout(() => {
      this.wakeTimer = undefined;
      this.commits.wake();
    }, WAKE_MS);
  }
}

/**
 * Looks where the log stands, once a second, and wakes when that is elsewhere than at the last look. On a replica a
 * commit can only be read some milliseconds after everybody has heard of it: then looks follow each other at once.
 */
export class Looks {
  private readonly position: () => Promise<Position>;
  private readonly commits: Commits;
  private seenHead = 0;
  /** Milliseconds from the last look to the next. */
  private rest = POLL_MS;
  /** The next look; undefined while one is under way. */
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(position: () => Promise<Position>, commits: Commits) {
    this.position = position;
    this.commits = commits;
    this.lookLater();
  }

  /** Somebody has committed: looks in a row, ever further apart. Of another one meanwhile they begin anew. */
  soon(): void {
    if (this.rest === FIRST_MS) return; // due already: if many commits moved it, it would never come
    this.rest = FIRST_MS;
    if (this.timer) this.lookLater();
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
  }

  private lookLater(): void {
    clearTimeout(this.timer);
    this.timer = this.isStopped ? undefined : setTimeout(() => this.look(), this.rest);
  }

  private async look(): Promise<void> {
    this.timer = undefined;
    this.rest = Math.min(2 * this.rest, POLL_MS);
    try {
      const { head } = await this.position();
      // Another place, not a later one: a history that was replaced may be shorter.
      const isMoved = head.seq !== this.seenHead;
      this.seenHead = head.seq;
      if (isMoved) this.commits.wake();
    } catch {
      // Away for the moment: the next look sees what this one missed.
    }
    this.lookLater();
  }
}
