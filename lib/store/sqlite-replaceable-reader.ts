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
  private readonly onReopened: () => void;
  /** Undefined while the file is away, and until somebody reads the one that came. */
  private reader: SqliteReader | undefined;
  /** Why nothing can be read; undefined while the writing thread has the file open. */
  private away: string | undefined;
  private isReopening = false;
  /** When a read that failed had the file opened anew; by `performance.now()`. */
  private reopenedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param open opens what is at the path now
   * @param onReopened another file is read from now on, and its history may be another one as well
   */
  constructor(open: () => SqliteReader, thread: SqliteThread, onReopened: () => void) {
    this.open = open;
    this.thread = thread;
    this.onReopened = onReopened;
    this.reader = open();
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

  /** It is another value after another connection has committed; undefined while the file is away. */
  dataVersion(): unknown {
    return this.away === undefined ? this.opened().dataVersion() : undefined;
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
    this.reader = undefined;
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
    if ('refused' in opened) this.away = opened.refused;
    else {
      this.away = undefined;
      this.onReopened();
    }
  }
}
