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
   * What text is read as to find a key; a plain one is PostgreSQL's own. And the operators > and >= of the key's index,
   * each with its schema: others of that name may be found first, that order otherwise, or run another role's code.
   */
  keyTypes: { name: string; isPlain: boolean; after: string; from: string }[];
  bytes: string[];
  /** Its partitions may come and go. */
  isPartitioned: boolean;
  /** Where it is another one, so may be all of the above: see `changebell_shape`. Null where it isn't known, or no table is there. */
  shape: string | null;
  /** There is no such table at the moment, or it has no key. */
  isAway: boolean;
};

/** What the catalog says of it: see `FIND_TABLE`. `kind` is PostgreSQL's letter; without a primary key there is none. */
type Found = Pick<WatchedTable, 'relation' | 'key' | 'keyTypes' | 'bytes'> & { kind: string };

/** Finds the tables that WATCH names, and changes nothing. @throws {StartError} naming a table that can't be watched */
export async function planWatch(
  run: Run,
  watch: ReadonlySet<string>,
  hasOurCustomers: boolean,
): Promise<WatchedTable[]> {
  // All are judged before the first trigger is put up: a name that is wrong changes nothing.
  const tables: WatchedTable[] = [];
  for (const watched of describeWatched(watch)) {
    const { table } = watched;
    // An event about the log would make an event about the log, without an end.
    if (isOwnTable(table)) throw cannotWatch(table, 'that is no table of an application');
    if (table === 'customers' && hasOurCustomers)
      throw cannotWatch(table, 'its changes are announced anyway: leave it out');
    tables.push(await findTable(run, watched));
  }
  return tables;
}

/** The table as it is now. @throws {StartError} if it can't be watched */
export async function findTable(run: Run, watched: Watched): Promise<WatchedTable> {
  const { table, type, source } = watched;
  const [found] = await run<Found>(FIND_TABLE, [table]);
  if (!found) throw cannotWatch(table, 'there is no such table (upper and lower case count)');
  // Ordinary or partitioned: a view's rows change without a trigger of its own.
  if (!/[rp]/.test(found.kind))
    throw cannotWatch(table, 'that is not a table, and only tables have triggers for every change');
  if (found.key === null) throw cannotWatch(table, 'that table has no primary key');
  const { kind, ...columns } = found;
  return { table, type, source, isPartitioned: kind === 'p', shape: null, isAway: false, ...columns };
}

/**
 * The table that WATCH names ($1): a name on the search path, as in any statement; or, with a dot, in the schema before
 * it. Where both are there, the table whose own name has the dot counts. Views are found too, so that the refusal can say what they
 * are.
 *
 * The names of the key's columns are in the sequence of its index. A type in `keyTypes` is, of a domain, the one under
 * it, since a cast to the domain would run its check, which another role may have written. 4 and 5 are the numbers of >=
 * and > among the operators of any B-tree index.
 */
const FIND_TABLE = `
  SELECT format('%I.%I', nspname, relname) AS relation, relkind AS kind,
    (SELECT json_agg(attname ORDER BY array_position(indkey::int2[], attnum))
      FROM pg_attribute JOIN pg_index ON indrelid = attrelid AND indisprimary AND attnum = ANY (indkey)
      WHERE attrelid = class.oid) AS key,
    (SELECT json_agg(json_build_object('name', format_type(base, -1), 'isPlain', base < 16384 OR typtype = 'e',
          'after', operators->>'5', 'from', operators->>'4') ORDER BY array_position(indkey::int2[], attnum))
      FROM pg_attribute JOIN pg_index ON indrelid = attrelid AND indisprimary AND attnum = ANY (indkey)
        CROSS JOIN LATERAL (WITH RECURSIVE under AS (
          SELECT oid, typbasetype, typtype FROM pg_type WHERE oid = atttypid
          UNION ALL SELECT type.oid, type.typbasetype, type.typtype FROM pg_type AS type JOIN under ON type.oid = under.typbasetype)
          SELECT oid AS base, typtype FROM under WHERE typbasetype = 0) AS bare
        CROSS JOIN LATERAL (
          SELECT json_object_agg(amopstrategy, format('OPERATOR(%I.%s)', space.nspname, oprname)) AS operators
          FROM pg_opclass JOIN pg_amop ON amopfamily = opcfamily AND amoplefttype = opcintype AND amoprighttype = opcintype
            JOIN pg_operator AS operator ON operator.oid = amopopr JOIN pg_namespace AS space ON space.oid = oprnamespace
          WHERE pg_opclass.oid = indclass[array_position(indkey::int2[], attnum)]) AS class_of
      WHERE attrelid = class.oid) AS "keyTypes",
    coalesce((SELECT json_agg(attname ORDER BY attnum) FROM pg_attribute
      WHERE attrelid = class.oid AND atttypid = 'bytea'::regtype AND NOT attisdropped), '[]') AS bytes
  FROM pg_class AS class JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
  WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
    AND nspname <> 'pg_catalog' AND (class.oid = to_regclass(quote_ident($1)) OR nspname || '.' || relname = $1)
  ORDER BY relname = $1 DESC LIMIT 1`;

/**
 * Says to other servers that these tables are watched, for as long as the connection is open: a lock of the session goes
 * with it, also after a crash, so no table stays watched for a server that is gone.
 */
export async function holdWatch(run: Run, sources: string[]): Promise<void> {
  await run(
    'SELECT pg_advisory_lock_shared(1130918255, hashtext(source)) FROM unnest($1::text[]) AS source',
    [sources],
  );
}

/**
 * Puts up what is missing and takes down what nobody watches any more, in the transaction of the start: who writes
 * meanwhile sees all of it or nothing. @returns lines for people
 */
export async function applyWatch(run: Run, wanted: WatchedTable[]): Promise<string[]> {
  const sources = wanted.map(({ source }) => source);
  await holdWatch(run, sources);
  const left = await run<{ relation: string }>(
    'SELECT DISTINCT relation FROM bell.changebell_unwatch($1) AS relation',
    [sources],
  );
  // Looked at once more: it may have been altered since, and from now on another shape tells of that.
  for (const [i, shape] of (await readShapes(run, wanted)).entries()) {
    const table = Object.assign(wanted[i]!, await findTable(run, wanted[i]!), { shape });
    await putUp(run, table);
    await tidyUp(run, table);
  }
  return left.map(({ relation }) => {
    const drop = `DROP TRIGGER IF EXISTS changebell_watch ON ${relation}; DROP TRIGGER IF EXISTS changebell_watch_truncate ON ${relation};`;
    return `${relation} is no longer watched, but its triggers can only be dropped by its owner: they are idle. ${drop} removes them.`;
  });
}

/** What the tables are like now: see `changebell_shape`. */
export async function readShapes(run: Run, tables: WatchedTable[]): Promise<(string | null)[]> {
  const relations = tables.map(({ relation }) => relation);
  const rows = await run<{ shape: string | null }>(SHAPES, [relations]);
  return rows.map(({ shape }) => shape);
}

const SHAPES = `
  SELECT bell.changebell_shape(to_regclass(relation)) AS shape
  FROM unnest($1::text[]) WITH ORDINALITY AS watched(relation, place) ORDER BY place`;

/**
 * Sees to it that the table is watched as it is now. Copies are told to begin anew where that is due.
 * @throws {StartError} a right is missing: it says which one, and who can give it
 */
export async function putUp(run: Run, table: WatchedTable): Promise<void> {
  const { source, type, key, bytes, relation } = table;
  try {
    const values = [source, type, JSON.stringify(key), JSON.stringify(bytes), relation];
    await run('SELECT bell.changebell_renew($1, $2, $3, $4, $5::regclass)', values);
    for (const sql of [FORGET_PARTS, NOTE_PARTS]) await run(sql, [source, relation]);
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

// What came or went while no server ran is told by the first look. But a table that was made anew, or restored with
// its database, has other partitions from the start, and what was noted may be the number of something else by now.
const FORGET_PARTS = `
  DELETE FROM bell.changebell_partitions WHERE source = $1 AND NOT EXISTS (
    SELECT FROM bell.changebell_partitions WHERE source = $1 AND relation = $2::regclass)`;
const NOTE_PARTS = `
  INSERT INTO bell.changebell_partitions SELECT $1, relation FROM bell.changebell_tree($2::regclass)
  WHERE NOT EXISTS (SELECT FROM bell.changebell_partitions WHERE source = $1)`;

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
