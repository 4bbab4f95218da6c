// Reads of SQLite, on the event loop, over a connection that only reads. In WAL mode it waits for nobody, and what it
// sees is on the disk: a commit becomes visible after its sync. What is read together is read within `snapshot`: all of
// it is true at one moment.
import type Database from 'better-sqlite3';
import {
  type Cursor,
  judgeCursor,
  onOneLine,
  type Position,
  type ResetReason,
  type StoredEvent,
} from '../event.ts';
import { openDatabase, type Transaction, transactionOf } from './sqlite.ts';
import { SqliteRows } from './sqlite-rows.ts';
import { readSteps } from './sqlite-steps.ts';
import type { RowPage, Stretch, Verdicts } from './store.ts';

// Every query goes by a primary key and has a limit, so its cost is that of its answer, however long the log is.
const POSITION = `SELECT seq, stamp, pruned, pruned_stamp AS prunedStamp FROM changebell_log
  LEFT JOIN (SELECT seq, stamp FROM changebell_events ORDER BY seq DESC LIMIT 1)`;
// No index is kept of times, since every write would pay for it.
const PLACE = 'SELECT seq, stamp, time FROM changebell_events WHERE seq = ?';
const EVENTS = `SELECT seq, stamp, type, source, time, data, extensions FROM changebell_events
  WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`;
const CUSTOMER = 'SELECT json FROM changebell_customers WHERE id = ?';
const CUSTOMERS = 'SELECT id, json FROM changebell_customers WHERE id > ? ORDER BY id LIMIT ?';

/** Where the log stands: one statement, since it is asked at every commit. */
export function readPosition(db: Database.Database): Position {
  type Row = { pruned: number; prunedStamp: string } & (Cursor | { seq: null });
  const row = db.prepare<[], Row>(POSITION).get()!;
  const pruned = { seq: row.pruned, stamp: row.prunedStamp };
  // Somebody may have deleted the newest events: their numbers are used up all the same.
  const isKept = row.seq !== null && row.seq > row.pruned;
  return { head: isKept ? { seq: row.seq, stamp: row.stamp } : pruned, pruned };
}

export class SqliteReader {
  private readonly db: Database.Database;
  /**
   * Several reads that see the database at one moment: that of the first of them. It is over at once, since a transaction
   * that stays open would keep the -wal from being written back, and let it grow.
   */
  readonly snapshot: Transaction;
  private readonly watch: ReadonlySet<string>;
  /** Of watched tables. */
  private readonly rows: SqliteRows;

  /**
   * @param watch the tables, by the names that they were created with
   * @throws {SqliteError} if the file is gone
   */
  constructor(path: string, watch: ReadonlySet<string>) {
    // It must not make an empty database where the file is gone, nor wait: this is the event loop.
    this.db = openDatabase(path, { fileMustExist: true, timeout: 0 });
    // Not opened read-only: in WAL mode a reader writes its mark into the -shm file.
    this.db.pragma('query_only = ON');
    this.snapshot = transactionOf(this.db);
    this.watch = watch;
    this.rows = new SqliteRows(this.db, watch);
  }

  /** Before the thread closes its connection: the last one writes the -wal back, and that may take long. */
  close(): void {
    this.db.close();
  }

  /** It is another number after another connection has committed, that of our own writing thread included. */
  dataVersion(): unknown {
    return this.db.pragma('data_version', { simple: true });
  }

  /** A row as JSON; a customer from the view that its events are made of as well. Undefined if there is none of this key. */
  row(table: string, key: string): string | undefined {
    if (!this.isOurs(table)) return this.rows.row(table, key);
    return this.db.prepare<[string], string>(CUSTOMER).pluck().get(key);
  }

  /** The head is read in the transaction of the rows: a stream resumed from it continues this very page. */
  page(table: string, after: string | undefined, limit: number): RowPage | undefined {
    const page = this.isOurs(table) ? this.customers(after, limit) : this.rows.page(table, after, limit);
    return page && { ...page, head: readPosition(this.db).head };
  }

  /** Ascending by id. One row more than asked for is read, so that `hasMore` costs no second query. */
  private customers(after = '0', limit: number): Omit<RowPage, 'head'> {
    type Row = { id: number; json: string };
    const found = this.db.prepare<[string, number], Row>(CUSTOMERS).all(after, limit + 1);
    const page = found.slice(0, limit);
    const keys = page.map(({ id }) => `${id}`);
    return { rows: page.map(({ json }) => json), keys, hasMore: found.length > limit, last: keys.at(-1) };
  }

  /** Another program's table of this name is one that is watched. */
  private isOurs(table: string): boolean {
    return table === 'customers' && !this.watch.has(table);
  }

  /** Where the log stands, and why it can't be read on from each of these cursors. */
  position(cursors: readonly Cursor[] = []): Verdicts {
    const position = readPosition(this.db);
    return { ...position, resets: cursors.map((cursor) => this.judge(cursor, position)) };
  }

  /** The log is in order of time, but where a clock was set back: halving it finds the place near enough. */
  findTime(time: string): Cursor {
    const { head, pruned } = readPosition(this.db);
    let before = pruned; // what stands here is from before the time, or no longer kept
    for (let after = head.seq + 1; after - before.seq > 1; ) {
      const middle = Math.floor((before.seq + after) / 2);
      const found = this.placeOf(middle);
      if (found && found.time < time) before = { seq: found.seq, stamp: found.stamp };
      else after = middle;
    }
    return before;
  }

  /** Why a stream can't go on from this cursor; undefined if it can. */
  private judge(cursor: Cursor, position: Position): ResetReason | undefined {
    return judgeCursor(cursor, position, this.placeOf(cursor.seq)?.stamp);
  }

  private placeOf(seq: number): (Cursor & { time: string }) | undefined {
    return this.db.prepare<[number], Cursor & { time: string }>(PLACE).get(seq);
  }

  /**
   * Events after a cursor, up to a seq, and how far that was. Judged and read at one moment: retention can't prune
   * between the two. Without events the cursor itself is the end.
   */
  stretch(after: Cursor, upTo: number, limit: number, maxBytes: number): Stretch {
    const position = readPosition(this.db);
    const reset = this.judge(after, position);
    if (reset) return { ...position, events: [], end: after, reset };
    const step = this.db.prepare<[number, number, number], StoredEvent>(EVENTS);
    const read = (many: number, before: StoredEvent[]) =>
      step.all(before.at(-1)?.seq ?? after.seq, upTo, many);
    const events = readSteps(limit, maxBytes, read, bytesOf).rows.map(onOneLine);
    const last = events.at(-1);
    return { ...position, events, end: last ? { seq: last.seq, stamp: last.stamp } : after };
  }
}

/** Nearly all that an event weighs. */
function bytesOf({ source, data, extensions }: StoredEvent): number {
  return source.length + Buffer.byteLength(data) + Buffer.byteLength(extensions ?? '');
}
