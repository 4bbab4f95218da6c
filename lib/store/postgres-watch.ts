// WATCH on PostgreSQL: one trigger for rows and one for TRUNCATE on each table, put up and taken down inside the
// transaction of the start. Here is said which; `postgres-watch.sql` has what they do, `postgres-watching.sql` how they are
// bound. Whatever any living server watches stays: each holds a shared lock for every table that it watches. What becomes
// of a table while the server runs is seen by `postgres-watching.ts`.
import { StartError } from '../config.ts';
import type { Run } from './postgres-connection.ts';
import { cannotWatch, describeWatched, isOwnTable, type Watched } from './watch.ts';

const LOCK_MS = 5; // a CREATE TRIGGER that waits would let the application's writers wait behind it

/** A table that is watched here, as it was when it was looked at last. `table` is as WATCH names it, `relation` as SQL does. */
export type WatchedTable = Watched & {
  relation: string;
  /** Names of columns. */
  key: string[];
  /**
   * What text is read as to find a key; a plain one is PostgreSQL's own, and a nested one stands in a source as JSON. And the
   * operators > and >= of the key's index, each with its schema: others of that name may be found first, that order
   * otherwise, or run another role's code.
   */
  keyTypes: { name: string; isPlain: boolean; isNested: boolean; after: string; from: string }[];
  bytes: string[];
  /** Its partitions may come and go. */
  isPartitioned: boolean;
  /** Where it is another one, so may be all of the above: see `changebell_shape`. Null where it isn't known, or no table is there. */
  shape: string | null;
  /** There is no such table at the moment, or it has no key. */
  isAway: boolean;
};

/** What the catalog says of it: see `changebell_find_table`. `kind` is PostgreSQL's letter; without a primary key there is none. */
type Found = Pick<WatchedTable, 'relation' | 'key' | 'keyTypes' | 'bytes' | 'shape'> & { kind: string };

/**
 * Puts up what is missing and takes down what nobody watches any more, in the transaction of the start: who writes
 * meanwhile sees all of it or nothing. `notices` are lines for people.
 * @throws {StartError} naming a table that can't be watched; or a right is missing
 */
export async function startWatch(run: Run, watch: ReadonlySet<string>, hasOurCustomers: boolean) {
  const wanted = describeWatched(watch);
  for (const { table } of wanted) {
    // An event about the log would make an event about the log, without an end.
    if (isOwnTable(table)) throw cannotWatch(table, 'that is no table of an application');
    if (table === 'customers' && hasOurCustomers)
      throw cannotWatch(table, 'its changes are announced anyway: leave it out');
  }
  const sources = wanted.map(({ source }) => source);
  await holdWatch(run, sources);
  const left = await run<{ drop: string }>('SELECT drop FROM bell.changebell_unwatch($1) AS drop', [sources]);
  const watched: WatchedTable[] = [];
  for (const each of wanted) {
    const table = await findTable(run, each);
    await putUp(run, table);
    await tidyUp(run, table);
    watched.push(table);
  }
  return { watched, notices: idleLines(left.map(({ drop }) => drop)) };
}

/** One for each table. */
function idleLines(drops: string[]): string[] {
  const tableOf = (drop: string) => / ON (.*);$/.exec(drop)![1]!;
  return [...new Set(drops.map(tableOf))].map((table) => {
    const its = drops.filter((drop) => tableOf(drop) === table).join(' ');
    return `${table} is no longer watched, but its triggers can only be dropped by its owner: they are idle. ${its} removes them.`;
  });
}

/** The table as it is now. @throws {StartError} if it can't be watched */
export async function findTable(run: Run, watched: Watched): Promise<WatchedTable> {
  const { table, type, source } = watched;
  const [found] = await run<Found>(
    'SELECT * FROM bell.changebell_find_table($1, to_regclass(quote_ident($1)))',
    [table],
  );
  if (!found) throw cannotWatch(table, 'there is no such table (upper and lower case count)');
  // Ordinary or partitioned: a view's rows change without a trigger of its own.
  if (!/[rp]/.test(found.kind))
    throw cannotWatch(table, 'that is not a table, and only tables have triggers for every change');
  if (found.key === null) throw cannotWatch(table, 'that table has no primary key');
  const { kind, ...columns } = found;
  return { table, type, source, isPartitioned: kind === 'p', isAway: false, ...columns };
}

/**
 * Says to other servers that these tables are watched, for as long as the connection is open: a lock of the session goes
 * with it, also after a crash, so no table stays watched for a server that is gone.
 */
export async function holdWatch(run: Run, sources: string[]): Promise<void> {
  await run(
    'SELECT pg_advisory_lock_shared(1130918255, hashtext(source)) FROM pg_catalog.unnest($1::text[]) AS source',
    [sources],
  );
}

/** What the tables are like now: see `changebell_shape`. */
export async function readShapes(run: Run, tables: WatchedTable[]): Promise<(string | null)[]> {
  const relations = tables.map(({ relation }) => relation);
  const rows = await run<{ shape: string | null }>(SHAPES, [relations]);
  return rows.map(({ shape }) => shape);
}

const SHAPES = `
  SELECT bell.changebell_shape(to_regclass(relation)) AS shape
  FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS watched(relation, place) ORDER BY place`;

/**
 * Sees to it that the table is watched as it is now. Copies are told to begin anew where that is due.
 * @throws {StartError} a right is missing: it says which one, and who can give it
 */
export async function putUp(run: Run, table: WatchedTable): Promise<void> {
  const { source, type, key, bytes, relation } = table;
  try {
    const values = [source, type, JSON.stringify(key), JSON.stringify(bytes), relation];
    await run('SELECT bell.changebell_renew($1, $2, $3, $4, $5::regclass)', values);
  } catch (error) {
    // Insufficient privilege: the one failure here that a person can mend, so it says how.
    const { code, message } = error as { code?: string; message: string };
    throw code === '42501' ? new StartError(`WATCH names "${table.table}", but ${message}.`) : error;
  }
}

/** Takes down what tells in the table's name and stands on another that had it before. */
export async function tidyUp(run: Run, { source, relation }: WatchedTable): Promise<void> {
  await run('SELECT bell.changebell_unbind_others($1, to_regclass($2))', [source, relation]);
}

/** How a transaction may wait while the application writes. It ends with it: the connection goes back to its pool as it was. */
export const BRIEFLY = `SET LOCAL lock_timeout = ${LOCK_MS}`;

/** @throws what the work threw: then nothing of it is done */
export async function inTransaction(run: Run, setting: string, work: () => Promise<unknown>): Promise<void> {
  await run(`BEGIN; ${setting}`);
  try {
    await work();
    await run('COMMIT');
  } catch (error) {
    await run('ROLLBACK');
    throw error;
  }
}
