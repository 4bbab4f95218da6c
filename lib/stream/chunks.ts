// Stretches of the log, read once and encoded once for everyone who stands at their beginning. After a restart
// thousands of clients ask for the same stretch from cursors that differ a little: chunks end at multiples of 256
// positions, so cursors meet after the first one, and from there on share every chunk. The log only grows at its
// end, so any stretch of it stays right for as long as it is kept here; another history begins with `clear`.
import { type Cursor, eventId, type ResetReason, type StoredEvent, toCloudEvent } from '../event.ts';
import type { Filter } from '../filter.ts';
import type { Store } from '../store/store.ts';
import type { Encoded, Transport } from './frames.ts';

const CHUNK_EVENTS = 256; // few enough for one slice of work, enough to make a system call worth while
const CHUNK_BYTES = 128 * 1024; // of texts; what one client has in flight while it catches up
const EVENT_OVERHEAD_BYTES = 200; // an object, and the envelope around the data

/** Of everything that is kept here: texts, frames, and the frames of each filter. */
export const MAX_CACHE_BYTES = 16 * 1024 * 1024;
/** Of one chunk's filtered frames: ten thousand clients may have ten thousand filters. */
const MAX_FILTERED_BYTES = 2 * 1024 * 1024;
const ENTRY_BYTES = 300; // what a filter's entry costs though nothing passes it

/** What decides which bytes a client gets: those with an equal key get the same. */
export type Kind = {
  readonly key: string;
  readonly transport: Transport;
  readonly filter: Filter;
  /** Of several events of one source only the newest. */
  readonly isConflated: boolean;
};

export function kindOf(transport: Transport, filter: Filter, isConflated: boolean): Kind {
  return { key: `${transport.name} ${isConflated} ${filter.key}`, transport, filter, isConflated };
}

/**
 * The events after `start` up to `end`, as bytes for each transport and filter that asked for them. One that ended
 * at the head is thrown away when the log grows: else a client that resumes there would get it in small pieces.
 */
export type Chunk = {
  readonly start: Cursor;
  readonly end: Cursor;
  readonly endsBelowHead: boolean;
  readonly events: StoredEvent[];
  /** All events, by transport. */
  readonly encoded: Map<Transport, Encoded>;
  /** Those that a kind of client gets, by its key, and what that takes. */
  readonly filtered: Map<string, Buffer>;
  filteredBytes: number;
  /** What all of it takes. */
  size: number;
};

export class Chunks {
  private readonly store: Pick<Store, 'readEvents'>;
  /** By the seq that they follow, oldest first. */
  private readonly chunks = new Map<number, Chunk>();
  /** The seqs before the chunks that end at the head, and where that head is. */
  private tails: number[] = [];
  private tailsEnd = 0;
  /** What is kept, in bytes: to be read by others, and changed here alone. */
  bytes = 0;

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
    // A live client is never made to wait for a border: what is new goes out at once, in one write.
    const isNearHead = head.seq - start.seq <= CHUNK_EVENTS; // then one write for it all
    const limit = isNearHead ? CHUNK_EVENTS : boundary - start.seq;
    const { events, end, reset } = await this.store.readEvents(start, head.seq, limit, CHUNK_BYTES);
    if (reset) return reset;
    const size = events.reduce((sum, event) => sum + textBytes(event), 0);
    const endsBelowHead = end.seq < head.seq;
    const maps = { encoded: new Map(), filtered: new Map(), filteredBytes: 0 };
    const chunk: Chunk = { start, end, endsBelowHead, events, size, ...maps };
    this.keep(chunk, head);
    return chunk;
  }

  /** The bytes of a chunk for clients of this kind: the events that their filter lets through. */
  encode(chunk: Chunk, kind: Kind): Buffer {
    const known = chunk.filtered.get(kind.key);
    if (known) return known;
    // Encoded whole, then picked from: a thousand filters over one chunk cost one encoding, and copies.
    const all = this.encodeAll(chunk, kind.transport);
    const bytes = pick(all, wanted(chunk.events, kind));
    const cost = ENTRY_BYTES + (bytes === all.bytes ? 0 : bytes.length);
    if (chunk.filteredBytes + cost > MAX_FILTERED_BYTES) this.forgetFiltered(chunk);
    chunk.filtered.set(kind.key, bytes);
    chunk.filteredBytes += cost;
    this.grow(chunk, cost);
    return bytes;
  }

  /** For one client alone: nothing is kept of it. */
  encodeSome(chunk: Chunk, transport: Transport, isWanted: (event: StoredEvent) => boolean): Buffer {
    return pick(this.encodeAll(chunk, transport), chunk.events.map(isWanted));
  }

  /** Another history: nothing that was read before is true any more. */
  clear(): void {
    this.chunks.clear();
    this.tails = [];
    this.bytes = 0;
  }

  /** Once for all filters: what a filter lets through is copied from here. */
  private encodeAll(chunk: Chunk, transport: Transport): Encoded {
    const known = chunk.encoded.get(transport);
    if (known) return known;
    const texts = chunk.events.map((event) => ({ id: eventId(event), json: toCloudEvent(event) }));
    const encoded = transport.encode(texts);
    chunk.encoded.set(transport, encoded);
    this.grow(chunk, encoded.bytes.length);
    return encoded;
  }

  /** At its place one may stand that ended at an older head, or is of another history: it goes. */
  private keep(chunk: Chunk, head: Cursor): void {
    if (this.tailsEnd !== head.seq) this.dropTails(head.seq);
    if (!chunk.endsBelowHead) this.tails.push(chunk.start.seq);
    this.drop(chunk.start.seq);
    this.chunks.set(chunk.start.seq, chunk);
    this.bytes += chunk.size;
    this.makeRoom();
  }

  /** A chunk that was dropped meanwhile is somebody's last look at it, and counts no longer. */
  private grow(chunk: Chunk, bytes: number): void {
    if (this.chunks.get(chunk.start.seq) !== chunk) return;
    chunk.size += bytes;
    this.bytes += bytes;
    this.makeRoom();
  }

  /** One chunk may be larger than all the room: it is what is wanted now. */
  private makeRoom(): void {
    while (this.bytes > MAX_CACHE_BYTES && this.chunks.size > 1) {
      this.drop(this.chunks.keys().next().value!);
    }
  }

  /** Whoever needs them again has them picked again. */
  private forgetFiltered(chunk: Chunk): void {
    this.grow(chunk, -chunk.filteredBytes);
    chunk.filtered.clear();
    chunk.filteredBytes = 0;
  }

  /** The head has moved: nobody will ask for those again. */
  private dropTails(head: number): void {
    for (const seq of this.tails) this.drop(seq);
    this.tails = [];
    this.tailsEnd = head;
  }

  /** Whoever holds the chunk just now goes on with it: only the memory of it is gone. */
  private drop(seq: number): void {
    this.bytes -= this.chunks.get(seq)?.size ?? 0;
    this.chunks.delete(seq);
  }
}

/** What an event takes, near enough. */
export function textBytes({ data, extensions }: StoredEvent): number {
  return data.length + (extensions?.length ?? 0) + EVENT_OVERHEAD_BYTES;
}

/** Which of the events this kind of client gets. */
function wanted(events: readonly StoredEvent[], { filter, isConflated }: Kind): boolean[] {
  const isWanted = events.map((event) => filter.matches(event));
  if (!isConflated) return isWanted;
  const newest = new Map<string, StoredEvent>();
  events.forEach((event, i) => {
    if (isWanted[i]) newest.set(event.source, event);
  });
  return events.map((event) => newest.get(event.source) === event);
}

/** The bytes of these events alone. Nothing is copied where all are wanted; a small part is, or it would keep the whole. */
function pick({ bytes, ends }: Encoded, isWanted: readonly boolean[]): Buffer {
  if (!isWanted.includes(false)) return bytes;
  const runs: Buffer[] = []; // of events that stand side by side
  for (let i = 0; i < ends.length; i += 1) {
    if (!isWanted[i]) continue;
    const start = ends[i - 1] ?? 0;
    while (isWanted[i + 1]) i += 1;
    runs.push(bytes.subarray(start, ends[i]));
  }
  return Buffer.concat(runs);
}
