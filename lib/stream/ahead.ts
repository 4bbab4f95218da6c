// Streams that stand at an event which can't be read here yet: they heard of it from another server, and the replica
// that is read here has yet to get it. They wait. But it may never come, where the primary was lost and a copy without
// it took its place: then the log grows below them, and they would stay silent. So they are asked about, now and then.
import type { Cursor } from '../event.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';
import type { Client } from './client.ts';
import type { Head } from './head.ts';

export class Ahead {
  private readonly store: Pick<Store, 'position'>;
  private readonly head: Head;
  /** Each with the place at which it waits: once it has another one, that was read in the log. */
  private readonly waiting = new Map<Client, Cursor>();
  private isAsking = false;

  constructor(store: Pick<Store, 'position'>, head: Head) {
    this.store = store;
    this.head = head;
  }

  /** Looks after this client if its place is ahead of what was announced here. */
  note(client: Client): void {
    if (client.cursor.seq > this.head.cursor.seq) this.waiting.set(client, client.cursor);
  }

  /**
   * One read, outside of the turns: a primary that hangs must not hold up those who read from a replica that is well.
   * @returns those whose event is gone: each is due a reset
   */
  async check(): Promise<Client[]> {
    this.forget();
    if (this.isAsking || this.waiting.size === 0) return [];
    this.isAsking = true;
    const asked = [...this.waiting];
    const found = await this.ask(asked.map(([, cursor]) => cursor));
    this.isAsking = false;
    return asked
      .filter(([client, cursor], i) => {
        const reset = found?.resets[i];
        if (found && !reset && cursor.seq <= found.head.seq) this.waiting.delete(client); // it is there now
        if (!reset || client.cursor !== cursor) return false;
        client.dueReset = reset;
        return true;
      })
      .map(([client]) => client);
  }

  /** Whoever left, or has been passed: the next chunk was read from its own event, so that one was there. */
  private forget(): void {
    for (const [client, cursor] of this.waiting)
      if (!client.stream.isOpen() || client.cursor !== cursor) this.waiting.delete(client);
  }

  private async ask(cursors: Cursor[]): Promise<Awaited<ReturnType<Store['position']>> | undefined> {
    try {
      return await this.store.position(cursors);
    } catch (error) {
      if (!(error instanceof Problem)) console.error(error); // our bug, and not the database's fault
      return undefined; // away for the moment: asked again
    }
  }
}
