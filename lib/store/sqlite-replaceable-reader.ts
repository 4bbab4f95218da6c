// Reads of a file that may be taken away or replaced under the running program. While it is away each read is a 503
// with the reason, and as soon as the thread that writes has the new file open, reads go there. Streams stay open all
// the while: the hub looks whether the history goes on, and resets those whose cursors are of another one.
import { Problem, unavailable } from '../problem.ts';
import { failureOf, hasCode } from './sqlite.ts';
import type { SqliteReader } from './sqlite-reader.ts';
import type { SqliteThread } from './sqlite-thread.ts';

const NOT_READ = 'The database cannot be read at the moment.';
/** A file that is spoiled for good is not opened anew for each read of it. */
const REOPEN_PAUSE_MS = 5000;

export class ReplaceableReader {
  private readonly open: () => SqliteReader;
  private readonly thread: SqliteThread;
  /** Undefined while the file is away, and until somebody reads the one that came. */
  private reader: SqliteReader | undefined;
  /** Why nothing can be read; undefined while the writing thread has the file open. */
  private away: string | undefined;
  private isReopening = false;
  /** What `PRAGMA data_version` said last: it changes when another connection commits. */
  private seenVersion: unknown;
  /** When a read that failed had the file opened anew; by `performance.now()`. */
  private reopenedAt = Number.NEGATIVE_INFINITY;

  /** @param open opens what is at the path now */
  constructor(open: () => SqliteReader, thread: SqliteThread) {
    this.open = open;
    this.thread = thread;
    this.reader = open();
    this.seenVersion = this.reader.dataVersion(); // what is committed from now on is news
    thread.onReplaced = (reason) => void this.reopen(reason);
  }

  /** At one moment of the database. @throws {Problem} 503 while it is away or can't be read */
  async read<T>(read: (reader: SqliteReader) => T): Promise<T> {
    try {
      const reader = this.opened();
      return reader.snapshot(() => read(reader));
    } catch (error) {
      if (error instanceof Problem) throw error; // the caller's mistake, or told already
      const problem = failureOf(error, NOT_READ);
      // Another database was put in its place, within the same file: no name tells the guard of it.
      const isStrange = hasCode(error, /^SQLITE_(ERROR|CORRUPT|NOTADB)/);
      if (isStrange && performance.now() - this.reopenedAt > REOPEN_PAUSE_MS) {
        this.reopenedAt = performance.now();
        void this.reopen('The database was replaced.');
      }
      throw problem;
    }
  }

  /** Has another connection committed, or is this another file, since it was asked last? It costs microseconds. */
  hasNews(): boolean {
    if (this.away !== undefined) return false;
    const before = this.seenVersion;
    this.seenVersion = this.opened().dataVersion();
    return this.seenVersion !== before;
  }

  /** Where it fails, as where the file was taken away once more, the next who reads tries again. */
  private opened(): SqliteReader {
    if (this.away !== undefined) throw unavailable(this.away);
    this.reader ??= this.open();
    return this.reader;
  }

  /** Lets go of the file. */
  close(reason = 'The database is closed.'): void {
    this.away = reason;
    this.reader?.close();
    this.reader = this.seenVersion = undefined; // a new connection counts from another number
  }

  /**
   * Everybody lets go of the old file before the thread opens the new one: a connection that is still open would keep
   * the old -wal in use.
   */
  private async reopen(reason: string): Promise<void> {
    if (this.isReopening) return; // many reads may fail at once, and the thread look meanwhile
    this.isReopening = true;
    console.error(`${reason} It is opened anew.`);
    this.close(reason);
    // Where it can't be opened, the thread looks again in a second, and tells us when it is time for another try.
    const opened = await this.thread.ask('openFile', true);
    this.isReopening = false;
    this.away = 'refused' in opened ? opened.refused : undefined;
  }
}
