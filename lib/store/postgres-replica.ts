// Reading the log from a replica (READ_DATABASE_URL): a copy of the database that follows it, mostly some milliseconds
// behind. What is announced is what was read there, so all rules of the log hold as they are. One thing differs: somebody
// may bring the id of an event that the replica has yet to get. Whether that is one of this history, the primary knows.
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { StartError } from '../config.ts';
import type { Cursor, ResetReason } from '../event.ts';
import { Problem, unavailable } from '../problem.ts';
import { loadPostgres, type Postgres, type Run } from './postgres-connection.ts';
import type { Numbering } from './postgres-numbering.ts';
import { Reader } from './postgres-reader.ts';
import type { Stretch, Verdicts } from './store.ts';

const START_MS = 10_000; // tables that were made or changed at this start have yet to reach the replica
const TRY_MS = 50;
const FIRST_ECHO_MS = 5; // a replica close by has a commit by then
const LAST_ECHO_MS = 320;

/**
 * The way to the replica, once it has our tables.
 * @param primary runs statements on the database that takes writes
 * @throws {StartError} if it can't be read, or is no copy of that database
 */
export async function openReplica(url: string, schema: string, primary: Run): Promise<Postgres> {
  const replica = await loadPostgres(url, true);
  replica.schema = schema;
  const what = `${replica.describe()}, which READ_DATABASE_URL names,`;
  let client: Client | undefined;
  try {
    client = await replica.connect();
    await replica.findPooler(client);
    const run = replica.runOn(client);
    if ((await hasLog(run)) && (await isCopy(run, primary))) return replica;
    throw new StartError(`The ${what} is no replica of that of DATABASE_URL.`);
  } catch (error) {
    if (error instanceof StartError) throw error;
    const hint = 'check that URL, and that the database is running';
    throw new StartError(`The ${what} cannot be read (${(error as Error).message}): ${hint}.`);
  } finally {
    await client?.end().catch(() => {});
  }
}

/**
 * Wakes at once, and again and again for half a second, ever further apart: a replica has a commit only some milliseconds
 * after everybody has heard of it.
 */
export function echoing(wake: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const wakeAgain = (rest: number) => {
    wake();
    if (rest <= LAST_ECHO_MS) timer = setTimeout(() => wakeAgain(2 * rest), rest).unref();
  };
  return () => {
    clearTimeout(timer); // of another commit meanwhile they begin anew
    wakeAgain(FIRST_ECHO_MS);
  };
}

/** They may be on their way. */
async function hasLog(replica: Run): Promise<boolean> {
  for (const until = performance.now() + START_MS; performance.now() < until; await delay(TRY_MS)) {
    const [row] = await replica<{ has: boolean }>(
      "SELECT to_regclass('bell.changebell_position') IS NOT NULL AS has",
    );
    if (row!.has) return true;
  }
  return false;
}

/** Its newest event proves it: the primary holds that very one. Also the place before the first event has a stamp. */
async function isCopy(replica: Run, primary: Run): Promise<boolean> {
  const [here] = await replica<{ head: number; head_stamp: string }>(
    'SELECT head, head_stamp FROM bell.changebell_position',
  );
  // One that is behind the oldest event that is kept can't be judged, and finds out by itself when it reads on.
  const sql = `SELECT FROM bell.changebell_position LEFT JOIN bell.changebell_events ON seq = $1
    WHERE pruned > $1 OR (pruned = $1 AND pruned_stamp = $2) OR stamp = $2`;
  return (await primary(sql, [here!.head, here!.head_stamp])).length > 0;
}

/** Reads the log at the replica, and asks the primary for nothing but cursors that are ahead of it. */
export class Replica extends Reader {
  private readonly primary: Reader;

  constructor(replica: Postgres, numbering: Numbering, primary: Reader) {
    super(replica, numbering);
    this.primary = primary;
  }

  /** Where the replica's log stands. A cursor ahead of that is good where the primary holds its event: it waits. */
  override async position(cursors: readonly Cursor[]): Promise<Verdicts> {
    const position = await super.position(cursors);
    const ahead = cursors.filter((_, i) => position.resets[i] === 'ahead');
    if (ahead.length === 0) return position; // nearly always: the primary isn't asked
    const verdicts = await this.askPrimary(ahead);
    const resets = position.resets.map((reset) => (reset === 'ahead' ? verdicts.shift() : reset));
    return { ...position, resets };
  }

  /** @throws {Problem} 503 also where this replica hasn't got what another connection has read: several share a name */
  override async events(after: Cursor, upTo: number, limit: number, maxBytes: number): Promise<Stretch> {
    const stretch = await super.events(after, upTo, limit, maxBytes);
    const reset = stretch.reset === 'ahead' ? (await this.askPrimary([after]))[0] : stretch.reset;
    const isKnownToGoOn = after.seq < upTo && upTo < Number.MAX_SAFE_INTEGER;
    // An empty stretch below the head would be kept as what follows there, and its readers would go deaf.
    if (!reset && stretch.events.length === 0 && isKnownToGoOn)
      throw unavailable('The replica has not got that event yet.');
    return { ...stretch, reset };
  }

  /**
   * While the primary is away nobody is told that what he knows is gone: he waits, and is judged again.
   * @returns for each cursor why it can't be continued
   */
  private async askPrimary(cursors: readonly Cursor[]): Promise<(ResetReason | undefined)[]> {
    try {
      return (await this.primary.position(cursors)).resets;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return cursors.map(() => undefined);
    }
  }
}
