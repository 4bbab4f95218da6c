// What an event is: one committed fact in the log, a CloudEvent on the wire. Its id is `<stamp>-<seq>`: `seq`
// is its place in the log, `stamp` is random and belongs to this one event. So an id proves itself: whatever
// was restored, promoted or copied, a cursor is honoured only where the log still holds exactly that event.
import { Problem } from './problem.ts';

/** An event as the log holds it; `data` and `extensions` are JSON text, stored as they go over the wire. */
export type StoredEvent = {
  /** 1, 2, 3, …: in the order of commits, without gaps, never used twice in one history. */
  seq: number;
  /** Lower-case hex digits. */
  stamp: string;
  type: string;
  /** What it is about, as a URI reference: `/api/customers/17`. */
  source: string;
  /** When it was written: RFC 3339, UTC, milliseconds. Clocks go back, so nothing is ordered by it. */
  time: string;
  data: string;
  /** Further CloudEvents attributes, as a JSON object; null if there are none. */
  extensions: string | null;
};

/** A place in the log, proved by the stamp of the event that stands there. Never changed: many share one. */
export type Cursor = { readonly seq: number; readonly stamp: string };

/**
 * Where a log stands: its newest event, and the newest of those that are no longer kept. Both have stamps: a cursor at
 * the pruned one loses nothing, and must be told from one of another history.
 */
export type Position = { head: Cursor; pruned: Cursor };

/** Why a cursor can't be continued: of another history, older than what is kept, or beyond the newest event. */
export type ResetReason = 'unknown-log' | 'expired' | 'ahead';

/** The id of a place: what a client stores, and sends to go on from there. */
export function eventId({ stamp, seq }: Cursor): string {
  return `${stamp}-${seq}`;
}

/**
 * What a client sends to go on. That it looks like an id says nothing about whether the log holds it: that is judged
 * with the log at hand.
 * @throws {Problem} 400 if it was never an id of ours
 */
export function parseCursor(text: string | null | undefined): Cursor | undefined {
  if (text === null || text === undefined) return undefined;
  // Longer stamps than we make: those of older versions were as long, and their ids still are in clients' hands.
  const [, stamp, digits] = /^([0-9a-f]{6,64})-(0|[1-9]\d{0,15})$/.exec(text) ?? [];
  const seq = Number(digits);
  if (stamp === undefined || !Number.isSafeInteger(seq)) {
    throw new Problem(400, 'lastEventId must be the id of a frame or event that this server sent.');
  }
  return { stamp, seq };
}

/**
 * Can a reader go on from this cursor? Undefined if it can.
 * @param found the stamp of the event that the log holds at the cursor's place, if any; read in the transaction of `position`
 */
export function judgeCursor(
  { seq, stamp }: Cursor,
  { head, pruned }: Position,
  found: string | null | undefined,
): ResetReason | undefined {
  const stampThere = seq === pruned.seq ? pruned.stamp : found; // the newest that isn't kept has left its stamp
  // The order counts: where the log holds nothing at that place, there is no stamp to compare.
  if (seq < pruned.seq) return 'expired';
  if (seq > head.seq) return 'ahead';
  return stamp === stampThere ? undefined : 'unknown-log';
}

/**
 * The CloudEvent (version 1.0, JSON format), put together around the stored texts: nothing is parsed for it. Where a
 * sender gave the event a time of its own, that is the first of its extensions, and stands in for ours.
 */
export function toCloudEvent(event: StoredEvent): string {
  const extensions = event.extensions === null ? '' : `,${event.extensions.slice(1, -1)}`;
  const time = extensions.startsWith(',"time":') ? '' : `"time":"${event.time}",`;
  return (
    `{"specversion":"1.0","id":"${event.stamp}-${event.seq}","source":${JSON.stringify(event.source)},` +
    `"type":${JSON.stringify(event.type)},${time}"data":${event.data}${extensions}}`
  );
}

/** A line break in JSON from other programs can only be white space, and would end a line of an event stream. */
export function onOneLine(event: StoredEvent): StoredEvent {
  if (/[\r\n]/.test(event.data)) event.data = event.data.replace(/[\r\n]/g, ' ');
  return event;
}

// RFC 3339 §5.6. Date alone would take the 30th of February for the 2nd of March, and 24 o'clock for the next day's 0.
const TIME = /^(\d{4}-\d\d-\d\d)T((?!24)\d\d:\d\d:\d\d(?:\.\d{1,30})?)(?:Z|([+-]\d\d:\d\d))$/i;

/** A time as RFC 3339 writes it; undefined if there is no such moment. */
export function parseTime(text: string): Date | undefined {
  const [, day, time, offset = 'Z'] = TIME.exec(text) ?? [];
  // A leap second is one more 59th: the clocks of computers know no 60th.
  const date = new Date(`${day}T${time?.replace(/:60(?=\.|$)/, ':59')}${offset}`);
  const isDay = new Date(`${day}T00:00:00Z`).toJSON()?.startsWith(day!);
  return isDay && !Number.isNaN(date.getTime()) ? date : undefined;
}
