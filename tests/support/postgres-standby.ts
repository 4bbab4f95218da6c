// A standby of a test's PostgreSQL: made by the command of lib/operations/README.md, it follows the first until it is
// cut off, and takes writes once it is promoted.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import pg from 'pg';
import { eventually, within } from './helpers.ts';
import { bin, type Cluster, databaseUser, freePort } from './postgres-cluster.ts';
import { recipe, runShell } from './recipes.ts';

// It replays what the copy lacks before it takes connections.
const START_MS = 5000;

/** What a test has of its standby. */
export type Standby = Awaited<ReturnType<typeof startStandby>>;

/** A copy of the cluster that follows it, in a folder of this name. */
export async function startStandby(cluster: Cluster, name = 'standby') {
  const data = join(cluster.folder, name);
  const user = databaseUser();
  // The very line of the page, but for the folder: so the page is tested with it.
  const copying = recipe('sh', 'pg_basebackup').replace('/var/lib/postgresql/standby', data);
  await runShell(copying, cluster.folder, { PRIMARY_URL: cluster.url('postgres') }, user);
  // On this machine it needs a port of its own; elsewhere it would have the same.
  const port = await freePort();
  // No socket: it would go into a folder of the machine's own.
  const args = ['-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off'];
  let server = await startPostgres();

  async function startPostgres(): Promise<ChildProcess> {
    const child = spawn(join(bin!, 'postgres'), [...args, '-c', 'unix_socket_directories='], {
      ...user,
      cwd: cluster.folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    // Should this process be ended, no database is left behind.
    process.once('exit', () => child.kill('SIGQUIT'));
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      // Its last words, for the failure of a start.
      output = (output + text).slice(-10_000);
    });
    // A standby says this, and never that it takes all connections.
    const isReady = async () => {
      while (!output.includes('ready to accept read-only connections')) await once(child.stderr, 'data');
    };
    await within(isReady(), 'the standby to start', { takes: START_MS, instead: () => output });
    return child;
  }

  /** The DATABASE_URL of the same database on the standby: only the port differs. */
  const url = (database: string) => cluster.url(database).replace(`:${cluster.port}/`, `:${port}/`);

  /** The rows of one statement. */
  async function ask(sql: string, database = 'postgres'): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: url(database) });
    client.on('error', () => {});
    await client.connect();
    const { rows } = await client.query(sql);
    await client.end();
    return rows;
  }

  return {
    port,
    url,
    ask,
    /** From now on it hears nothing of the first any more, as where the network between them is down. */
    async cutOff(): Promise<void> {
      // Told to follow nobody: a standby takes no other write than this one, into its settings.
      await ask("ALTER SYSTEM SET primary_conninfo = ''");
      await ask('SELECT pg_reload_conf()');
      // The process that receives ends a moment after it was told.
      const receivers = () => ask('SELECT pid FROM pg_stat_wal_receiver');
      await eventually(receivers, ({ length }) => length === 0, 'the standby is cut off', START_MS);
    },
    /** Resolves when it takes writes: from then on its history is its own. */
    async promote(): Promise<void> {
      await ask('SELECT pg_promote()');
    },
    /** What comes from the first is kept, and not shown: so far behind it may be as a test wants. */
    async pause(): Promise<void> {
      await ask('SELECT pg_wal_replay_pause()');
      const states = () => ask('SELECT pg_get_wal_replay_pause_state() AS state');
      await eventually(states, ([row]) => row?.state === 'paused', 'the standby stands still', START_MS);
    },
    /** What was kept is shown, and all that follows. */
    async resume(): Promise<void> {
      await ask('SELECT pg_wal_replay_resume()');
    },
    /** From now on it shows each commit this much later than the first made it. */
    async setDelay(ms: number): Promise<void> {
      await ask(`ALTER SYSTEM SET recovery_min_apply_delay = ${ms}`);
      await ask('SELECT pg_reload_conf()');
      const delays = () => ask("SELECT current_setting('recovery_min_apply_delay', true) AS delay");
      const isSet = ([row]: Record<string, unknown>[]) => Number.parseInt(String(row?.delay), 10) === ms;
      await eventually(delays, isSet, 'the standby has its delay', START_MS);
    },
    /** After `stop`, on the same port and with the same data. */
    async restart(): Promise<void> {
      server = await startPostgres();
    },
    async stop(): Promise<void> {
      // Listened for before the signal: the end may come at once.
      const ended = once(server, 'exit');
      server.kill('SIGINT');
      await within(ended, 'the standby to end', START_MS);
    },
  };
}
