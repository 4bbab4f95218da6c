// Reads of SQLite, on the event loop, over a connection that only reads. In WAL mode it waits for nobody, and what it
// sees is on the disk: a commit becomes visible after its sync.
import type Database from 'better-sqlite3';
import {
  type Cursor,
  judgeCursor,
  onOneLine,
  type Position,
  type ResetReason,
  type StoredEvent,
} from '../event.ts';
import { openDatabase } from './sqlite.ts';
import { SqliteRows } from './sqlite-rows.ts';
import { prepareReading } from './sqlite-statements.ts';
import type { CustomerPage, RowPage, Stretch } from './store.ts';

const READ_STEP = 32; // events read at once: a few large ones may be all that is wanted

export class SqliteReader {
  private readonly db: Database.Database;
  private readonly sql: ReturnType<typeof prepareReading>;
  private readonly rows: SqliteRows;

  constructor(path: string, hasCustomers: boolean, watch: ReadonlySet<string>) {
    this.db = openDatabase(path, { fileMustExist: true, timeout: 0 });
    this.db.pragma('query_only = ON');
    this.sql = prepareReading(this.db, hasCustomers);
    this.rows = new SqliteRows(this.db, watch);
  }

  close(): void {
    this.db.close();
  }

  /** It is another number after another connection has committed. */
  dataVersion(): unknown {
    return this.sql.dataVersion.get();
  }

  /** Several reads that see the database at one moment. */
  snapshot<T>(read: () => T): T {
    this.sql.begin.run();
    try {
      return read();
    } finally {
      if (this.db.inTransaction) this.sql.commit.run();
    }
  }

  customer(id: number): string | undefined {
    return this.sql.customer.get(id);
  }

  customers(after: number, limit: number): CustomerPage {
    const rows = this.sql.customers.all(after, limit + 1);
    const page = rows.slice(0, limit);
    const customers = page.map((row) => row.json);
    const lastId = page.at(-1)?.id ?? after;
    return { customers, hasMore: rows.length > limit, lastId, head: this.sql.head.get()! };
  }

  page(table: string, after: string | undefined, limit: number): RowPage | undefined {
    const page = this.rows.page(table, after, limit);
    return page && { ...page, head: this.sql.head.get()! };
  }

  row(table: string, key: string): string | undefined {
    return this.rows.row(table, key);
  }

  position(): Position {
    return { head: this.sql.head.get()!, pruned: this.sql.pruned.get()! };
  }

  /** The log is in order of time, but where a clock was set back: halving it finds the place near enough. */
  findTime(time: string): Cursor {
    const { head, pruned } = this.position();
    let before = pruned;
    for (let after = head.seq + 1; after - before.seq > 1; ) {
      const middle = Math.floor((before.seq + after) / 2);
      const found = this.sql.placeOf.get(middle);
      if (found && found.time < time) before = { seq: found.seq, stamp: found.stamp };
      else after = middle;
    }
    return before;
  }

  judge(cursor: Cursor, position: Position): ResetReason | undefined {
    const isPruned = cursor.seq === position.pruned.seq;
    return judgeCursor(cursor, position, isPruned ? position.pruned.stamp : this.sql.stamp.get(cursor.seq));
  }

  stretch(after: Cursor, upTo: number, limit: number, maxBytes: number): Stretch {
    const position = this.position();
    const reset = this.judge(after, position);
    if (reset) return { ...position, events: [], end: after, reset };
    const events = this.events(after.seq, upTo, limit, maxBytes);
    const last = events.at(-1);
    return { ...position, events, end: last ? { seq: last.seq, stamp: last.stamp } : after };
  }

  private events(after: number, upTo: number, limit: number, maxBytes: number): StoredEvent[] {
    const events: StoredEvent[] = [];
    let bytes = 0;
    for (;;) {
      const from = events.at(-1)?.seq ?? after;
      const rows = this.sql.events.all(from, upTo, Math.min(READ_STEP, limit - events.length));
      for (const row of rows) {
        bytes += Buffer.byteLength(row.data);
        if (bytes > maxBytes && events.length > 0) return events;
        events.push(onOneLine(row));
      }
      if (rows.length < READ_STEP || events.length === limit) return events;
    }
  }
}
