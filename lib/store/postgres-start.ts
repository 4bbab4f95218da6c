// What must be done before the first request, as one transaction: all of it or nothing; but older tables are brought up to
// date in one before it. Whatever is wrong is found before anything is changed, and told in one line, never with the password.
import type { Client } from 'pg';
import { StartError } from '../config.ts';
import { WATCHED_RESOURCES } from '../resources.ts';
import type { Postgres, Run } from './postgres-connection.ts';
import { install, installFile, VERSION } from './postgres-schema.ts';
import { startWatch, type WatchedTable } from './postgres-watch.ts';

/** Servers that start at the same time do it one after the other. */
const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock(1130918254, 0)';
const MEND_MS = 5000;
const START_MS = 10_000; // another server may be at the same work, an application may hold a table

/** A connection to the database once it is ours, and what is known of it. */
export type Opened = {
  client: Client;
  run: Run;
  hasCustomers: boolean;
  watched: WatchedTable[];
  /** What a person should know, a line each. */
  notices: string[];
};

type Options = { watch: ReadonlySet<string>; hasCustomers: boolean };

/**
 * The connection stays open: until it is closed, no other server takes down the triggers of the tables that are watched
 * here.
 * @throws {StartError} one line that says what to do
 */
export async function openDatabase(postgres: Postgres, options: Options): Promise<Opened> {
  let client: Client | undefined;
  try {
    client = await postgres.connect();
    await postgres.findPooler(client);
    const run = postgres.runOn(client);
    await run(`SET statement_timeout = ${START_MS}; SET lock_timeout = ${START_MS / 2}`);
    await run(BEGIN);
    const found = await prepare(postgres, run, options);
    await run('COMMIT');
    await run('RESET statement_timeout; RESET lock_timeout');
    return { client, run, ...found };
  } catch (error) {
    await client?.end().catch(() => {});
    if (error instanceof StartError) throw error;
    throw new StartError(
      `The ${postgres.describe()} cannot be used (${(error as Error).message}): ${hintFor(error)}.`,
    );
  }
}

/**
 * Another version of this program takes away, at its start, the functions that it doesn't know: so the server that lacks
 * one makes its own anew, beside the other's. Tables that are gone are left to who may be reading a dump back.
 * @returns what is called at each failure, and does it at most so often
 */
export function mender(postgres: Postgres, hasCustomers: boolean): () => void {
  let last = Number.NEGATIVE_INFINITY;
  const mend = async (client: Client) => {
    const run = postgres.runOn(client);
    await run(`${BEGIN}; SET LOCAL search_path = pg_catalog, pg_temp`);
    await checkVersion(run, '');
    await install(run, postgres.schema, { isNew: true, hasCustomers });
    await run('COMMIT');
    console.error(
      'Functions of Changebell were gone, as after the start of another version, and are made anew.',
    );
  };
  return () => {
    if (performance.now() - last < MEND_MS) return;
    last = performance.now();
    postgres
      .connect()
      .then((client) => mend(client).finally(() => client.end()))
      .catch(() => {}); // the next failure is told as well, and calls again
  };
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
async function prepare(postgres: Postgres, run: Run, { watch, hasCustomers }: Options) {
  const what = postgres.describe();
  const { schema, hasLog, hasTable, isOurs } = await look(run, what);
  postgres.schema = schema;
  if (hasLog) await checkVersion(run, what);
  const isForeign = hasTable && !isOurs;
  if (isForeign && hasCustomers && !watch.has('customers')) {
    throw new StartError(
      `The ${what} has a table "customers" that Changebell did not make: name it in WATCH to announce its changes, or point DATABASE_URL at another database.`,
    );
  }
  const ours = isOurs || (hasCustomers && !isForeign);
  // What another role has made in our schema must not be found where a name of PostgreSQL's own is meant.
  await run('SET LOCAL search_path = pg_catalog, pg_temp');
  for (const { table } of WATCHED_RESOURCES) await installFile(run, schema, table);
  const isUpgraded = await install(run, schema, { isNew: !hasLog, hasCustomers: ours });
  // A lock on the log and one on a watched table could meet an application that writes, and end it.
  if (isUpgraded) await run(`COMMIT; ${BEGIN}`);
  await run('SET LOCAL search_path TO DEFAULT'); // on it are the tables that WATCH names
  const notices = isUpgraded ? [`The ${what} was brought up to date (format ${VERSION}).`] : [];
  const { watched, notices: more } = await startWatch(run, watch, ours);
  return { hasCustomers: ours && hasCustomers, watched, notices: [...notices, ...more] };
}

/** `hasTable`: there is a table `customers`; `isOurs`: it has our triggers, or the function that shows its rows. */
type Found = { schema: string; encoding: string; hasLog: boolean; hasTable: boolean; isOurs: boolean };

/** @throws {StartError} if this is no place for our tables */
async function look(run: Run, what: string): Promise<Found> {
  const [found] = await run<Found>(`
    SELECT schema, current_setting('server_encoding') AS encoding,
      to_regclass(schema || '.changebell_log') IS NOT NULL AS "hasLog",
      to_regclass(schema || '.customers') IS NOT NULL AS "hasTable",
      to_regproc(schema || '.changebell_json') IS NOT NULL
        OR EXISTS (SELECT FROM pg_trigger WHERE tgname LIKE 'changebell\\_customer\\_%'
          AND tgrelid = to_regclass(schema || '.customers')) AS "isOurs"
    FROM (SELECT quote_ident(current_schema()::text) AS schema) AS here`);
  const { schema, encoding } = found!;
  if (schema === null)
    throw new StartError(`The ${what} has no schema on the user's search_path: create one.`);
  if (encoding !== 'UTF8')
    throw new StartError(`The ${what} has the encoding ${encoding}, but must have UTF8: make another one.`);
  return found!;
}

/** A newer program's tables are left as they are: this one doesn't know what it would break. */
async function checkVersion(run: Run, what: string): Promise<void> {
  const [log] = await run<{ version: number }>('SELECT version FROM bell.changebell_log');
  if (!log)
    throw new StartError(
      `The ${what} has no row in its changebell_log: read the dump back to its end, or restore a backup.`,
    );
  if (log.version <= VERSION) return;
  throw new StartError(
    `The ${what} was written by a newer version of Changebell (its format is ${log.version}, this program knows ${VERSION}): start that version instead.`,
  );
}
