// Are the files still those that were opened? SQLite goes on writing into a file that was removed or replaced: what
// it then calls committed, nobody will ever find. So the names are compared with what stood behind them at first.
import { existsSync, rmSync, type Stats, statSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { failureOf } from './sqlite.ts';

/** What is wrong, in a sentence; and whether the files by these names should be opened instead, and how soon. */
export type Trouble = { reason: string; reopen: 'never' | 'now' | 'soon' };

/** What a checkpoint says of itself; `log` and `checkpointed` are pages. */
type Checkpoint = { busy: number; log: number; checkpointed: number };

/** Watches over one opened database and its two companions, the -wal and the -shm, by their names. */
export class FileGuard {
  private readonly path: string;
  private readonly db: Database.Database;
  /** What stood behind the names at first, by their endings. */
  private readonly opened: Map<string, string | undefined>;
  /** The pages of the removed -wal are in the database: there is nothing more to save. */
  private isRescued = false;

  /** Remembers the files of a database that was opened and read just now, by this connection. */
  constructor(path: string, db: Database.Database) {
    this.path = path;
    this.db = db;
    this.opened = new Map(['', '-wal', '-shm'].map((ending) => [ending, identityOf(find(path + ending))]));
  }

  /**
   * Undefined if all is well. The `-wal` may come back, or its removal be one step of several: hence `soon`. It is
   * asked before and after every commit, outside of any transaction, and costs three looks at a name (some 4 µs).
   */
  trouble(): Trouble | undefined {
    const database = find(this.path);
    if (!database) return { reason: 'The database file is gone.', reopen: 'never' };
    // SQLite throws away a -wal that lies beside an empty file: at the next start nothing of it would be there.
    if (database.size === 0) return { reason: 'The database file was emptied.', reopen: 'never' };
    if (identityOf(database) !== this.opened.get(''))
      return { reason: 'The database file was replaced by another.', reopen: 'now' };
    const lost = ['-wal', '-shm'].find((ending) => !this.isThere(ending));
    if (lost === undefined) return undefined;
    if (lost === '-wal') this.rescue();
    return { reason: `The ${lost} file of the database was removed or replaced.`, reopen: 'soon' };
  }

  /** Is it the file that was opened? */
  private isThere(ending: string): boolean {
    return identityOf(find(this.path + ending)) === this.opened.get(ending);
  }

  /**
   * What stands only in the removed -wal is lost with this process, though it was acknowledged: so it goes into the
   * database at once. Not where another -wal lies there: its owner shares the index of its pages with us.
   */
  private rescue(): void {
    if (this.isRescued || existsSync(`${this.path}-wal`)) return;
    try {
      const [{ busy, log, checkpointed }] = this.db.pragma('wal_checkpoint') as [Checkpoint];
      this.isRescued = busy === 0 && log === checkpointed;
    } catch (error) {
      failureOf(error);
    }
  }

  /** Takes away a -wal, and its -shm, that still has the pages of this database; not that of another. */
  removeWal(): void {
    if (!this.isThere('-wal') || this.walBytes() === 0) return;
    rmSync(`${this.path}-wal`);
    if (this.isThere('-shm')) rmSync(`${this.path}-shm`, { force: true });
  }

  /** How large the -wal is. */
  walBytes(): number {
    return find(`${this.path}-wal`)?.size ?? 0;
  }
}

/** Undefined where there is no such name. */
function find(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

/** Device and inode: a name may stay while the file behind it is another. */
function identityOf(found: Stats | undefined): string | undefined {
  return found && `${found.dev}:${found.ino}`;
}
