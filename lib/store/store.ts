// What a store promises, in words; `sqlite-store.ts` and `postgres-store.ts` keep it, and one suite of tests
// holds both to it. A store has the customers and the event log. Every change and its event commit in one
// transaction: triggers in the database write the event, so no code of ours can forget it.
import type { Preconditions } from '../etag.ts';
import type { Cursor, Position, ResetReason, StoredEvent } from '../event.ts';
import type { Idempotency } from '../idempotency.ts';
import type { NewEvent } from '../new-event.ts';
import { invalidFields, Problem, unavailable } from '../problem.ts';
import type { Fields } from '../resource.ts';

/**
 * A write as data, so that it can go to a thread or over the network to whoever makes it. Its preconditions must hold of
 * the row as it stands, and are judged inside the transaction.
 */
export type Order =
  | ({ op: 'create'; fields: Fields; idempotency?: Idempotency | undefined } & OfTable)
  | ({ op: 'update'; id: number; fields: Fields; preconditions?: Preconditions | undefined } & OfTable)
  | ({ op: 'delete'; id: number; preconditions?: Preconditions | undefined } & OfTable)
  /** All of a list is stored, or nothing; its answer is a list as well. */
  | { op: 'publish'; events: NewEvent[]; isList: boolean; idempotency?: Idempotency | undefined };

/** An order on which nothing hangs: no row and no key is looked for, and none is stored with its answer. */
export type PlainOrder = Extract<Order, { op: 'create' | 'publish' }>;

/** Whose row: that of a resource, and the customers' where nothing is said. */
type OfTable = { table?: string };

/** What came of an order. */
export type Outcome =
  /** `replayed`: the stored answer to an earlier request with this key. `json` is empty after a delete. */
  | { is: 'done' | 'replayed'; json: string; lastEventId: string }
  | { is: 'missing' }
  | { is: 'precondition failed'; exists: boolean }
  /** `place` in the list, where the key is that of an event in it. */
  | { is: 'key taken'; place?: number | undefined }
  /** A rule of the database, perhaps another program's, forbids this write and no other. */
  | { is: 'refused'; status: number; detail: string };

/** The answer to a write, as JSON text, and the id from which a reader sees what it changed. */
export type Answer = { json: string; lastEventId: string; isReplay: boolean };

/** Events after a cursor, where the log stood in the same transaction, and how far was read. */
export type Stretch = Position & {
  events: StoredEvent[];
  /** The last of `events`; the cursor itself if there are none. */
  end: Cursor;
  /** Why nothing was read: the cursor can't be continued. */
  reset?: ResetReason | undefined;
};

/** Where the log stands, and for each cursor that was asked about why it can't be continued; undefined where it can. */
export type Verdicts = Position & { resets: (ResetReason | undefined)[] };

/** Rows of a table as JSON, each as in its events, and the place in the log at which they are true: a snapshot. */
export type RowPage = {
  rows: string[];
  /** The key of each, as the source of its events ends: percent-encoded, with commas between its parts. */
  keys: string[];
  hasMore: boolean;
  /** Where to go on: opaque, and only for this table. Undefined where there are no rows. */
  last: string | undefined;
  head: Cursor;
};

/** Which database, and what of it is ours. */
export interface Store {
  /** For people: which database this is, without its password. */
  readonly description: string;
  /** False where `/api/customers` is off: another program's table has the name, or CUSTOMERS=0. */
  readonly hasCustomers: boolean;
  /** The tables of WATCH by the names that they were created with: so do their events name them. */
  readonly watch: ReadonlySet<string>;
  /** Transactions committed by this server since it started. */
  commits(): number;
  /** Bytes of the writes that wait for their commit, and how many there may be before the next is refused. */
  waiting(): { bytes: number; limit: number };

  /**
   * Resolves when the write is durable: on disk, safe from `kill -9` and from a power cut.
   * @throws {Problem} 404 no such customer, 409 a rule of the database, 412 a precondition, 422 the key was
   *   used for another request, 503 full, locked or gone: then nothing was written, or the words say that it
   *   can't be known
   */
  write(order: Order): Promise<Answer>;

  /**
   * The customers, or a watched table, by its name in `watch`, in the order of its primary key; undefined if it isn't
   * watched here. Rows and head are of one moment. Fewer rows than `limit` where they have more than 4 MiB, at least one.
   * @throws {Problem} 400 if `after` was never a `last`, or no key of these rows fits into a link
   */
  readRows(table: string, after: string | undefined, limit: number): Promise<RowPage | undefined>;
  /** One of its rows, by its key as in the source of its events. */
  readRow(table: string, key: string): Promise<string | undefined>;

  /** One look at one moment: the log can be pruned past a cursor between two. */
  position(cursors?: readonly Cursor[]): Promise<Verdicts>;
  /** The newest event from before this time (as events have it), or the newest that isn't kept: what follows is later. */
  findTime(time: string): Promise<Cursor>;
  /** Events after `after` up to `upTo`, in order; fewer than `limit` if they exceed `maxBytes`, at least one. */
  readEvents(after: Cursor, upTo: number, limit: number, maxBytes: number): Promise<Stretch>;

  /** Calls back after every commit, by this server or by any other program. It only wakes: read the log. */
  onCommit(wake: () => void): void;
  /** Events up to here were handed to the clients' hub: retention may take them, and none above. */
  announced(seq: number): void;
  /** @throws {Problem} 503 with one sentence, if the database doesn't answer or can't be written to */
  check(): Promise<void>;
  /** Waits for the writes under way, then closes. */
  close(): Promise<void>;
}

/** An outcome as its caller hears of it. @throws {Problem} as `Store.write` says */
export function toAnswer(outcome: Outcome, order: Order): Answer {
  switch (outcome.is) {
    case 'done':
    case 'replayed':
      return { json: outcome.json, lastEventId: outcome.lastEventId, isReplay: outcome.is === 'replayed' };
    case 'missing':
      throw new Problem(404, `There is nothing at /api/${pathOf(order)}.`);
    case 'precondition failed': {
      const { preconditions = {} } = order as { preconditions?: Preconditions }; // no other order fails by one
      const reason = unmet(`/api/${pathOf(order)}`, preconditions, outcome.exists);
      throw new Problem(412, `${reason}: read it again, then decide.`);
    }
    case 'key taken':
      throw keyTaken(outcome.place, order);
    case 'refused':
      throw outcome.status === 503
        ? unavailable(outcome.detail)
        : new Problem(outcome.status, outcome.detail);
  }
}

/** May it go together with others of its kind? */
export function isPlain(order: Order): order is PlainOrder {
  if (order.op !== 'create' && order.op !== 'publish') return false;
  if (order.idempotency !== undefined) return false;
  return order.op === 'create' || order.events.every((event) => event.idempotency === undefined);
}

function pathOf(order: Order): string {
  return 'id' in order ? `${order.table ?? 'customers'}/${order.id}` : 'events';
}

/** Engines say that a write was not allowed to happen, not by which of the two (RFC 9110 §13.1.1 and §13.1.2). */
function unmet(path: string, { ifMatch, ifNoneMatch }: Preconditions, exists: boolean): string {
  if (!exists) return `There is nothing at ${path}`;
  if (ifNoneMatch === undefined) return `What is at ${path} was changed meanwhile`;
  if (ifMatch === undefined) return `What is at ${path} is what If-None-Match says it must not be`;
  return `What is at ${path} is not what If-Match and If-None-Match ask for`;
}

function keyTaken(place: number | undefined, order: Order): Problem {
  if (place === undefined)
    return new Problem(
      422,
      'This Idempotency-Key was used for another request: give each request its own key.',
    );
  const detail =
    'has the source and id of an event that was published with other content: give it an id of its own';
  const isInList = order.op === 'publish' && order.isList;
  return invalidFields([{ pointer: isInList ? `#/${place}` : '#', detail }]);
}
