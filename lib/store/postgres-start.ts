// What must be done before the first request, as one transaction: all of it or nothing. Whatever is wrong is found
// before anything is changed, and told in one line, never with the password.
import type { Client } from 'pg';
import { StartError } from '../config.ts';
import { WATCHED_RESOURCES } from '../resources.ts';
import { describeDatabase, isPooled, type Postgres, processOf } from './postgres-connection.ts';
import { install, installFile, VERSION } from './postgres-schema.ts';
import { inSchema } from './postgres-statements.ts';
import { applyWatch, planWatch, type WatchedTable } from './postgres-watch.ts';

const START_MS = 10_000; // another server may be at the same work, an application may hold a table

/** What is known of the database once it is ours. */
export type Opened = {
  /** The schema's name, as SQL has it. */
  schema: string;
  description: string;
  hasCustomers: boolean;
  watched: WatchedTable[];
  /** What a person should know, a line each. */
  notices: string[];
};

export type StartOptions = { watch: ReadonlySet<string>; hasCustomers: boolean };

/**
 * Servers that start at the same time do it one after the other. The connection stays open: until it is closed, no
 * other server takes down the triggers of the tables that are watched here.
 * @throws {StartError} one line that says what to do
 */
export async function openDatabase(
  postgres: Postgres,
  options: StartOptions,
): Promise<{ client: Client; opened: Opened }> {
  let client: Client | undefined;
  let what = postgres.describe();
  try {
    client = await postgres.connect();
    what = describeDatabase(client);
    await findPooler(postgres, client);
    await client.query(`SET statement_timeout = ${START_MS}; SET lock_timeout = ${START_MS / 2}`);
    await client.query(
      'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock(1130918254, 0)',
    );
    const opened = await prepare(client, what, options);
    await client.query('COMMIT');
    await client.query('RESET statement_timeout; RESET lock_timeout');
    return { client, opened };
  } catch (error) {
    await client?.end().catch(() => {});
    if (error instanceof StartError) throw error;
    throw new StartError(`The ${what} cannot be used (${(error as Error).message}): ${hintFor(error)}.`);
  }
}

/** Does a pooler give this connection's place to another one while it is idle (transaction pooling)? Notes it. */
export async function findPooler(postgres: Postgres, client: Client): Promise<void> {
  if (!isPooled(client)) return;
  const other = await postgres.connect();
  postgres.isLent = processOf(other) === processOf(client);
  await other.end();
}

/** What to do about it. SQLSTATEs: insufficient_privilege, lock_not_available. */
function hintFor(error: unknown): string {
  const { code } = error as { code?: string };
  if (code === '42501')
    return 'give that right to the user of DATABASE_URL, as in GRANT CREATE ON SCHEMA public TO …';
  if (code === '55P03') return 'another program holds a table in a long transaction, end that first';
  return 'check DATABASE_URL, and that the database is running';
}

/** Inside the transaction: looks first, then makes what is missing. @throws {StartError} */
async function prepare(client: Client, what: string, { watch, hasCustomers }: StartOptions): Promise<Opened> {
  const found = await look(client, what);
  const isForeign = found.hasTable && !found.isOurs;
  if (isForeign && hasCustomers && !watch.has('customers')) {
    throw new StartError(
      `The ${what} has a table "customers" that Changebell did not make: name it in WATCH to announce its changes, or point DATABASE_URL at another database.`,
    );
  }
  const ours = found.isOurs || (hasCustomers && !isForeign);
  for (const { table } of WATCHED_RESOURCES) await installFile(client, found.schema, table);
  const watched = await planWatch(client, watch, ours);
  const isNew = found.version === null;
  const isUpgraded = await install(client, found.schema, { isNew, hasCustomers: ours });
  const notices = isUpgraded ? [`The ${what} was brought up to date (format ${VERSION}).`] : [];
  if (watched.length > 0 || !isNew) notices.push(...(await applyWatch(client, found.schema, watched)));
  return { schema: found.schema, description: what, hasCustomers: ours && hasCustomers, watched, notices };
}

type Found = { schema: string; version: number | null; hasTable: boolean; isOurs: boolean };

/** @throws {StartError} if this is no place for our tables */
async function look(client: Client, what: string): Promise<Found> {
  const { rows } = await client.query(`
    SELECT format('%I', current_schema()) AS schema, current_setting('server_encoding') AS encoding,
      to_regclass(format('%I.changebell_log', current_schema())) IS NOT NULL AS "hasLog",
      to_regclass(format('%I.customers', current_schema())) IS NOT NULL AS "hasTable",
      EXISTS (SELECT FROM pg_trigger WHERE tgname LIKE 'changebell\\_customer\\_%'
        AND tgrelid = to_regclass(format('%I.customers', current_schema()))) AS "isOurs"`);
  const { schema, encoding, hasLog, hasTable, isOurs } = rows[0];
  if (schema === null)
    throw new StartError(`The ${what} has no schema on the user's search_path: create one.`);
  if (encoding !== 'UTF8')
    throw new StartError(`The ${what} has the encoding ${encoding}, but must have UTF8: make another one.`);
  const version = hasLog ? await checkVersion(client, schema, what) : null;
  return { schema, version, hasTable, isOurs };
}

/** A newer program's tables are left as they are: this one doesn't know what it would break. */
async function checkVersion(client: Client, schema: string, what: string): Promise<number> {
  const { rows } = await client.query(inSchema('SELECT version FROM bell.changebell_log', schema));
  const { version } = rows[0];
  if (version <= VERSION) return version;
  throw new StartError(
    `The ${what} was written by a newer version of Changebell (its format is ${version}, this program knows ${VERSION}): start that version instead.`,
  );
}
