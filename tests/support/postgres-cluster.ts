// A PostgreSQL of the test's own: a cluster in a temporary folder, on a free port, gone when the test ends.
// The database refuses to run as root, so there it runs as the user `postgres`.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { temporaryFolder, within } from './helpers.ts';

const PASSWORD = 'hunter2';
export const [bin] = findBin();

/** For `skipWithout`: the program that makes a cluster, if it is installed. */
export const INITDB = bin && join(bin, 'initdb');

export type Cluster = Awaited<ReturnType<typeof startCluster>>;

function findBin(): string[] {
  try {
    const versions = readdirSync('/usr/lib/postgresql').sort((a, b) => Number(b) - Number(a));
    return versions.map((version) => `/usr/lib/postgresql/${version}/bin`);
  } catch {
    return [];
  }
}

/** Not durable, as a test needs none; passwords are asked for over TCP. */
export async function startCluster(settings: string[] = []) {
  const folder = temporaryFolder();
  const data = join(folder, 'data');
  const user = databaseUser();
  if (user) chownSync(folder, user.uid, user.gid);
  writeFileSync(join(folder, 'password'), PASSWORD, { mode: 0o644 });
  const options = ['-D', data, '-U', 'postgres', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'];
  const authentication = [
    '--auth-local=trust',
    '--auth-host=scram-sha-256',
    '--pwfile',
    join(folder, 'password'),
  ];
  execFileSync(INITDB!, [...options, ...authentication], { ...user, cwd: folder, stdio: 'pipe' });
  const port = await freePort();
  let server = await startPostgres();

  async function startPostgres(): Promise<ChildProcess> {
    const quick = ['fsync=off', 'shared_buffers=16MB', 'listen_addresses=127.0.0.1', ...settings];
    const child = spawn(
      join(bin!, 'postgres'),
      ['-D', data, '-k', folder, '-p', String(port), ...quick.flatMap((setting) => ['-c', setting])],
      { ...user, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    process.once('exit', () => child.kill('SIGQUIT'));
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      output = (output + text).slice(-10_000);
    });
    const isReady = async () => {
      while (!output.includes('ready to accept connections')) await once(child.stderr, 'data');
    };
    await within(isReady(), 'PostgreSQL to start');
    return child;
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill(signal);
    await within(ended, 'PostgreSQL to end');
  }

  const url = (database: string, name = 'postgres', password = PASSWORD) =>
    `postgres://${name}:${password}@127.0.0.1:${port}/${database}`;

  /** A connection of another program. */
  async function connect(database: string, name?: string): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: url(database, name) });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  return {
    folder,
    port,
    url,
    connect,
    /** Makes an empty database, in a folder of its own if one is named. @returns its DATABASE_URL */
    async createDatabase(name: string, place?: string): Promise<string> {
      const client = await connect('postgres');
      if (place !== undefined) {
        if (user) chownSync(place, user.uid, user.gid);
        await client.query(`CREATE TABLESPACE ${name} LOCATION '${place}'`);
      }
      await client.query(`CREATE DATABASE ${name} ${place === undefined ? '' : `TABLESPACE ${name}`}`);
      await client.end();
      return url(name);
    },
    /** Ends it at once, as a crash would: every connection breaks. */
    crash: () => end('SIGQUIT'),
    /** A signal to every process of it. */
    signalAll(signal: NodeJS.Signals): void {
      const children = execFileSync('pgrep', ['-P', String(server.pid)], { encoding: 'utf8' });
      for (const pid of [server.pid!, ...children.split('\n').filter(Boolean).map(Number)])
        process.kill(pid, signal);
    },
    async restart(): Promise<void> {
      server = await startPostgres();
    },
    stop: () => end('SIGINT'),
  };
}

/** Who runs the database: it refuses to run as root. */
export function databaseUser(): { uid: number; gid: number } | undefined {
  return process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : undefined;
}

function idOf(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'postgres']));
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
