// The store on SQLite. Writes go through a group commit to a thread that owns the connection which writes; reads are
// made here, on the event loop, by a connection that only reads. So the loop never waits for a disk.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import type { Cursor, Position, ResetReason } from '../event.ts';
import { Problem, unavailable } from '../problem.ts';
import { Commits } from './commits.ts';
import { GroupCommit, MAX_WAITING_BYTES } from './group-commit.ts';
import { failureOf, hasCode } from './sqlite.ts';
import { SqliteReader } from './sqlite-reader.ts';
import { SqliteThread } from './sqlite-thread.ts';
import type { Answer, CustomerPage, Order, RowPage, Store, Stretch } from './store.ts';

const POLL_MS = 100;
const CHECK_MS = 2000; // how long a question whether writes can succeed may take
const RETRY_MS = 50;
const REOPEN_PAUSE_MS = 5000; // a file that is spoiled for good is not opened anew for each read of it

type Options = Pick<Config, 'databaseUrl' | 'eventRetention' | 'watch'> & { hasCustomers?: boolean };

/** @throws {StartError} if the file can't be opened or isn't ours to write to */
export async function openSqliteStore(options: Options): Promise<Store> {
  const isInMemory = options.databaseUrl === ':memory:';
  const folder = isInMemory ? temporaryFolder() : undefined;
  const path = folder === undefined ? options.databaseUrl : join(folder, 'changebell.db');
  const { thread, started } = await SqliteThread.open({
    path,
    watch: options.watch,
    retention: options.eventRetention,
    hasCustomers: options.hasCustomers ?? true,
    server: randomBytes(8).toString('hex'),
  });
  if (started.notice) console.log(started.notice);
  const description = isInMemory ? 'SQLite in memory (gone when the program ends)' : `SQLite file ${path}`;
  return new SqliteStore(path, description, thread, started.hasCustomers, options.watch);
}

/** A database in memory can't be shared with a thread, so it is a file that goes with the program. */
function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'changebell-memory-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

class SqliteStore implements Store {
  readonly description: string;
  readonly hasCustomers: boolean;
  private readonly path: string;
  private readonly thread: SqliteThread;
  private readonly watch: ReadonlySet<string>;
  private readonly shared = new Commits();
  private readonly group: GroupCommit;
  private readonly poll: NodeJS.Timeout;
  /** Undefined while the file is away, for this reason. */
  private reader: SqliteReader | undefined;
  private away = '';
  private isReopening = false;
  /** When a read that failed had the file opened anew; by `performance.now()`. */
  private reopenedAt = Number.NEGATIVE_INFINITY;
  /** What `PRAGMA data_version` said last: it changes when another connection commits. */
  private seenVersion: unknown;
  /** The thread knows that events up to here were announced. */
  private toldAnnounced = 0;

  constructor(
    path: string,
    description: string,
    thread: SqliteThread,
    hasCustomers: boolean,
    watch: ReadonlySet<string>,
  ) {
    this.path = path;
    this.description = description;
    this.thread = thread;
    this.hasCustomers = hasCustomers;
    this.watch = watch;
    this.group = new GroupCommit((orders) => this.commit(orders));
    this.openReader();
    this.poll = setInterval(() => this.lookForOthers(), POLL_MS);
    thread.onReplaced((reason) => this.reopen(reason));
  }

  commits(): number {
    return this.shared.count;
  }

  waiting(): { bytes: number; limit: number } {
    return { bytes: this.group.waitingBytes, limit: MAX_WAITING_BYTES };
  }

  write(order: Order): Promise<Answer> {
    return this.group.write(order);
  }

  async getCustomer(id: number): Promise<string | undefined> {
    return this.read((reader) => reader.customer(id));
  }

  async listCustomers(after: number, limit: number): Promise<CustomerPage> {
    return this.read((reader) => reader.customers(after, limit));
  }

  async readRows(table: string, after: string | undefined, limit: number): Promise<RowPage | undefined> {
    return this.read((reader) => reader.page(table, after, limit));
  }

  async readRow(table: string, key: string): Promise<string | undefined> {
    return this.read((reader) => reader.row(table, key));
  }

  async position(
    cursors: readonly Cursor[] = [],
  ): Promise<Position & { resets: (ResetReason | undefined)[] }> {
    return this.read((reader) => {
      const position = reader.position();
      return { ...position, resets: cursors.map((cursor) => reader.judge(cursor, position)) };
    });
  }

  async findTime(time: string): Promise<Cursor> {
    return this.read((reader) => reader.findTime(time));
  }

  async readEvents(after: Cursor, upTo: number, limit: number, maxBytes: number): Promise<Stretch> {
    return this.read((reader) => reader.stretch(after, upTo, limit, maxBytes));
  }

  onCommit(wake: () => void): void {
    this.shared.onCommit(wake);
  }

  announced(seq: number): void {
    this.shared.markAnnounced(seq);
  }

  async check(): Promise<void> {
    await this.position();
    const deadline = performance.now() + CHECK_MS;
    const late = unavailable('The disk under the database did not answer in time.');
    for (;;) {
      const asked = this.thread.ask({ ask: 'check' });
      const trouble = await within(deadline - performance.now(), asked, late.message);
      if (trouble === undefined) return;
      if (performance.now() + RETRY_MS > deadline || !trouble.includes('locked')) throw unavailable(trouble);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  async close(): Promise<void> {
    clearInterval(this.poll);
    await this.group.drain();
    this.reader?.close(); // first: whoever closes last writes the -wal into the database, and that may take long
    this.reader = undefined;
    await this.thread.ask({ ask: 'close' });
  }

  // --- reading and writing

  private async commit(orders: Order[]) {
    const { announced } = this.shared;
    this.toldAnnounced = announced;
    const results = await this.thread.ask({ ask: 'commit', orders, announced });
    if (results.some(({ is }) => is === 'done')) this.shared.committed();
    return results;
  }

  /** At one moment of the database. @throws {Problem} 503 */
  private read<T>(read: (reader: SqliteReader) => T): T {
    const { reader } = this;
    if (!reader) throw unavailable(this.away);
    try {
      return reader.snapshot(() => read(reader));
    } catch (error) {
      if (error instanceof Problem) throw error;
      const problem = failureOf(error);
      // Another database was put in its place, within the same file.
      const isStrange = hasCode(error, /^SQLITE_(ERROR|CORRUPT|NOTADB)/);
      if (isStrange && performance.now() - this.reopenedAt > REOPEN_PAUSE_MS) {
        this.reopenedAt = performance.now();
        void this.reopen('The database was replaced.');
      }
      throw problem;
    }
  }

  /** Another program may have committed to the same file. */
  private lookForOthers(): void {
    try {
      const version = this.reader?.dataVersion();
      if (version !== this.seenVersion) this.shared.wake();
      this.seenVersion = version;
    } catch (error) {
      failureOf(error); // locked or gone for the moment: the next look sees what this one missed
    }
    if (this.shared.announced > this.toldAnnounced && this.group.isIdle) void this.prune();
  }

  /** Others write too, and what they push out goes without a write of ours. */
  private async prune(): Promise<void> {
    const { announced } = this.shared;
    this.toldAnnounced = announced;
    while (this.group.isIdle && (await this.thread.ask({ ask: 'prune', announced })));
  }

  // --- another file in its place

  /** Its first version is remembered: what is committed from now on wakes the hub. */
  private openReader(): void {
    this.reader = new SqliteReader(this.path, this.hasCustomers, this.watch);
    this.seenVersion = this.reader.dataVersion();
  }

  /** Everybody lets go of the old file, the thread opens the new one, and the hub looks whether its history goes on. */
  private async reopen(reason: string): Promise<void> {
    if (this.isReopening) return;
    this.isReopening = true;
    console.error(`${reason} It is opened anew.`);
    this.reader?.close();
    this.reader = undefined;
    this.away = reason;
    const refusal = await this.thread.ask({ ask: 'reopen' });
    this.isReopening = false;
    if (refusal !== undefined) {
      this.away = refusal;
      return;
    }
    this.openReader();
    this.shared.wake();
  }
}

/** What was promised, or else after so many milliseconds. */
async function within<T, Else>(milliseconds: number, promise: Promise<T>, late: Else): Promise<T | Else> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<Else>((resolve) => {
    timer = setTimeout(() => resolve(late), milliseconds);
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}
