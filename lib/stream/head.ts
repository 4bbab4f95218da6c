// The head: the newest event that was announced. At each look the log is asked whether that event is still there: if
// not, the history under us was replaced (a backup restored, a standby promoted), and what was announced is no longer
// true. And whether the log can be read at all: an outage is said once, in the log of the program.
import type { Cursor, ResetReason } from '../event.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';

export class Head {
  /** The newest event that was announced. */
  cursor: Cursor;
  /** Somebody committed since the last look. */
  isStale = true;
  /** Did the last read of the log succeed? */
  isReadable = true;
  /** The program stops: nobody looks any more, and reads that fail, since the database is closed, are no news. */
  isClosed = false;
  private isJudging = false;
  private readonly store: Pick<Store, 'position'>;

  constructor(store: Pick<Store, 'position'>, cursor: Cursor) {
    this.store = store;
    this.cursor = cursor;
  }

  /** One read, whatever has happened: did the log grow, or was its history replaced? Undefined if neither is known. */
  async look(): Promise<'moved' | 'replaced' | undefined> {
    this.isStale = false; // whoever commits from now on sets it again
    const position = await this.read(this.store.position([this.cursor]));
    // Nothing was learned: whoever committed is still to be found.
    if (!position) {
      this.isStale = true;
      return undefined;
    }
    const { head, resets } = position;
    // Expired is no other history: what was announced may be pruned since.
    const isThere = resets[0] === undefined || resets[0] === 'expired';
    // It may be below: several replicas share a name, and this one has yet to get what another has shown.
    if (isThere && head.seq <= this.cursor.seq) return undefined;
    this.cursor = head;
    return isThere ? 'moved' : 'replaced';
  }

  /** Waits for a read. Undefined while the database is away: try again later. */
  async read<T>(answer: Promise<T>): Promise<T | undefined> {
    try {
      const value = await answer;
      this.isReadable = true;
      return value;
    } catch (error) {
      if (!this.isClosed) this.complain(error);
      this.isReadable = false;
      return undefined;
    }
  }

  /**
   * Why these cursors can't be continued, each at its place. Outside of the turns: a primary that hangs must not hold
   * up those who read from a replica that is well. Empty while nothing can be known.
   */
  async judge(cursors: Cursor[]): Promise<(ResetReason | undefined)[]> {
    if (this.isJudging || cursors.length === 0) return [];
    this.isJudging = true;
    try {
      return (await this.store.position(cursors)).resets;
    } catch (error) {
      if (!(error instanceof Problem)) console.error(error); // our bug, and not the database's fault
      return [];
    } finally {
      this.isJudging = false;
    }
  }

  private complain(error: unknown): void {
    if (!(error instanceof Problem))
      console.error(error); // our bug, and not the database's fault
    else if (this.isReadable) console.error(`The event log cannot be read, trying again: ${error.message}`);
  }
}
