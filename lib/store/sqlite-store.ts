// The store on SQLite. Writes go through a group commit to a thread that owns the connection which writes; reads are
// made here, on the event loop, by a connection that only reads. So the loop never waits for a disk. Other programs may
// write to the same file: a look ten times a second finds out, and wakes whoever reads the log.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import type { Cursor } from '../event.ts';
import { unavailable } from '../problem.ts';
import { Commits } from './commits.ts';
import { GroupCommit, MAX_WAITING_BYTES } from './group-commit.ts';
import { failureOf } from './sqlite.ts';
import { SqliteReader } from './sqlite-reader.ts';
import { ReplaceableReader } from './sqlite-replaceable-reader.ts';
import { SqliteThread, type Started } from './sqlite-thread.ts';
import type { Answer, Order, Store } from './store.ts';

/** How late another program's commit may be seen: 250 ms are promised, and the way to the client needs some. */
const POLL_MS = 100;

type Options = Pick<Config, 'databaseUrl' | 'eventRetention' | 'watch'> & { hasCustomers?: boolean };

/**
 * A store on a SQLite file, or on one of its own where the URL is `:memory:`; ready to read and write. What was brought
 * up to date is told on standard output. The program can't end by itself before `close`.
 * @throws {StartError} one line that says what to do, if the file can't be opened or isn't ours to write to
 */
export async function openSqliteStore(options: Options): Promise<Store> {
  const isInMemory = options.databaseUrl === ':memory:';
  const path = isInMemory ? join(temporaryFolder(), 'changebell.db') : options.databaseUrl;
  const { thread, started } = await SqliteThread.open({
    path,
    watch: options.watch,
    retention: options.eventRetention,
    hasCustomers: options.hasCustomers ?? true,
  });
  if (started.notice) console.log(started.notice);
  const description = isInMemory ? 'SQLite in memory (gone when the program ends)' : `SQLite file ${path}`;
  return new SqliteStore(path, description, thread, started);
}

/** A database in memory can't be shared with a thread, so it is a file in a folder that goes with the program. */
function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'changebell-memory-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What each method promises stands in `store.ts`: here it is passed to whoever keeps it. */
class SqliteStore implements Store {
  readonly description: string;
  readonly hasCustomers: boolean;
  readonly watch: ReadonlySet<string>;
  /** It owns the connection that writes. */
  private readonly thread: SqliteThread;
  /** It owns the one that reads, here on the loop. */
  private readonly reader: ReplaceableReader;
  private readonly shared = new Commits();
  private readonly group: GroupCommit;
  /** The look for what other programs commit. */
  private readonly poll: NodeJS.Timeout;
  /** What `PRAGMA data_version` said last: it changes when another connection commits. */
  private seenVersion: unknown;
  /** The thread knows that events up to here were announced. */
  private toldAnnounced = 0;

  constructor(path: string, description: string, thread: SqliteThread, { hasCustomers, watch }: Started) {
    this.description = description;
    this.thread = thread;
    this.hasCustomers = hasCustomers;
    this.watch = watch;
    this.group = new GroupCommit((orders) => this.commit(orders));
    const openReader = () => new SqliteReader(path, hasCustomers, watch);
    this.reader = new ReplaceableReader(openReader, thread, () => {
      this.seenVersion = undefined; // a new connection counts from another number
      this.shared.wake(); // the hub sees by the stamp of its head whether this is still its history
    });
    this.seenVersion = this.reader.dataVersion(); // what is committed from now on wakes the hub
    this.poll = setInterval(() => this.lookForOthers(), POLL_MS);
  }

  // --- writes go to the thread, in batches

  commits(): number {
    return this.shared.count;
  }

  waiting(): { bytes: number; limit: number } {
    return { bytes: this.group.waitingBytes, limit: MAX_WAITING_BYTES };
  }

  write(order: Order): Promise<Answer> {
    return this.group.write(order);
  }

  // --- reads are made here, each at one moment: between two the log could be pruned past a cursor

  getCustomer = (id: number) => this.reader.read((reader) => reader.customer(id));
  listCustomers = (after: number, limit: number) =>
    this.reader.read((reader) => reader.customers(after, limit));
  readRows = (table: string, after: string | undefined, limit: number) =>
    this.reader.read((reader) => reader.page(table, after, limit));
  readRow = (table: string, key: string) => this.reader.read((reader) => reader.row(table, key));
  findTime = (time: string) => this.reader.read((reader) => reader.findTime(time));
  readEvents = (after: Cursor, upTo: number, limit: number, maxBytes: number) =>
    this.reader.read((reader) => reader.stretch(after, upTo, limit, maxBytes));
  position = (cursors: readonly Cursor[] = []) => this.reader.read((reader) => reader.position(cursors));

  // --- what concerns all of it

  onCommit(wake: () => void): void {
    this.shared.onCommit(wake);
  }

  /** Only noted here: the thread hears of it with the next batch, or with the next look for others. */
  announced(seq: number): void {
    this.shared.markAnnounced(seq);
  }

  async check(): Promise<void> {
    await this.position(); // does it answer at all?
    const trouble = await this.thread.findTrouble();
    if (trouble !== undefined) throw unavailable(trouble);
  }

  /** In this order: no wake-ups, no writes, no reader, and then the thread may write the -wal back and end. */
  async close(): Promise<void> {
    clearInterval(this.poll);
    await this.group.drain();
    this.reader.close(); // first: whoever closes last writes the -wal into the database, and that may take long
    await this.thread.ask({ ask: 'close' });
  }

  // --- what is committed, by this server and by others

  /**
   * For the group commit: one batch, and what came of each order in it. The thread prunes in the same transaction, so
   * it is told with each batch how far it may.
   */
  private async commit(orders: Order[]) {
    const { announced } = this.shared;
    this.toldAnnounced = announced; // before the wait: a look for others meanwhile must not prune the same once more
    const results = await this.thread.ask({ ask: 'commit', orders, announced });
    // Only for something new: a batch of refusals and repeats would send the hub to the log for nothing.
    if (results.some(({ is }) => is === 'done')) this.shared.committed();
    return results;
  }

  /**
   * Another program may have committed to the same file, and nothing tells us but this number, which costs microseconds.
   * It says that there was a commit, not of what: whoever is woken reads the log, and may find nothing new.
   */
  private lookForOthers(): void {
    try {
      const version = this.reader.dataVersion();
      if (version !== this.seenVersion) this.shared.wake();
      this.seenVersion = version;
    } catch (error) {
      failureOf(error); // printed; locked or gone for the moment: the next look sees what this one missed
    }
    // Where we write, each batch prunes; here it is what others wrote, once the hub has told of it. Another place, not a
    // later one: a backup that was put back is shorter, and its log would not be pruned before it has caught up.
    if (this.shared.announced !== this.toldAnnounced && this.group.isIdle) void this.prune();
  }

  /**
   * Others write too, and what they push out goes without a write of ours. Step by step, and not while anything waits
   * to be written: a batch prunes as well, and nobody should stand behind a deletion of thousands.
   */
  private async prune(): Promise<void> {
    const { announced } = this.shared;
    this.toldAnnounced = announced;
    while (this.group.isIdle && (await this.thread.ask({ ask: 'prune', announced })));
  }
}
