// The store on SQLite. Writes go through a group commit to the one who writes; reads are made here, on a
// connection of their own that only reads. In WAL mode it waits for nobody.
import type Database from 'better-sqlite3';
import type { Config } from '../config.ts';
import {
  type Cursor,
  judgeCursor,
  onOneLine,
  type Position,
  type ResetReason,
  type StoredEvent,
} from '../event.ts';
import { Commits } from './commits.ts';
import { GroupCommit } from './group-commit.ts';
import { toProblem } from './sqlite.ts';
import { hasOurCustomers, openSqliteFile } from './sqlite-file.ts';
import { prepareReading } from './sqlite-statements.ts';
import { SqliteWriter } from './sqlite-writer.ts';
import type { Answer, CustomerPage, Order, Store, Stretch } from './store.ts';

const POLL_MS = 100;
const READ_STEP = 32; // events read at once: a few large ones may be all that is wanted

/** @throws {StartError} if the file can't be opened or isn't ours to write to */
export function openSqliteStore(config: Pick<Config, 'databaseUrl' | 'eventRetention' | 'watch'>): Store {
  return new SqliteStore(config);
}

class SqliteStore implements Store {
  readonly description: string;
  readonly hasCustomers: boolean;
  private readonly db: Database.Database;
  private readonly sql: ReturnType<typeof prepareReading>;
  private readonly shared = new Commits();
  private readonly group: GroupCommit;
  private readonly poll: NodeJS.Timeout;
  /** What `PRAGMA data_version` said last: it changes when another connection commits. */
  private seenVersion: unknown;

  constructor({
    databaseUrl: path,
    eventRetention,
    watch,
  }: Pick<Config, 'databaseUrl' | 'eventRetention' | 'watch'>) {
    this.description =
      path === ':memory:' ? 'SQLite in memory (gone when the program ends)' : `SQLite file ${path}`;
    this.db = openSqliteFile(path, watch);
    this.hasCustomers = hasOurCustomers(this.db);
    this.sql = prepareReading(this.db, this.hasCustomers);
    const writer = new SqliteWriter(this.db, path, {
      hasCustomers: this.hasCustomers,
      retention: eventRetention,
    });
    this.group = new GroupCommit(async (orders) => {
      const results = writer.commit(orders, this.shared.announced);
      if (results.some((result) => result.is !== 'locked')) this.shared.committed();
      return results;
    });
    this.seenVersion = this.sql.dataVersion.get();
    this.poll = setInterval(() => this.lookForOthers(), POLL_MS);
  }

  commits(): number {
    return this.shared.count;
  }

  write(order: Order): Promise<Answer> {
    return this.group.write(order);
  }

  async getCustomer(id: number): Promise<string | undefined> {
    return this.snapshot(() => this.sql.customer.get(id));
  }

  async listCustomers(after: number, limit: number): Promise<CustomerPage> {
    return this.snapshot(() => {
      const rows = this.sql.customers.all(after, limit + 1);
      const page = rows.slice(0, limit);
      const customers = page.map((row) => row.json);
      const lastId = page.at(-1)?.id ?? after;
      return { customers, hasMore: rows.length > limit, lastId, head: this.sql.head.get()! };
    });
  }

  async position(
    cursors: readonly Cursor[] = [],
  ): Promise<Position & { resets: (ResetReason | undefined)[] }> {
    return this.snapshot(() => {
      const position = this.readPosition();
      return { ...position, resets: cursors.map((cursor) => this.judge(cursor, position)) };
    });
  }

  /** The log is in order of time, but for what others wrote or a clock that was set back: halves tell near enough. */
  async findTime(time: string): Promise<Cursor> {
    return this.snapshot(() => {
      const { head, pruned } = this.readPosition();
      let before = pruned;
      for (let after = head.seq + 1; after - before.seq > 1; ) {
        const middle = this.sql.placeOf.get(Math.floor((before.seq + after) / 2));
        if (middle && middle.seq > before.seq && middle.time < time) before = middle;
        else after = Math.floor((before.seq + after) / 2);
      }
      return { seq: before.seq, stamp: before.stamp };
    });
  }

  async readEvents(after: Cursor, upTo: number, limit: number, maxBytes: number): Promise<Stretch> {
    return this.snapshot(() => {
      const position = this.readPosition();
      const reset = this.judge(after, position);
      if (reset) return { ...position, events: [], end: after, reset };
      const events = this.readStretch(after.seq, upTo, limit, maxBytes);
      return { ...position, events, end: endOf(events, after) };
    });
  }

  onCommit(wake: () => void): void {
    this.shared.onCommit(wake);
  }

  announced(seq: number): void {
    this.shared.markAnnounced(seq);
  }

  async check(): Promise<void> {
    await this.position();
  }

  async close(): Promise<void> {
    clearInterval(this.poll);
    await this.group.drain();
    this.db.close();
  }

  /** Several reads that see the database at one moment. */
  private snapshot<T>(read: () => T): T {
    try {
      this.sql.begin.run();
      try {
        return read();
      } finally {
        this.sql.commit.run();
      }
    } catch (error) {
      throw toProblem(error);
    }
  }

  private readPosition(): Position {
    return { head: this.sql.head.get()!, pruned: this.sql.pruned.get()! };
  }

  private judge(cursor: Cursor, position: Position): ResetReason | undefined {
    const isPruned = cursor.seq === position.pruned.seq;
    return judgeCursor(cursor, position, isPruned ? position.pruned.stamp : this.sql.stamp.get(cursor.seq));
  }

  private readStretch(after: number, upTo: number, limit: number, maxBytes: number): StoredEvent[] {
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

  /** Another program may have committed to the same file. */
  private lookForOthers(): void {
    try {
      const version = this.sql.dataVersion.get();
      if (version !== this.seenVersion) this.shared.wake();
      this.seenVersion = version;
    } catch {
      // Locked or gone for the moment: the next look sees what this one missed.
    }
  }
}

function endOf(events: StoredEvent[], after: Cursor): Cursor {
  const last = events.at(-1);
  return last ? { seq: last.seq, stamp: last.stamp } : after;
}
