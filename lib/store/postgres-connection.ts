// Connections to PostgreSQL, and what goes wrong with them. Whatever is wrong at the start is found before
// anything is changed, and told in one line, never with the password. The package `pg` is only loaded here.
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, ClientBase, ClientConfig, DatabaseError } from 'pg';
import { type Config, StartError } from '../config.ts';
import { Problem, unavailable } from '../problem.ts';
import { applyWatch, planWatch } from './postgres-watch.ts';
import type { Outcome } from './store.ts';

const VERSION = 2;
const LOG = new URL('postgres-log.sql', import.meta.url);
const CUSTOMERS = new URL('postgres-customers.sql', import.meta.url);
const START_MS = 10_000; // another server may be at the same work, an application may hold a table
const STATEMENT_MS = 2000;
const LOCK_MS = 500;
const RECONNECT_MS = 250;
const MAX_RECONNECT_MS = 5000;

export type Postgres = Awaited<ReturnType<typeof loadPostgres>>;

/** The package, and the settings of every connection. @throws {StartError} if the package isn't installed */
export async function loadPostgres(connectionString: string) {
  const { default: pg } = await import('pg').catch(() => {
    throw new StartError(
      'DATABASE_URL is of PostgreSQL, but the package pg is not installed: npm install pg',
    );
  });
  const BIGINT = 20;
  const asNumber = {
    getTypeParser: (oid: number) => (oid === BIGINT ? Number : pg.types.getTypeParser(oid)),
  };
  const settings: ClientConfig = {
    connectionString,
    application_name: 'changebell',
    types: asNumber as NonNullable<ClientConfig['types']>, // our numbers fit: the schema keeps them below 2^53
    keepAlive: true,
  };
  return {
    newClient: () => new pg.Client({ ...settings, connectionTimeoutMillis: START_MS }),

    /** Up to `max` connections that are opened when they are needed, and again after they were lost. */
    newPool(max: number) {
      const pool = new pg.Pool({
        ...settings,
        max,
        connectionTimeoutMillis: STATEMENT_MS,
        statement_timeout: STATEMENT_MS,
        query_timeout: STATEMENT_MS + LOCK_MS, // where the database answers nothing at all
        lock_timeout: LOCK_MS,
        onConnect: prepareSession,
      });
      pool.on('error', () => {}); // an idle connection was lost: the next query opens another one
      pool.on('connect', (client) => client.on('error', () => {})); // in use: its query rejects as well
      return pool;
    },

    isDatabaseError: (error: unknown): error is DatabaseError => error instanceof pg.DatabaseError,
  };
}

/** A plan that was made while the log is short is kept when it is long: it must use the index from the start. */
async function prepareSession(client: ClientBase): Promise<void> {
  await client.query('SET enable_seqscan = off; SET jit = off; SET synchronous_commit = on');
}

/** For people: which database this is, without user and password. */
export function describeDatabase({ database, host, port }: Client): string {
  return `PostgreSQL database ${database} at ${host.startsWith('/') ? host : `${host}:${port}`}`;
}

/**
 * Runs what must be done before the first request, as one transaction: all of it or nothing. Servers that
 * start at the same time do it one after the other.
 * @throws {StartError} one line that says what to do
 */
export async function atStart<T>({ newClient }: Postgres, work: (client: Client) => Promise<T>): Promise<T> {
  const client = newClient();
  client.on('error', () => {}); // comes as a rejected query as well
  try {
    await client.connect();
    await client.query(`SET statement_timeout = ${START_MS}; SET lock_timeout = ${START_MS / 2}`);
    await client.query("BEGIN; SELECT pg_advisory_xact_lock(hashtext('changebell'))");
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    if (error instanceof StartError) throw error;
    const what = describeDatabase(client);
    throw new StartError(`The ${what} cannot be used (${(error as Error).message}): ${hintFor(error)}.`);
  } finally {
    await client.end().catch(() => {});
  }
}

function hintFor(error: unknown): string {
  const { code } = error as { code?: string };
  if (code === '42501')
    return 'give that right to the user of DATABASE_URL, as in GRANT CREATE ON SCHEMA public TO …';
  if (code === '55P03') return 'another program holds a table in a long transaction, end that first';
  return 'check DATABASE_URL, and that the database is running';
}

/** Our tables, where they aren't there yet. @throws {StartError} if this is no place for them */
export async function prepareSchema(client: Client, { watch }: Pick<Config, 'watch'>): Promise<void> {
  const { rows } = await client.query(`
    SELECT current_schema() AS schema, current_setting('server_encoding') AS encoding,
      to_regclass(format('%I.changebell_log', current_schema())) AS log,
      to_regclass(format('%I.customers', current_schema())) AS customers,
      to_regprocedure(format('%I.changebell_customer_changed()', current_schema())) AS made_by_us`);
  const { schema, encoding, log, customers, made_by_us: isOurs } = rows[0];
  const what = describeDatabase(client);
  if (schema === null)
    throw new StartError(`The ${what} has no schema on the user's search_path: create one.`);
  if (encoding !== 'UTF8')
    throw new StartError(`The ${what} has the encoding ${encoding}, but must have UTF8: make another one.`);
  if (log !== null) await checkVersion(client, what);
  const isForeign = customers !== null && isOurs === null;
  if (isForeign && !watch.has('customers')) {
    throw new StartError(
      `The ${what} has a table "customers" that Changebell did not make: name it in WATCH to announce its changes, or point DATABASE_URL at another database.`,
    );
  }
  const triggers = await planWatch(client, watch, isOurs !== null);
  // Functions of triggers keep this path, so that no other schema comes before it.
  await client.query("SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true)");
  if (log === null) await client.query(readFileSync(LOG, 'utf8'));
  if (customers === null) await client.query(readFileSync(CUSTOMERS, 'utf8'));
  await applyWatch(client, triggers);
}

async function checkVersion(client: Client, what: string): Promise<void> {
  const { rows } = await client.query('SELECT version FROM changebell_log');
  if (rows[0].version <= VERSION) return;
  throw new StartError(
    `The ${what} was written by a newer version of Changebell (its format is ${rows[0].version}, this program knows ${VERSION}): start that version instead.`,
  );
}

/**
 * Calls `wake` at every notification, with the number of the process that sent it, and after the connection for them was lost and made again.
 * @returns a function that ends it
 */
export function listen({ newClient }: Postgres, wake: (sender?: number) => void): () => Promise<void> {
  const stopped = new AbortController();
  let client: Client;

  async function listenOnce(): Promise<void> {
    client = newClient();
    const ended = new Promise<void>((resolve) => client.once('end', resolve));
    client.on('error', () => {}); // 'end' follows
    client.on('notification', ({ processId }) => wake(processId));
    await client.connect();
    await client.query('LISTEN changebell');
    wake(); // for what was committed while nobody listened
    await ended;
  }

  async function keepListening(): Promise<void> {
    for (let pause = RECONNECT_MS; !stopped.signal.aborted; pause = Math.min(2 * pause, MAX_RECONNECT_MS)) {
      const since = performance.now();
      await listenOnce().catch(() => client.end().catch(() => {}));
      if (performance.now() - since > MAX_RECONNECT_MS) pause = RECONNECT_MS;
      await delay(pause, undefined, { signal: stopped.signal }).catch(() => {});
    }
  }

  void keepListening();
  return () => {
    stopped.abort();
    return client.end().catch(() => {});
  };
}

/** Locked, or in conflict with another transaction: nothing was written, and it may work in a moment. */
export function isTransient(code: string | undefined): boolean {
  return code === '55P03' || code === '40P01' || code === '40001';
}

/** What came of a write alone that the database refused: a rule forbids it, or the database can't be used. */
export function toOutcome(error: { code?: string | undefined; message: string }): Outcome {
  if (!/^(22|23|P0)/.test(error.code ?? '')) throw toProblem(error);
  tell(`A rule of the database refused a write: ${error.message}`);
  return { is: 'refused', status: 409, detail: 'A rule of the database forbids this change.' };
}

/** What the caller may know of a failure. */
export function toProblem(error: unknown): unknown {
  if (error instanceof Problem) return error;
  const { code = '', message } = error as { code?: string; message: string };
  tell(`The database failed${code && ` (${code})`}: ${message}`);
  return unavailable('The database cannot be used at the moment.');
}

const told = { line: '', at: 0 };

/** The same line once a minute: while the database is away, every request and every turn meets it. */
function tell(line: string): void {
  if (line === told.line && performance.now() - told.at < 60_000) return;
  Object.assign(told, { line, at: performance.now() });
  console.error(line);
}
