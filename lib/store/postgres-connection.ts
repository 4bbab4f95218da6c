// Connections to PostgreSQL. Every one of them is tried before it is used: it must be to the server that takes writes,
// unless it is for reading alone; and has what we rely on set by itself, since poolers refuse settings at the start of
// a connection. The package `pg` is only loaded here.
import type { Client, ClientBase, ClientConfig, DatabaseError, Pool, PoolClient, PoolConfig } from 'pg';
import { StartError } from '../config.ts';
import { Hosts } from './postgres-hosts.ts';

const STATEMENT_MS = 2000; // as long as a write may wait
const LOCK_MS = 500; // for a lock of our own that another server holds; those of applications get less
const CONNECT_MS = 2000;

type Package = typeof import('pg').default;

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
  /** Behind a pooler that lends a connection for a transaction: nothing may be left in a session. */
  isLent = false;
  private readonly pg: Package;
  private readonly hosts: Hosts;
  private readonly takesStandby: boolean;

  constructor(pg: Package, url: string, takesStandby: boolean) {
    this.pg = pg;
    this.takesStandby = takesStandby;
    this.hosts = new Hosts(url);
  }

  /** A connection that lasts, to a server that will do. @throws what the last of the hosts said */
  async connect(): Promise<Client> {
    for (let tries = 1; ; tries += 1) {
      const url = this.hosts.current;
      const client = new this.pg.Client({ ...this.settings(url), connectionTimeoutMillis: CONNECT_MS });
      client.on('error', () => {}); // comes as a rejected query as well
      try {
        await client.connect();
        await this.prepare(client);
        return client;
      } catch (error) {
        this.hosts.turnFrom(url);
        await client.end().catch(() => {});
        if (tries >= this.hosts.count) throw error;
      }
    }
  }

  /** Up to `max` connections that are opened when they are needed, and again after they were lost. */
  newPool(max: number): Pool {
    const pool = new this.pg.Pool({
      ...this.settings(this.hosts.current),
      max,
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: STATEMENT_MS + LOCK_MS, // where the database answers nothing at all
      onConnect: (client: ClientBase) => this.prepare(client),
    } as PoolConfig);
    pool.on('error', () => {}); // an idle connection was lost: the next query opens another one
    pool.on('connect', (client) => client.on('error', () => {})); // in use: its query rejects as well
    return pool;
  }

  /** One of the pool's connections, to a server that will do. @throws what the last of the hosts said */
  async take(pool: Pool): Promise<PoolClient> {
    for (let tries = 1; ; tries += 1) {
      const url = this.hosts.current;
      (pool as unknown as { options: ClientConfig }).options.connectionString = url;
      try {
        return await pool.connect();
      } catch (error) {
        this.hosts.turnFrom(url);
        if (tries >= this.hosts.count) throw error;
      }
    }
  }

  /** Work on one of the pool's connections, which is given up if it fails. @throws what the database said */
  async use<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.take(pool);
    try {
      const result = await work(client);
      client.release();
      return result;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /** For people: the database that the URL names first. */
  describe(): string {
    return describeDatabase(
      new this.pg.Client(this.settings(this.hosts.current)) as Client & { database: string },
    );
  }

  /** The database told of it; anything else is of the connection, and says nothing of what was done. */
  isDatabaseError(error: unknown): error is DatabaseError {
    return error instanceof this.pg.DatabaseError;
  }

  private settings(url: string): ClientConfig {
    const BIGINT = 20;
    const getTypeParser = (oid: number) => (oid === BIGINT ? Number : this.pg.types.getTypeParser(oid));
    return {
      connectionString: url,
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
    realProcess.set(client, rows[0].pid);
    if (this.isLent) return;
    await client.query(`SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off;
      SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off;
      SET plan_cache_mode = force_generic_plan;
      SET statement_timeout = ${STATEMENT_MS}; SET lock_timeout = ${LOCK_MS};
      SET idle_in_transaction_session_timeout = 0; SET client_min_messages = warning;
      SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply'`);
  }
}

const realProcess = new WeakMap<ClientBase, number>();

/** The database's process at the other end, also behind a pooler. */
export function processOf(client: ClientBase): number {
  return realProcess.get(client) ?? 0;
}

/** Is there a pooler between, which says a number of its own? */
export function isPooled(client: ClientBase): boolean {
  return (client as unknown as { processID: number }).processID !== processOf(client);
}

/** For people: which database this is, without user and password. */
export function describeDatabase({
  database,
  host,
  port,
}: Pick<Client, 'database' | 'host' | 'port'>): string {
  return `PostgreSQL database ${database} at ${host.startsWith('/') ? host : `${host}:${port}`}`;
}
