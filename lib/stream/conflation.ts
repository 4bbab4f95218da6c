// `?conflate=source`: a client that is behind gets of each source only the newest event. It reads the same chunks as
// everyone, and keeps back what may yet be overtaken until it stands at the head, or has too much in its hands.
import type { Cursor, StoredEvent } from '../event.ts';
import type { Filter } from '../filter.ts';
import { type Chunk, textBytes, toItems } from './chunks.ts';
import type { Transport } from './frames.ts';

const MAX_BYTES = 128 * 1024; // of texts that one client may keep back
const MAX_EVENTS = 1000; // then it is handed on, and what comes later replaces nothing of it

/** What one client has read and not yet handed on; thrown away with each delivery. */
export class Conflation {
  /** How far was read. The client hears of it only with the events: its cursor stays where it is. */
  end: Cursor;
  /** The newest event of each source, in the order of the log. */
  private readonly newest = new Map<string, StoredEvent>();
  /** Of the texts in `newest`, near enough. */
  private bytes = 0;

  constructor(start: Cursor) {
    this.end = start;
  }

  /** A bound on memory: a client that is a million events behind must not hold a million of them here. */
  get isFull(): boolean {
    return this.newest.size >= MAX_EVENTS || this.bytes >= MAX_BYTES;
  }

  /** Also where the filter hides all of it: the client has passed it. */
  add({ events, end }: Chunk, filter: Filter): void {
    for (const event of events) if (filter.matches(event)) this.replace(event);
    this.end = end;
  }

  encode(transport: Transport): Buffer {
    return transport.encode(toItems([...this.newest.values()])).bytes;
  }

  /** Deleted first: a Map keeps the place of a key that is set again, and the order is the log's. */
  private replace(event: StoredEvent): void {
    const before = this.newest.get(event.source);
    if (before) this.bytes -= textBytes(before);
    this.newest.delete(event.source);
    this.newest.set(event.source, event);
    this.bytes += textBytes(event);
  }
}
