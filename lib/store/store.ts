// What a store promises, in words; `sqlite-store.ts` and `postgres-store.ts` keep it. A store holds the customers and the
// event log. Every write and its event commit in one transaction: triggers in the database write the
// event, so no code of ours can forget it.
import type { CustomerFields } from '../customer.ts';
import type { EtagList } from '../etag.ts';
import type { NewEvent, StoredEvent } from '../event.ts';
import { Problem } from '../problem.ts';

/** Where a log stands: `head` is its newest seq, and up to `pruned` its events are no longer kept. */
export type Position = { head: number; pruned: number };

/** Events of the log, the seq up to which was read, and the position in the same transaction. */
export type Stretch = Position & { events: StoredEvent[]; upTo: number };

/** A caller's key for a POST, and a hash of what was asked: path and body. */
export type Idempotency = { key: string; request: string };

/** What a POST made, as JSON text; a replay is the stored answer to an earlier request. */
export type Created = { json: string; isReplay: boolean };

/** JSON texts of the customers, and the seq at which they are true: a snapshot. */
export type CustomerPage = { customers: string[]; hasMore: boolean; lastId: number; head: number };

/**
 * Writes resolve when they are durable: on disk, safe from a power cut. They reject with a
 * {@link Problem} 503 when the database is full, locked or gone; then nothing was written.
 */
export interface Store {
  /** The log's random name: the first half of every event id. */
  readonly log: string;
  /** For people: which database this is. */
  readonly description: string;
  /** False where another program's table has the name `customers`: then `/api/customers` is off. */
  readonly hasCustomers: boolean;
  /** Transactions committed by this server since it started. */
  readonly commits: () => number;

  createCustomer(fields: CustomerFields, idempotency?: Idempotency): Promise<Created>;
  /** Undefined if there is none; @throws {Problem} 412 if `ifMatch` doesn't hold, checked in the transaction */
  updateCustomer(
    id: number,
    fields: Partial<CustomerFields>,
    ifMatch?: EtagList,
  ): Promise<string | undefined>;
  /** False if there is none; @throws {Problem} 412 as above */
  deleteCustomer(id: number, ifMatch?: EtagList): Promise<boolean>;
  /** Resolves to the CloudEvent. */
  publish(event: NewEvent, idempotency?: Idempotency): Promise<Created>;

  getCustomer(id: number): Promise<string | undefined>;
  /** Ascending id, after `after`; rows and head from one transaction. */
  listCustomers(after: number, limit: number): Promise<CustomerPage>;

  position(): Promise<Position>;
  /** Events after `after` up to `upTo`, in order; fewer than `limit` if they exceed `maxBytes`, at least one. */
  readEvents(after: number, upTo: number, limit: number, maxBytes: number): Promise<Stretch>;

  /** Calls back after every commit, by this server or by any other program. It only wakes: read the log. */
  onCommit(wake: () => void): void;
  /** Waits for the writes under way, then closes. */
  close(): Promise<void>;
}

/** 422 to a key that was used for another path or body. */
export function keyTaken(): Problem {
  return new Problem(
    422,
    'This Idempotency-Key was used for another request: give each request its own key.',
  );
}

/** 412 to an `If-Match` that doesn't hold. */
export function preconditionFailed(exists: boolean): Problem {
  const reason = exists ? 'The customer was changed meanwhile' : 'There is no such customer';
  return new Problem(412, `${reason}: read it again, then decide.`);
}
