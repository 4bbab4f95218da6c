// How this server hears at once that the log has grown, whoever made it grow. NOTIFY only wakes: the log is what is read. A
// notification that was lost with its connection loses nothing, for `Numbering` looks as well.
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, Pool } from 'pg';
import type { Commits } from './commits.ts';
import { type Postgres, processOf } from './postgres-connection.ts';
import { holdWatch } from './postgres-watch.ts';

const RECONNECT_MS = 250;
const MAX_RECONNECT_MS = 5000;
const WAKE_MS = 10; // several servers commit hundreds of times a second: one look serves for many

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
