// `?conflate=source`: a client that is behind gets of each source only the newest event. It looks through the same
// chunks as everyone, up to the head, and notes which event is the newest of its source; then it is handed those.
import type { Cursor, StoredEvent } from '../event.ts';
import type { Filter } from '../filter.ts';
import type { Chunk } from './chunks.ts';

const MAX_SOURCES = 5000; // then what was found is handed on, and what comes later replaces nothing of it

/** What one client knows of the events that wait for it: no texts, so a thousand large ones cost it nothing. */
export class Conflation {
  /** How far was looked. The client hears of it only with the events: its cursor stays where it is. */
  end: Cursor;
  /** How far it must look before it is handed anything: the head of then, since that of now may move at every turn. */
  upTo: Cursor;
  /** The seq of each source's newest event. */
  private readonly newest = new Map<string, number>();

  constructor(start: Cursor, upTo: Cursor) {
    this.end = start;
    this.upTo = upTo;
  }

  /** Has it looked far enough to be handed something? */
  get isDone(): boolean {
    return this.end.seq >= this.upTo.seq || this.newest.size >= MAX_SOURCES;
  }

  look({ events, end }: Chunk, filter: Filter): void {
    for (const event of events) if (filter.matches(event)) this.newest.set(event.source, event.seq);
    this.end = end;
  }

  /** An event that the filter hides is nobody's newest. */
  isNewest = (event: StoredEvent): boolean => this.newest.get(event.source) === event.seq;
}
