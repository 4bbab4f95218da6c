// Requests that wait for an event (`Prefer: wait=30`, RFC 7240 §4.3): each is woken by the next commit, by its own
// deadline, or by its caller's leaving.
import type { ServerResponse } from 'node:http';
import { eventId } from '../event.ts';
import { Places } from '../places.ts';
import { Shared } from '../shared.ts';
import type { Store, Stretch } from '../store/store.ts';

// Long enough to make polling cheap; a proxy on the way must be told to wait as long.
const MAX_WAIT_SECONDS = 60;
const MAX_READS = 4; // at the same time: the streams read as well, and must not stand behind hundreds of pages
const PATIENCE_MS = 5000;

/** The seconds that a caller would wait; undefined if it doesn't say, or says nothing that can be met. */
export function preferredWait(header: string | string[] | undefined): number | undefined {
  const [, digits] = /(?:^|[,;])\s*wait\s*=\s*"?(\d+)"?\s*(?:[,;]|$)/i.exec(String(header ?? '')) ?? [];
  return digits === undefined ? undefined : Math.min(Number(digits), MAX_WAIT_SECONDS);
}

/** Those who wait. It hears of commits, not of events: whether one is wanted is seen by a look into the log. */
export class Waiting {
  /** Commits that this server has heard of: who looked before the last of them has to look again. */
  heard = 0;
  private readonly waiters = new Set<() => void>();
  /** Reads under way, by what was asked and when. */
  private readonly reading = new Shared<Stretch>();
  private readonly places = new Places(MAX_READS);
  private readonly store: Pick<Store, 'onCommit' | 'readEvents'>;
  private isStopped = false;

  /** @param store wakes after every commit, whoever made it */
  constructor(store: Pick<Store, 'onCommit' | 'readEvents'>) {
    this.store = store;
    store.onCommit(() => {
      this.heard += 1;
      this.wakeAll();
    });
  }

  /**
   * Not so if its time is up, it has left, or the server stops: whoever is still empty-handed then gets what there is.
   * @param until on the clock of `performance.now()`, in milliseconds
   */
  mayWait(res: ServerResponse, until: number): boolean {
    return !this.isStopped && !res.destroyed && performance.now() < until;
  }

  /** Resolves at the first commit after so many, at once if there was one already; or when its caller may wait no longer. */
  async commitAfter(heard: number, res: ServerResponse, until: number): Promise<void> {
    if (this.heard !== heard) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.waiters.delete(wake);
        clearTimeout(timer);
        res.off('close', wake);
        resolve();
      };
      const timer = setTimeout(wake, until - performance.now());
      res.on('close', wake);
      this.waiters.add(wake);
    });
  }

  /**
   * As the store does it, for those who were woken: a commit wakes them together, and nearly all stand at the same place,
   * so they share one read. A read that began before the last commit was heard of is no use to who looks now.
   * @throws {Problem} 503 if the reads of others go on for too long
   */
  readEvents(...asked: Parameters<Store['readEvents']>): Promise<Stretch> {
    const [after, ...rest] = asked;
    const key = [this.heard, eventId(after), ...rest].join();
    return this.reading.get(key, () => this.inTurn(() => this.store.readEvents(...asked)));
  }

  /** Whatever is read of the log for a request, once there is a place. @throws {Problem} 503 */
  inTurn<T>(read: () => Promise<T>): Promise<T> {
    return this.places.use(read, PATIENCE_MS);
  }

  /** The server stops: everyone gets the answer that there is. */
  stop(): void {
    this.isStopped = true;
    this.wakeAll();
  }

  private wakeAll(): void {
    for (const wake of this.waiters) wake(); // each takes itself out of the set
  }
}
