// Stretches of the log, read once and encoded once for everyone who stands at their beginning. After a
// restart thousands of clients ask for the same stretch from cursors that differ a little: chunks end at
// multiples of 256 positions, so cursors meet after the first one, and from there on share every chunk.
// The log only grows at its end, so any stretch of it stays right for as long as it is kept here.
import { eventId, type StoredEvent, type TypeFilter, toCloudEvent } from '../event.ts';
import type { Store } from '../store/store.ts';
import type { Transport } from './frames.ts';

const CHUNK_EVENTS = 256;
const CHUNK_BYTES = 128 * 1024;
const MAX_CACHE_BYTES = 4 * 1024 * 1024; // of stored text; with the frames it is some three times as much
const EVENT_OVERHEAD_BYTES = 200; // an object, and the envelope around the data
const MAX_FILTERS = 64; // kept for each chunk: ten thousand clients may have ten thousand filters

/**
 * The events after a cursor up to `end`, as bytes for each transport and filter that asked for them. One that
 * ended at the head is thrown away when the log grows: else a client that resumes there would get it in small pieces.
 */
export type Chunk = {
  end: number;
  endsBelowHead: boolean;
  events: StoredEvent[];
  size: number;
  frames: Map<string, Buffer>;
};

/** What the bytes depend on; equal readers have an equal key. */
type Reader = { transport: Transport; types: TypeFilter };

export function createChunks(store: Store) {
  const chunks = new Map<number, Chunk>(); // by the cursor that they follow, oldest first
  let tails: number[] = []; // cursors of the chunks that end at the head
  let tailsEnd = 0;
  let cached = 0;

  function drop(cursor: number): void {
    cached -= chunks.get(cursor)?.size ?? 0;
    chunks.delete(cursor);
  }

  /** The head has moved: nobody will ask for those again. */
  function dropTails(head: number): void {
    for (const cursor of tails) drop(cursor);
    tails = [];
    tailsEnd = head;
  }

  return {
    /** The chunk after a cursor; undefined if it must be read first. */
    find(cursor: number, head: number): Chunk | undefined {
      const chunk = chunks.get(cursor);
      return chunk && (chunk.endsBelowHead || chunk.end === head) ? chunk : undefined;
    },

    /** Reads the chunk after a cursor; undefined if the log is no longer kept there. */
    async load(cursor: number, head: number): Promise<Chunk | undefined> {
      const boundary = (Math.floor(cursor / CHUNK_EVENTS) + 1) * CHUNK_EVENTS;
      const wanted = head - cursor <= CHUNK_EVENTS ? head : boundary; // near the head: one write for it all
      const { pruned, upTo, events } = await store.readEvents(cursor, wanted, CHUNK_EVENTS, CHUNK_BYTES);
      if (cursor < pruned) return undefined;
      const size = events.reduce((sum, event) => sum + event.data.length + EVENT_OVERHEAD_BYTES, 0);
      const chunk = { end: upTo, endsBelowHead: upTo < head, events, size, frames: new Map() };
      if (tailsEnd !== head) dropTails(head);
      if (!chunk.endsBelowHead) tails.push(cursor);
      drop(cursor);
      chunks.set(cursor, chunk);
      cached += size;
      while (cached > MAX_CACHE_BYTES && chunks.size > 1) drop(chunks.keys().next().value!);
      return chunk;
    },

    /** The bytes of a chunk for readers with this key: the events that their filter lets through. */
    encode(chunk: Chunk, { transport, types }: Reader, key: string): Buffer {
      const known = chunk.frames.get(key);
      if (known) return known;
      const wanted = chunk.events.filter((event) => types.matches(event.type));
      const items = wanted.map((event) => ({
        id: eventId(store.log, event.seq),
        json: toCloudEvent(store.log, event),
      }));
      const bytes = transport.encode(items);
      chunk.frames.set(key, bytes);
      if (chunk.frames.size > MAX_FILTERS) chunk.frames.delete(chunk.frames.keys().next().value!);
      return bytes;
    },
  };
}
