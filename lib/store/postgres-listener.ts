// Hears of commits by other servers. NOTIFY only wakes: the log is what is read, and a notification that was lost
// with its connection loses nothing. The same connection holds the locks that say which tables are watched here.
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Postgres } from './postgres-connection.ts';

const RECONNECT_MS = 250;
const MAX_RECONNECT_MS = 5000;
const WAKE_MS = 10; // several servers commit hundreds of times a second: one look serves for many

export class Listener {
  private readonly postgres: Postgres;
  /** What is to be done on each new connection before it listens. */
  private readonly greet: (client: Client) => Promise<void>;
  private readonly wake: (sender: number) => void;
  private readonly stopped = new AbortController();
  private client: Client | undefined;
  private wakeTimer: NodeJS.Timeout | undefined;

  /** Resolves when it listens. @throws what the database said */
  static async open(
    postgres: Postgres,
    greet: (client: Client) => Promise<void>,
    isOwn: (sender: number) => boolean,
    wake: () => void,
  ): Promise<Listener> {
    const listener = new Listener(postgres, greet, isOwn, wake);
    const { ended } = await listener.listen();
    void listener.keepListening(ended);
    return listener;
  }

  private constructor(
    postgres: Postgres,
    greet: (client: Client) => Promise<void>,
    isOwn: (sender: number) => boolean,
    wake: () => void,
  ) {
    this.postgres = postgres;
    this.greet = greet;
    this.wake = (sender) => {
      if (this.wakeTimer || isOwn(sender)) return;
      this.wakeTimer = setTimeout(() => {
        this.wakeTimer = undefined;
        wake();
      }, WAKE_MS);
    };
  }

  async close(): Promise<void> {
    this.stopped.abort();
    clearTimeout(this.wakeTimer);
    await this.client?.end().catch(() => {});
  }

  /** `ended` resolves when the connection is over. */
  private async listen(): Promise<{ ended: Promise<void> }> {
    const client = await this.postgres.connect();
    this.client = client;
    const ended = new Promise<void>((resolve) => client.once('end', resolve));
    client.on('notification', ({ processId }) => this.wake(processId));
    try {
      await this.greet(client);
      await client.query('LISTEN changebell');
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
    this.wake(0); // for what was committed while nobody listened
    return { ended };
  }

  private async keepListening(first: Promise<void>): Promise<void> {
    await first;
    for (
      let pause = RECONNECT_MS;
      !this.stopped.signal.aborted;
      pause = Math.min(2 * pause, MAX_RECONNECT_MS)
    ) {
      const since = performance.now();
      await this.listen()
        .then(({ ended }) => ended)
        .catch(() => {});
      if (performance.now() - since > MAX_RECONNECT_MS) pause = RECONNECT_MS;
      await delay(pause, undefined, { signal: this.stopped.signal }).catch(() => {});
    }
  }
}
