// The head: the newest event that was announced. At each look the log is asked whether that event is still there: if
// not, the history under us was replaced (a backup restored, a standby promoted), and what was announced is no longer
// true. And whether the log can be read at all: an outage is said once, in the log of the program.
import type { Cursor } from '../event.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';

/** What a look at the log found. */
export type Look = 'same' | 'moved' | 'replaced' | 'away';

export class Head {
  /** The newest event that was announced. */
  cursor: Cursor;
  /** Somebody committed since the last look. */
  isStale = true;
  /** Did the last read of the log succeed? */
  isReadable = true;
  /** How often the history was replaced: who was located before that must be located anew. */
  histories = 0;
  private readonly store: Store;
  /** The program stops. */
  private isSilent = false;

  constructor(store: Store, cursor: Cursor) {
    this.store = store;
    this.cursor = cursor;
  }

  /** One read, whatever has happened: where the log stands, and whether what was announced is still there. */
  async look(): Promise<Look> {
    this.isStale = false; // whoever commits from now on sets it again
    const position = await this.read(this.store.position([this.cursor]));
    // Nothing was learned: whoever committed is still to be found.
    if (!position) {
      this.isStale = true;
      return 'away';
    }
    const { head } = position;
    // Expired is no other history: what was announced may be pruned since.
    const [verdict] = position.resets;
    const isThere = verdict === undefined || verdict === 'expired';
    // It may be below: several replicas share a name, and this one has yet to get what another has shown.
    if (isThere && head.seq <= this.cursor.seq) return 'same';
    this.cursor = head;
    if (isThere) return 'moved';
    this.histories += 1;
    return 'replaced';
  }

  /** Waits for a read. Undefined while the database is away: try again later. */
  async read<T>(answer: Promise<T>): Promise<T | undefined> {
    try {
      const value = await answer;
      this.isReadable = true;
      return value;
    } catch (error) {
      if (!this.isSilent) this.complain(error);
      this.isReadable = false;
      return undefined;
    }
  }

  /** Reads that end from now on, since the database is closed, are no news. */
  silence(): void {
    this.isSilent = true;
  }

  private complain(error: unknown): void {
    if (!(error instanceof Problem))
      console.error(error); // our bug, and not the database's fault
    else if (this.isReadable) console.error(`The event log cannot be read, trying again: ${error.message}`);
  }
}
