// One client's turn: what it is owed next, and how it gets that. A client below the head gets the next chunk of the
// log, whether it is live, was away, or was too slow; the frame is made before the cursor moves.
import type { Store } from '../store/store.ts';
import { type Chunk, Chunks } from './chunks.ts';
import type { Client } from './client.ts';
import { Conflation } from './conflation.ts';
import type { Head } from './head.ts';
import type { Heartbeats } from './heartbeats.ts';
import { locate, type Wish } from './start.ts';

export class Serving {
  /** Events that were handed to clients, over all clients. */
  deliveries = 0;
  readonly chunks: Chunks;
  private readonly store: Store;
  private readonly head: Head;
  private readonly heartbeats: Heartbeats;

  constructor(store: Store, head: Head, heartbeats: Heartbeats) {
    this.store = store;
    this.head = head;
    this.chunks = new Chunks(store);
    this.heartbeats = heartbeats;
  }

  /** Does it want another turn, and can it take one? */
  isOwed(client: Client): boolean {
    return client.isReady && !client.hasReached(this.head.cursor);
  }

  /** Hands a client what comes next for it. Returns a promise only if the log must be read first. */
  serve(client: Client): Promise<void> | undefined {
    if (!client.isReady) return undefined;
    const { head } = this;
    // It came while the database was away: until it is placed it has no cursor, and is owed nothing.
    if (client.wish) return head.isReadable ? this.place(client, client.wish) : undefined;
    // Before anything else: an event of the new history would be taken for one of the old. A reset leads to the newest
    // event: what was before it the client loads as a snapshot.
    if (client.dueReset)
      client.begin({ cursor: head.cursor, behind: 0, reset: client.dueReset }, this.heartbeats.seconds);
    if (client.readTo.seq < head.cursor.seq && head.isReadable) {
      // The common case by far: somebody else has read and encoded it, and nothing has to be waited for.
      const chunk = this.chunks.find(client.readTo, head.cursor);
      if (!chunk) return this.load(client);
      this.deliver(client, chunk);
    }
    this.heartbeats.sendIfDue(client); // it was due while there was no room
    return undefined;
  }

  /** The log could not be read when it came. */
  private async place(client: Client, wish: Wish): Promise<void> {
    const start = await this.head.read(locate(this.store, wish));
    if (start && client.isReady) client.begin(start, this.heartbeats.seconds);
  }

  /** What was read is delivered at once: until its next turn, a herd could have pushed it out of the cache. */
  private async load(client: Client): Promise<void> {
    const found = await this.head.read(this.chunks.load(client.readTo, this.head.cursor));
    if (found === undefined || !client.isReady) return; // it may have closed, or been muted, meanwhile
    if (typeof found === 'object') return this.deliver(client, found);
    client.dueReset = found; // said in its next turn, when the head is right again
    if (found !== 'expired') this.head.isStale = true; // then the head itself may be of a lost history
  }

  /** A frame that can't be made is our bug: it is logged whole, and ends this stream alone, its cursor unmoved. */
  private deliver(client: Client, chunk: Chunk): void {
    const { out } = client.stream;
    try {
      if (this.isLookedThrough(client, chunk)) return;
      client.deliver(this.encode(client, chunk), chunk.end);
      this.deliveries += chunk.events.length;
      // One that is behind has one chunk in flight: else the sockets of a herd would all drain at once, and delay the live.
      const isBehind = client.cursor.seq < this.head.cursor.seq;
      if (isBehind && out.writableLength > 0) client.waitForDrain();
    } catch (error) {
      console.error(error);
      out.destroy();
    }
  }

  /** One that conflates looks on to the head before it is handed a chunk: what waits there may replace what is in it. */
  private isLookedThrough(client: Client, chunk: Chunk): boolean {
    const { isConflated, filter } = client.stream.kind;
    const head = this.head.cursor;
    const isLast = chunk.end.seq >= head.seq;
    if (!isConflated || (isLast && !client.conflation)) return false; // live: it shares its frames with all of its kind
    client.conflation ??= new Conflation(client.cursor, head);
    const { conflation } = client;
    const isForHanding = conflation.isDone;
    if (chunk.end.seq > conflation.end.seq) conflation.look(chunk, filter); // or it has grown since it was looked through
    if (isForHanding) conflation.upTo = head; // before the next one it looks at what came meanwhile
    return !isForHanding;
  }

  private encode({ conflation, stream: { kind } }: Client, chunk: Chunk): Buffer {
    return conflation
      ? this.chunks.encodeSome(chunk, kind.transport, conflation.isNewest)
      : this.chunks.encode(chunk, kind);
  }
}
