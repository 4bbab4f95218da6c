// Whose turn it is. Those who stood at the head when it moved come first, so that a herd that catches up can't delay
// them; everyone has its turn in slices of some milliseconds, and between them the event loop goes round.
import type { Client } from './client.ts';

const SLICE_MS = 2; // then HTTP has its turn: a fan-out must not hold up a POST

/** What the hub does for a client in its turn. */
type Serving = {
  /** Returns a promise only if it must wait for the log. */
  serve: (client: Client) => Promise<void> | undefined;
  /** Does the client want another turn, and can it take one? */
  isOwed: (client: Client) => boolean;
};

export class Rounds {
  private readonly hub: Serving;
  private readonly live: Client[] = [];
  /** Others who may be owed something. A client stands in at most one of the two, once. */
  private readonly behind: Client[] = [];

  constructor(hub: Serving) {
    this.hub = hub;
  }

  /** Has everyone who stood at the head had what was new there? */
  get isOver(): boolean {
    return this.live.length === 0;
  }

  get isEmpty(): boolean {
    return this.live.length === 0 && this.behind.length === 0;
  }

  add(client: Client, isLive: boolean): void {
    if (client.isQueued) return;
    client.isQueued = true;
    (isLive ? this.live : this.behind).push(client);
  }

  async serveSlice(): Promise<void> {
    const sliceEnd = performance.now() + SLICE_MS;
    await this.serveSome(this.live, sliceEnd);
    await this.serveSome(this.behind, sliceEnd); // at least one, whatever the time: nobody starves
  }

  private async serveSome(queue: Client[], sliceEnd: number): Promise<void> {
    const atMost = queue.length; // who is put back waits for the next slice
    let served = 0;
    while (served < atMost && (served === 0 || performance.now() < sliceEnd)) {
      const client = queue[served]!;
      served += 1;
      client.isQueued = false;
      const waiting = this.hub.serve(client);
      if (waiting) await waiting;
      if (this.hub.isOwed(client)) this.add(client, queue === this.live);
    }
    queue.splice(0, served);
  }
}
