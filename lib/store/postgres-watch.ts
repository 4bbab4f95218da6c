// WATCH on PostgreSQL: one trigger for rows and one for TRUNCATE on each table, put up and taken down inside the
// transaction of the start. `changebell_watch` in the database does the work; here it is only bound. Whatever any
// living server watches stays: each holds a shared lock for every table that it watches.
import type { Client, ClientBase } from 'pg';
import { StartError } from '../config.ts';
import { FIND_PARTS, FIND_TABLE, FIND_TRIGGERS, IS_OWNER } from './postgres-catalog.ts';
import { inSchema } from './postgres-statements.ts';
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

/** Finds the tables that WATCH names, and changes nothing. @throws {StartError} naming a table that can't be watched */
export async function planWatch(
  client: Client,
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
    const { rows } = await client.query(FIND_TABLE, [table]);
    const found = rows[0];
    if (!found) throw cannotWatch(table, 'there is no such table (upper and lower case count)');
    // Ordinary or partitioned: a view's rows change without a trigger of its own.
    if (!/[rp]/.test(found.kind))
      throw cannotWatch(table, 'that is not a table, and only tables have triggers for every change');
    if (found.key === null) throw cannotWatch(table, 'that table has no primary key');
    const { relation, key, key_types: keyTypes } = found;
    const isPartitioned = found.kind === 'p';
    tables.push({ table, relation, type, source, key, keyTypes, bytes: found.bytes ?? [], isPartitioned });
  }
  return tables;
}

/**
 * Says to other servers that these tables are watched, for as long as the connection is open: a lock of the session goes
 * with it, also after a crash, so no table stays watched for a server that is gone.
 */
export async function holdWatch(client: Client, sources: string[]): Promise<void> {
  await client.query(
    'SELECT pg_advisory_lock_shared(1130918255, hashtext(source)) FROM unnest($1::text[]) AS source',
    [sources],
  );
}

/**
 * Puts up what is missing and takes down what nobody watches any more, in the transaction of the start: who writes
 * meanwhile sees all of it or nothing. @returns lines for people
 */
export async function applyWatch(client: Client, schema: string, wanted: WatchedTable[]): Promise<string[]> {
  await holdWatch(
    client,
    wanted.map(({ source }) => source),
  );
  const notices: string[] = [];
  const { rows: existing } = await client.query<Trigger>(inSchema(FIND_TRIGGERS, schema));
  const isWanted = (trigger: Trigger) => wanted.some(({ source }) => source === trigger.source);
  for (const source of new Set(existing.filter((old) => !isWanted(old)).map((old) => old.source))) {
    const triggers = existing.filter((old) => old.source === source);
    notices.push(...(await takeDown(client, schema, source, triggers)));
  }
  for (const table of wanted) await putUp(client, schema, table, existing);
  return notices;
}

/** A trigger of ours. `enabled` is A where it also fires for rows that come by replication. */
type Trigger = { name: string; relation: string; source: string; enabled: string; isOwner: boolean };

/**
 * Does nothing where another server watches the table: its shared lock is in the way of ours.
 * @returns lines for people
 */
async function takeDown(
  client: Client,
  schema: string,
  source: string,
  triggers: Trigger[],
): Promise<string[]> {
  const lock = 'SELECT pg_try_advisory_xact_lock(1130918255, hashtext($1)) AS "isFree"';
  const { rows } = await client.query(lock, [source]);
  if (!rows[0].isFree) return []; // another server watches it
  await client.query(inSchema('DELETE FROM bell.changebell_watched WHERE source = $1', schema), [source]);
  await client.query(inSchema('DELETE FROM bell.changebell_partitions WHERE source = $1', schema), [source]);
  // Only an owner may drop one; the line in `changebell_watched` is gone in any case, and without it a trigger is idle.
  for (const { name, relation, isOwner } of triggers) {
    if (isOwner) await client.query(`DROP TRIGGER IF EXISTS ${name} ON ${relation}`);
  }
  const stays = triggers.find(({ isOwner }) => !isOwner);
  if (!stays) return [];
  return [
    `${stays.relation} is no longer watched, but its triggers can only be dropped by its owner: they are idle. DROP TRIGGER changebell_watch ON ${stays.relation} removes them.`,
  ];
}

/** @throws {StartError} a right is missing: it says which one, and who can give it */
async function putUp(
  client: Client,
  schema: string,
  table: WatchedTable,
  existing: Trigger[],
): Promise<void> {
  const { relation, type, source, key, bytes } = table;
  // Before the trigger, which does nothing while the table has no line there.
  await client.query(inSchema(REGISTER, schema), [source, type, JSON.stringify(key), JSON.stringify(bytes)]);
  const { rows: parts } = await client.query<{ relation: string }>(FIND_PARTS, [relation]);
  try {
    await bind(client, schema, table, relation, 'changebell_watch', existing);
    // TRUNCATE of a partition fires its own triggers alone, and not those of the table that it is in.
    for (const part of parts)
      await bind(client, schema, table, part.relation, 'changebell_watch_truncate', existing);
    for (const sql of NOTE_PARTS) await client.query(inSchema(sql, schema), [source, relation]);
  } catch (error) {
    // Insufficient privilege: the one failure here that a person can mend, so it says how.
    if ((error as { code?: string }).code !== '42501') throw error;
    throw new StartError(
      `WATCH names "${table.table}", but ${(error as Error).message}: its owner must GRANT SELECT, TRIGGER ON ${relation} TO ${client.user}.`,
    );
  }
}

/** The TRUNCATE trigger of a partition that came while the server runs. */
export async function bindTruncate(
  client: ClientBase,
  schema: string,
  table: WatchedTable,
  partition: string,
): Promise<void> {
  const { rows } = await client.query<Trigger>(inSchema(FIND_TRIGGERS, schema));
  await bind(client, schema, table, partition, 'changebell_watch_truncate', rows);
}

/**
 * Puts up one trigger, if it isn't there as it should be. Enabled also for rows that come by replication, which only
 * the owner of the table may say.
 */
async function bind(
  client: ClientBase,
  schema: string,
  { source }: WatchedTable,
  relation: string,
  name: string,
  existing: Trigger[],
): Promise<void> {
  // By its name and its place, whatever it says: the table may be watched under another source than before.
  const there = existing.find((trigger) => trigger.name === name && trigger.relation === relation);
  // Right already. A trigger that is dropped and made anew locks the table, and an application would wait for that.
  if (there?.source === source && (there.enabled === 'A' || !there.isOwner)) return;
  if (there) await client.query(`DROP TRIGGER ${name} ON ${relation}`);
  const on =
    name === 'changebell_watch'
      ? `AFTER INSERT OR UPDATE OR DELETE ON ${relation} FOR EACH ROW`
      : `BEFORE TRUNCATE ON ${relation} FOR EACH STATEMENT`;
  const call = inSchema(`bell.changebell_watch(${client.escapeLiteral(source)})`, schema);
  await client.query(`CREATE TRIGGER ${name} ${on} EXECUTE FUNCTION ${call}`);
  const { rows } = await client.query(IS_OWNER, [relation]);
  if (rows[0].isOwner) await client.query(`ALTER TABLE ${relation} ENABLE ALWAYS TRIGGER ${name}`);
}

// The WHERE keeps a restart from writing the same line again: nothing changes, so nothing waits for it.
const REGISTER = `
  INSERT INTO bell.changebell_watched AS old VALUES ($1, $2, $3, $4)
  ON CONFLICT (source) DO UPDATE SET type = $2, key = $3, bytes = $4
  WHERE (old.type, old.key, old.bytes) IS DISTINCT FROM ($2, $3, $4)`;

// What came or went while no server ran is told by the first look. But a table that was made anew, or restored with
// its database, has other partitions from the start, and what was noted may be the number of something else by now.
const NOTE_PARTS = [
  `DELETE FROM bell.changebell_partitions WHERE source = $1 AND NOT EXISTS (
     SELECT FROM bell.changebell_partitions WHERE source = $1 AND relation = $2::regclass)`,
  `INSERT INTO bell.changebell_partitions SELECT $1, relation FROM bell.changebell_tree($2::regclass)
   WHERE NOT EXISTS (SELECT FROM bell.changebell_partitions WHERE source = $1)`,
];
