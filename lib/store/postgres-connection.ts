// The way to PostgreSQL. Every connection is tried before it is used: it must be to the server that takes writes, unless
// it is for reading alone; and has what we rely on set by itself, since poolers refuse settings at the start of a
// connection. In statements of ours `bell.` stands for our schema. The package `pg` is only loaded here.
import type { Client, ClientBase, ClientConfig, DatabaseError, Pool, PoolClient, PoolConfig } from 'pg';
import { StartError } from '../config.ts';
import { Places } from '../places.ts';
import { isReadOnly, isRefusal, lacksFunction } from './postgres-errors.ts';
import { Hosts } from './postgres-hosts.ts';

const STATEMENT_MS = 2000; // as long as a write may wait
const LOCK_MS = 500; // for a lock of our own that another server holds; those of applications get less
const CONNECT_MS = 2000;
const PATIENCE_MS = 5000; // for a connection while all are in use

type Package = typeof import('pg').default;

export type Statement = {
  text: string;
  /** Under it the statement is prepared once in each session. */
  name?: string;
  /** It holds names that others chose, and is sent as it is: no `bell.` in it is ours. */
  isReady?: boolean;
  /** Where the milliseconds of the pool are too few. */
  query_timeout?: number;
};

/** Runs a statement of ours on one connection. @returns its rows @throws what the database said */
export type Run = <Row>(statement: string | Statement, values?: unknown[]) => Promise<Row[]>;

/**
 * The way to the database that `url` names. Nothing is connected yet.
 * @param takesStandby also a server that takes no writes will do
 * @throws {StartError} if the package isn't installed
 */
export async function loadPostgres(url: string, takesStandby = false): Promise<Postgres> {
  const { default: pg } = await import('pg').catch(() => {
    throw new StartError(
      'DATABASE_URL is of PostgreSQL, but the package pg is not installed: npm install pg',
    );
  });
  return new Postgres(pg, url, takesStandby);
}

export class Postgres {
  /** Our schema's name, as SQL has it. The start finds it out, and puts it here. */
  schema = '';
  /** Called where a function of ours is gone. */
  onLack = () => {};
  /** Behind a pooler that lends a connection for a transaction: nothing may be left in a session. */
  private isLent = false;
  private readonly pg: Package;
  private readonly hosts: Hosts;
  private readonly takesStandby: boolean;

  constructor(pg: Package, url: string, takesStandby: boolean) {
    this.pg = pg;
    this.takesStandby = takesStandby;
    this.hosts = new Hosts(url);
  }

  /** A connection that lasts, to a server that will do. @throws what the last of the hosts said */
  connect(): Promise<Client> {
    return this.hosts.attempt(async (url) => {
      const client = new this.pg.Client(this.settings(url));
      client.on('error', () => {}); // comes as a rejected query as well
      try {
        await client.connect();
        await this.prepare(client);
        return client;
      } catch (error) {
        await client.end().catch(() => {});
        throw error;
      }
    });
  }

  /** Up to `max` connections that are opened when they are needed, and again after they were lost. */
  share(max: number): Shared {
    const pool = new this.pg.Pool({
      ...this.settings(this.hosts.current),
      max,
      query_timeout: STATEMENT_MS + LOCK_MS, // where the database answers nothing at all
      onConnect: (client: ClientBase) => this.prepare(client),
    } as PoolConfig);
    pool.on('error', () => {}); // an idle connection was lost: the next query opens another one
    pool.on('connect', (client) => client.on('error', () => {})); // in use: its query rejects as well
    return new Shared(pool, max, this.hosts, (client) => this.runOn(client));
  }

  /** How statements of ours run on this connection. */
  runOn(client: ClientBase): Run {
    return async (statement, values = []) => {
      const { text, name, isReady, ...more }: Statement =
        typeof statement === 'string' ? { text: statement } : statement;
      const query = {
        ...more,
        text: isReady ? text : inSchema(text, this.schema),
        // Where sessions are lent, the next call may be in one that knows no name.
        ...(name !== undefined && !this.isLent && { name }),
        values,
      };
      try {
        return (await client.query(query)).rows;
      } catch (error) {
        if (lacksFunction(error as DatabaseError)) this.onLack();
        throw error;
      }
    };
  }

  /** Does a pooler give this connection's place to another one while it is idle (transaction pooling)? Notes it. */
  async findPooler(client: Client): Promise<void> {
    const { processID } = client as unknown as { processID: number };
    if (processID === processOf(client)) return; // a pooler says a number of its own
    const other = await this.connect();
    this.isLent = processOf(other) === processOf(client);
    await other.end();
  }

  /** For people: the database that the URL leads to, without user and password. */
  describe(): string {
    const { database, host, port } = new this.pg.Client(this.settings(this.hosts.current));
    return `PostgreSQL database ${database} at ${host.startsWith('/') ? host : `${host}:${port}`}`;
  }

  private settings(url: string): ClientConfig {
    const BIGINT = 20;
    const getTypeParser = (oid: number) => (oid === BIGINT ? Number : this.pg.types.getTypeParser(oid));
    return {
      connectionString: url,
      connectionTimeoutMillis: CONNECT_MS,
      application_name: 'changebell',
      types: { getTypeParser } as NonNullable<ClientConfig['types']>, // our numbers fit: they stay below 2^53
      keepAlive: true,
    };
  }

  /**
   * A plan that was made while the log is short is kept when it is long: it must use the index from the start. Then no
   * other is better, and a third of the time that a small batch takes would go into making it anew.
   */
  private async prepare(client: ClientBase): Promise<void> {
    const { rows } = await client.query('SELECT pg_is_in_recovery() AS "isStandby", pg_backend_pid() AS pid');
    if (rows[0].isStandby && !this.takesStandby)
      throw new Error('the server is a standby, which takes no writes');
    processes.set(client, rows[0].pid);
    if (this.isLent) return;
    await client.query(`SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off;
      SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off;
      SET plan_cache_mode = force_generic_plan;
      SET statement_timeout = ${STATEMENT_MS}; SET lock_timeout = ${LOCK_MS};
      SET idle_in_transaction_session_timeout = 0; SET client_min_messages = warning; SET standard_conforming_strings = on;
      SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_session_timeout', 'transaction_timeout');
      SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply'`);
  }
}

/** Connections that several use in turn. */
export class Shared {
  readonly pool: Pool;
  /** Before the pool's own queue: there, who waits in vain would pass for a host that doesn't answer. */
  private readonly places: Places;
  private readonly hosts: Hosts;
  private readonly runOn: (client: ClientBase) => Run;

  constructor(pool: Pool, max: number, hosts: Hosts, runOn: (client: ClientBase) => Run) {
    this.pool = pool;
    this.places = new Places(max);
    this.hosts = hosts;
    this.runOn = runOn;
  }

  /** Work on one of them. @throws what the last of the hosts said, or the database */
  use<T>(work: (run: Run) => Promise<T>): Promise<T> {
    return this.places.use(() => this.work(work), PATIENCE_MS);
  }

  /** One statement on one of them. @throws as `use` does */
  readonly query: Run = (statement, values) => this.use((run) => run(statement, values));

  private async work<T>(work: (run: Run) => Promise<T>): Promise<T> {
    const client = await this.take();
    try {
      const result = await work(this.runOn(client));
      client.release();
      return result;
    } catch (error) {
      // After anything but a refusal, and on a server that takes no writes any more, the next is to find another one.
      client.release(!isRefusal(error) || isReadOnly(error));
      throw error;
    }
  }

  private take(): Promise<PoolClient> {
    return this.hosts.attempt((url) => {
      (this.pool as unknown as { options: ClientConfig }).options.connectionString = url;
      return this.pool.connect();
    });
  }
}

const processes = new WeakMap<ClientBase, number>();

/** The database's process at the other end, also behind a pooler. */
export function processOf(client: ClientBase): number {
  return processes.get(client) ?? 0;
}

/** A statement of ours as the database has it. */
export function inSchema(sql: string, schema: string): string {
  return sql.replace(/\bbell\./g, () => `${schema}.`);
}
