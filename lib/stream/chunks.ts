// Stretches of the log, read once and encoded once for everyone who stands at their beginning. After a restart
// thousands of clients ask for the same stretch from cursors that differ a little: chunks end at multiples of 256
// positions, so cursors meet after the first one, and from there on share every chunk. The log only grows at its
// end, so any stretch of it stays right for as long as it is kept here; another history begins with `clear`.
import { type Cursor, eventId, type ResetReason, type StoredEvent, toCloudEvent } from '../event.ts';
import type { Store } from '../store/store.ts';
import type { Client } from './client.ts';

const CHUNK_EVENTS = 256;
const CHUNK_BYTES = 128 * 1024;
const MAX_CACHE_BYTES = 4 * 1024 * 1024; // of stored text; with the frames it is some three times as much
const EVENT_OVERHEAD_BYTES = 200; // an object, and the envelope around the data
const MAX_FILTERS = 64; // kept for each chunk: ten thousand clients may have ten thousand filters

/**
 * The events after `start` up to `end`, as bytes for each transport and filter that asked for them. One that ended
 * at the head is thrown away when the log grows: else a client that resumes there would get it in small pieces.
 */
export type Chunk = {
  start: Cursor;
  end: Cursor;
  endsBelowHead: boolean;
  events: StoredEvent[];
  size: number;
  frames: Map<string, Buffer>;
};

export class Chunks {
  private readonly store: Pick<Store, 'readEvents'>;
  /** By the seq that they follow, oldest first. */
  private readonly chunks = new Map<number, Chunk>();
  /** The seqs before the chunks that end at the head, and where that head is. */
  private tails: number[] = [];
  private tailsEnd = 0;
  private cachedBytes = 0;

  constructor(store: Pick<Store, 'readEvents'>) {
    this.store = store;
  }

  /** The chunk after a cursor; undefined if it must be read first. */
  find(cursor: Cursor, head: Cursor): Chunk | undefined {
    const chunk = this.chunks.get(cursor.seq);
    if (!chunk || chunk.start.stamp !== cursor.stamp) return undefined;
    return chunk.endsBelowHead || chunk.end.seq === head.seq ? chunk : undefined;
  }

  /** Reads the chunk after a cursor; or says why the log can't be continued there. @throws {Problem} 503 */
  async load(start: Cursor, head: Cursor): Promise<Chunk | ResetReason> {
    const boundary = (Math.floor(start.seq / CHUNK_EVENTS) + 1) * CHUNK_EVENTS;
    const isNearHead = head.seq - start.seq <= CHUNK_EVENTS; // then one write for it all
    const limit = isNearHead ? CHUNK_EVENTS : boundary - start.seq;
    const { events, end, reset } = await this.store.readEvents(start, head.seq, limit, CHUNK_BYTES);
    if (reset) return reset;
    const size = events.reduce((sum, event) => sum + event.data.length + EVENT_OVERHEAD_BYTES, 0);
    const chunk = { start, end, endsBelowHead: end.seq < head.seq, events, size, frames: new Map() };
    this.keep(chunk, head);
    return chunk;
  }

  /** The bytes of a chunk for clients of this kind: the events that their filter lets through. */
  encode(chunk: Chunk, { frameKey, stream: { transport, filter } }: Client): Buffer {
    const known = chunk.frames.get(frameKey);
    if (known) return known;
    const wanted = chunk.events.filter((event) => filter.matches(event));
    const bytes = transport.encode(
      wanted.map((event) => ({ id: eventId(event), json: toCloudEvent(event) })),
    );
    chunk.frames.set(frameKey, bytes);
    if (chunk.frames.size > MAX_FILTERS) chunk.frames.delete(chunk.frames.keys().next().value!);
    return bytes;
  }

  /** Another history: nothing that was read before is true any more. */
  clear(): void {
    this.chunks.clear();
    this.tails = [];
    this.cachedBytes = 0;
  }

  private keep(chunk: Chunk, head: Cursor): void {
    if (this.tailsEnd !== head.seq) this.dropTails(head.seq);
    if (!chunk.endsBelowHead) this.tails.push(chunk.start.seq);
    this.drop(chunk.start.seq);
    this.chunks.set(chunk.start.seq, chunk);
    this.cachedBytes += chunk.size;
    while (this.cachedBytes > MAX_CACHE_BYTES && this.chunks.size > 1) {
      this.drop(this.chunks.keys().next().value!);
    }
  }

  /** The head has moved: nobody will ask for those again. */
  private dropTails(head: number): void {
    for (const seq of this.tails) this.drop(seq);
    this.tails = [];
    this.tailsEnd = head;
  }

  private drop(seq: number): void {
    this.cachedBytes -= this.chunks.get(seq)?.size ?? 0;
    this.chunks.delete(seq);
  }
}
