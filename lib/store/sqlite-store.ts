// The store on SQLite. Writes go through a group commit to a thread that owns the connection which writes; reads are
// made here, on the event loop, by a connection that only reads. So the loop never waits for a disk. Other programs may
// write to the same file: a look ten times a second finds out, and wakes whoever reads the log.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { Problem, unavailable } from '../problem.ts';
import { Commits, pruneTo } from './commits.ts';
import { GroupCommit, MAX_WAITING_BYTES, type Result } from './group-commit.ts';
import { failureOf } from './sqlite.ts';
import { SqliteReader } from './sqlite-reader.ts';
import { ReplaceableReader } from './sqlite-replaceable-reader.ts';
import { SqliteThread } from './sqlite-thread.ts';
import type { Started, ThreadOptions } from './sqlite-worker.ts';
import type { Order, Store } from './store.ts';

/** How late another program's commit may be seen: 250 ms are promised, and the way to the client needs some. */
const POLL_MS = 100;

type Options = Pick<Config, 'databaseUrl' | 'eventRetention' | 'watch'> & { hasCustomers?: boolean };

/** Changes nothing, and waits as long as any other write: it tells whether they can succeed. */
const NOTHING: Order = { op: 'publish', events: [], isList: true };

/**
 * A store on a SQLite file, or on one of its own where the URL is `:memory:`; ready to read and write. What was brought
 * up to date is told on standard output. The program can't end by itself before `close`.
 * @throws {StartError} one line that says what to do, if the file can't be opened or isn't ours to write to
 */
export async function openSqliteStore(options: Options): Promise<Store> {
  const { databaseUrl, watch, eventRetention, hasCustomers = true } = options;
  const isInMemory = databaseUrl === ':memory:';
  const path = isInMemory ? join(temporaryFolder(), 'changebell.db') : databaseUrl;
  const threadOptions = { path, watch, retention: eventRetention, hasCustomers };
  const { thread, started } = await SqliteThread.open(threadOptions);
  if (started.notice) console.log(started.notice);
  const description = isInMemory ? 'SQLite in memory (gone when the program ends)' : `SQLite file ${path}`;
  return storeOf(description, threadOptions, thread, started);
}

/** A database in memory can't be shared with a thread, so it is a file in a folder that goes with the program. */
function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'changebell-memory-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * What each method promises stands in `store.ts`: here it is passed to whoever keeps it.
 * @param thread it owns the connection that writes
 */
function storeOf(
  description: string,
  { path, retention }: ThreadOptions,
  thread: SqliteThread,
  { hasCustomers, watch }: Started,
): Store {
  const commits = new Commits();
  const group = new GroupCommit((orders) => commit(orders, thread, commits));
  // It owns the connection that reads, here on the loop.
  const reader = new ReplaceableReader(() => new SqliteReader(path, watch), thread);
  const poll = setInterval(() => lookForOthers({ retention, commits, group, reader }), POLL_MS);

  return {
    description,
    hasCustomers,
    watch,
    commits: () => commits.count,
    waiting: () => ({ bytes: group.waitingBytes, limit: MAX_WAITING_BYTES }),
    write: (order) => group.write(order),
    // Each at one moment: between two the log could be pruned past a cursor.
    readRows: (table, after, limit) => reader.read((at) => at.page(table, after, limit)),
    readRow: (table, key) => reader.read((at) => at.row(table, key)),
    position: (cursors) => reader.read((at) => at.position(cursors)),
    findTime: (time) => reader.read((at) => at.findTime(time)),
    readEvents: (after, upTo, limit, maxBytes) =>
      reader.read((at) => at.stretch(after, upTo, limit, maxBytes)),
    onCommit: (wake) => commits.onCommit(wake),
    announced: (seq) => commits.markAnnounced(seq),
    async check() {
      await Promise.all([writeNothing(group), reader.read((at) => at.position())]);
    },
    // In this order: no wake-ups, no writes, no reader, and then the thread may end. Whoever closes last writes the -wal
    // into the database, and that may take long.
    async close() {
      clearInterval(poll);
      await group.drain();
      reader.close();
      await thread.ask('close');
    },
  };
}

/** @throws {Problem} 503 what keeps writes away: of a write of nothing that is all there is to say */
async function writeNothing(group: GroupCommit): Promise<void> {
  try {
    await group.write(NOTHING);
  } catch (error) {
    throw error instanceof Problem ? unavailable(error.message.replace(/[.:] .*/, '.')) : error;
  }
}

/** One batch, and what came of each order in it. In the same transaction is pruned what was announced. */
async function commit(orders: Order[], thread: SqliteThread, commits: Commits): Promise<Result[]> {
  const results = await thread.ask('commit', orders, commits.announced);
  // Only for something new: a batch of refusals and repeats would send the hub to the log for nothing.
  if (results.some(({ is }) => is === 'done')) commits.committed();
  return results;
}

// --- what others do to the file

type Parts = { retention: number; commits: Commits; group: GroupCommit; reader: ReplaceableReader };

/**
 * Another program may have committed to the same file, or put another file in its place, and nothing tells us. Whoever
 * is woken reads the log, and may find nothing new, or by the stamp of the hub's head that its history is another one.
 */
function lookForOthers(parts: Parts): void {
  try {
    if (parts.reader.hasNews()) parts.commits.wake();
  } catch (error) {
    failureOf(error); // printed; locked or gone for the moment: the next look sees what this one missed
  }
  void prune(parts);
}

/**
 * Each batch prunes a step, so what others push out needs batches of nothing where nobody writes, for as long as the log
 * becomes shorter. It is looked at where it stands now: a backup that was put back is shorter than the one before.
 */
async function prune({ retention, commits, group, reader }: Parts): Promise<void> {
  try {
    for (let before = -1; group.isIdle; ) {
      const { head, pruned } = await reader.read((at) => at.position());
      const isShort = pruneTo(head.seq, retention, commits.announced) <= pruned.seq;
      if (isShort || pruned.seq === before) return;
      before = pruned.seq;
      await group.write(NOTHING);
      await group.drain();
    }
  } catch (error) {
    if (!(error instanceof Problem)) throw error; // else it was told where it failed, and the next look tries again
  }
}
