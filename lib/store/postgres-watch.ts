// WATCH on PostgreSQL: one trigger for rows and one for TRUNCATE on each table, put up and taken down inside the
// transaction of the start. Here is said which; `postgres-watch.sql` has what they do, and how they are bound. Whatever
// any living server watches stays: each holds a shared lock for every table that it watches.
import { StartError } from '../config.ts';
import type { Run } from './postgres-connection.ts';
import { cannotWatch, describeWatched, isOwnTable } from './watch.ts';

/** A table that is watched here. `table` is as WATCH names it, `relation` as SQL does. */
export type WatchedTable = {
  table: string;
  relation: string;
  type: string;
  source: string;
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
  for (const { table, type, source } of describeWatched(watch)) {
    // An event about the log would make an event about the log, without an end.
    if (isOwnTable(table)) throw cannotWatch(table, 'that is no table of an application');
    if (table === 'customers' && hasOurCustomers)
      throw cannotWatch(table, 'its changes are announced anyway: leave it out');
    const [found] = await run<Found>(FIND_TABLE, [table]);
    if (!found) throw cannotWatch(table, 'there is no such table (upper and lower case count)');
    // Ordinary or partitioned: a view's rows change without a trigger of its own.
    if (!/[rp]/.test(found.kind))
      throw cannotWatch(table, 'that is not a table, and only tables have triggers for every change');
    if (found.key === null) throw cannotWatch(table, 'that table has no primary key');
    const { kind, ...columns } = found;
    tables.push({ table, type, source, isPartitioned: kind === 'p', ...columns });
  }
  return tables;
}

/**
 * The table that WATCH names ($1): a name in the current schema; or, with a dot, in the schema before it. Where both
 * are there, the table whose own name has the dot counts. Views are found too, so that the refusal can say what they
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
    AND (nspname = current_schema() AND relname = $1 OR nspname || '.' || relname = $1)
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
  for (const table of wanted) await putUp(run, table);
  return left.map(({ relation }) => {
    const drop = `DROP TRIGGER IF EXISTS changebell_watch ON ${relation}; DROP TRIGGER IF EXISTS changebell_watch_truncate ON ${relation};`;
    return `${relation} is no longer watched, but its triggers can only be dropped by its owner: they are idle. ${drop} removes them.`;
  });
}

/** @throws {StartError} a right is missing: it says which one, and who can give it */
async function putUp(run: Run, { table, relation, type, source, key, bytes }: WatchedTable): Promise<void> {
  // Before the trigger, which does nothing while the table has no line there.
  await run(REGISTER, [source, type, JSON.stringify(key), JSON.stringify(bytes)]);
  try {
    for (const sql of [RESET, BIND, BIND_TRUNCATE, FORGET_PARTS, NOTE_PARTS])
      await run(sql, [source, relation]);
  } catch (error) {
    // Insufficient privilege: the one failure here that a person can mend, so it says how.
    const { code, message } = error as { code?: string; message: string };
    throw code === '42501' ? new StartError(`WATCH names "${table}", but ${message}.`) : error;
  }
}

// The WHERE keeps a restart from writing the same line again: nothing changes, so nothing waits for it.
const REGISTER = `
  INSERT INTO bell.changebell_watched AS old VALUES ($1, $2, $3, $4)
  ON CONFLICT (source) DO UPDATE SET type = $2, key = $3, bytes = $4
  WHERE (old.type, old.key, old.bytes) IS DISTINCT FROM ($2, $3, $4)`;

// Where it was watched before and has no trigger now, nobody heard of what became of its rows: it was made anew, or
// nobody watched it for a while. What the trigger tells comes after this.
const RESET = `
  INSERT INTO bell.changebell_events (type, source)
  SELECT type || '.reset', source || '/*' FROM bell.changebell_watched AS watched
  WHERE source = $1 AND EXISTS (SELECT FROM bell.changebell_events AS event WHERE starts_with(event.type, watched.type || '.'))
    AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = $2::regclass AND tgname = 'changebell_watch')`;

const BIND = "SELECT bell.changebell_bind($2::regclass, 'changebell_watch', $1)";

// TRUNCATE of a partition fires its own triggers alone, and not those of the table that it is in.
const BIND_TRUNCATE = `
  SELECT bell.changebell_bind(part, 'changebell_watch_truncate', $1)
  FROM (SELECT $2::regclass AS part UNION SELECT relid FROM pg_partition_tree($2::regclass)) AS parts`;

// What came or went while no server ran is told by the first look. But a table that was made anew, or restored with
// its database, has other partitions from the start, and what was noted may be the number of something else by now.
const FORGET_PARTS = `
  DELETE FROM bell.changebell_partitions WHERE source = $1 AND NOT EXISTS (
    SELECT FROM bell.changebell_partitions WHERE source = $1 AND relation = $2::regclass)`;
const NOTE_PARTS = `
  INSERT INTO bell.changebell_partitions SELECT $1, relation FROM bell.changebell_tree($2::regclass)
  WHERE NOT EXISTS (SELECT FROM bell.changebell_partitions WHERE source = $1)`;
