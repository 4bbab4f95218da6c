// What becomes of watched tables while the server runs. An ALTER TABLE fires no trigger, and an event trigger is a
// superuser's: so once a second each server compares the catalog with what it knows. Where a table is another, or another
// key, column or state of its triggers makes it so, it is watched anew, and copies are told to load it again. Nobody's
// writing waits for that longer than some milliseconds: what is locked is tried again at the next look.
import { StartError } from '../config.ts';
import type { Run, Shared } from './postgres-connection.ts';
import { isTransient } from './postgres-errors.ts';
import { followPartitions } from './postgres-partitions.ts';
import {
  BRIEFLY,
  findTable,
  inTransaction,
  putUp,
  readShapes,
  tidyUp,
  type WatchedTable,
} from './postgres-watch.ts';
import { tell } from './tell.ts';

const LOOK_MS = 1000; // one read of the catalog for all tables; two more for each that is partitioned

/** Looks by itself from when it is made until `stop`; where no table is watched, it never does. */
export class Watching {
  /** The writer's: a look takes one of its own, so that no write of ours waits for it. */
  private readonly connections: Shared;
  /** Kept as they are now, for those who read them as well. */
  private readonly tables: WatchedTable[];
  /** What was said of tables that can't be watched: once, and not at every look. */
  private readonly complaints = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private readonly stopped = new AbortController();

  constructor(connections: Shared, tables: WatchedTable[]) {
    this.connections = connections;
    this.tables = tables;
    if (tables.length > 0) this.lookLater();
  }

  /** Waits for the step under way. */
  async stop(): Promise<void> {
    this.stopped.abort();
    clearTimeout(this.timer);
    await this.looking;
  }

  private lookLater(): void {
    if (this.stopped.signal.aborted) return;
    this.timer = setTimeout(async () => {
      // Away for the moment: the next look finds the same again.
      this.looking = this.connections.use((run) => this.look(run)).catch(() => {});
      await this.looking;
      this.lookLater();
    }, LOOK_MS);
  }

  private async look(run: Run): Promise<void> {
    for (const [i, shape] of (await readShapes(run, this.tables)).entries()) {
      const table = this.tables[i]!;
      // One that is locked, or to which a right is missing, keeps nothing from the others.
      if (shape !== table.shape) await this.follow(run, table, shape).catch((error) => this.complain(error));
    }
    await followPartitions(run, this.tables, this.stopped.signal);
  }

  /** Only at the end is the shape taken for known, so what failed before is tried again. */
  private async follow(run: Run, table: WatchedTable, shape: string | null): Promise<void> {
    const found = await findTable(run, table).catch((error) => {
      if (!(error instanceof StartError)) throw error;
      this.complain(error);
    });
    // In two steps: another table that is locked, and had this one's name, must not hold up this one.
    if (found) await inTransaction(run, BRIEFLY, () => putUp(run, found));
    await inTransaction(run, BRIEFLY, () => tidyUp(run, table));
    Object.assign(table, found ?? { isAway: true, shape });
  }

  /**
   * An application may drop a table, and make it anew: that is said once. What is locked is tried again at the next look,
   * and so is what failed otherwise.
   */
  private complain(error: unknown): void {
    if (error instanceof StartError) {
      if (!this.complaints.has(error.message)) console.error(error.message);
      this.complaints.add(error.message);
    } else if (!isTransient(error as { code?: string })) {
      tell(`A watched table cannot be looked after: ${(error as Error).message}`);
    }
  }
}
