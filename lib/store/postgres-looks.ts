// When to look whether the log has grown, though nobody says so. A notification may be lost with its connection; and on
// a replica a commit can only be read some milliseconds after everybody has heard of it.
import type { Position } from '../event.ts';

const POLL_MS = 1000; // how long a lost notification may stay unnoticed
const FIRST_MS = 5; // a replica close by has a commit by then
const LAST_MS = 500; // further behind than all looks together, the poll finds it

/** Reads where the log stands, and calls back when that is elsewhere than at the last look. */
export class Looks {
  private readonly position: () => Promise<Position>;
  private readonly onMoved: () => void;
  private readonly poll: NodeJS.Timeout;
  private seenHead = 0;
  /** Milliseconds until the look after the next one. */
  private rest = FIRST_MS;
  /** Set while looks in a row are due. */
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(position: () => Promise<Position>, onMoved: () => void) {
    this.position = position;
    this.onMoved = onMoved;
    this.poll = setInterval(() => this.look(), POLL_MS);
  }

  /** Somebody has committed: looks in a row, ever further apart. Of another one meanwhile they begin anew. */
  soon(): void {
    this.rest = FIRST_MS;
    if (!this.isStopped) this.timer ??= setTimeout(() => this.lookOn(), FIRST_MS);
  }

  stop(): void {
    clearInterval(this.poll);
    clearTimeout(this.timer);
    this.isStopped = true; // a look under way is the last
  }

  private async lookOn(): Promise<void> {
    await this.look();
    const { rest } = this; // a commit meanwhile has made it short again
    this.rest *= 2;
    this.timer = rest < LAST_MS && !this.isStopped ? setTimeout(() => this.lookOn(), rest) : undefined;
  }

  private async look(): Promise<void> {
    try {
      const { head } = await this.position();
      // Another place, not a later one: a history that was replaced may be shorter.
      const isMoved = head.seq !== this.seenHead;
      this.seenHead = head.seq;
      if (isMoved) this.onMoved();
    } catch {
      // Away for the moment: the next look sees what this one missed.
    }
  }
}
