// A PostgreSQL of the test's own: a cluster in a temporary folder, on a free port, gone when the test ends.
// The database refuses to run as root, so there it runs as the user `postgres`. A cluster that the machine has would have
// the settings of whoever owns it, and crashing it would be no test.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import { once } from 'node:events';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { openPostgresStore } from '../../lib/store/postgres-store.ts';
import { isFree } from '../lessons/ports.ts';
import { ROOT, temporaryFolder, within } from './helpers.ts';

// Known to everyone: nobody reaches it but this machine, for as long as the test runs.
const PASSWORD = 'hunter2';
/** Where the programs of the newest PostgreSQL are, as Debian has them; undefined where there is none. */
export const [bin] = findBin();

/** For `skipWithout`: the program that makes a cluster, if it is installed. */
export const INITDB = bin && join(bin, 'initdb');

/** What a test has of its cluster. */
export type Cluster = Awaited<ReturnType<typeof startCluster>>;

/** Newest first. */
function findBin(): string[] {
  try {
    const versions = readdirSync('/usr/lib/postgresql').sort((a, b) => Number(b) - Number(a));
    return versions.map((version) => `/usr/lib/postgresql/${version}/bin`);
  } catch {
    return [];
  }
}

const INITDB_OPTIONS = [
  ...['-D', 'data', '-U', 'postgres', '--no-sync'],
  // UTF-8 without a country: how texts are sorted must not hang on the machine.
  ...['-E', 'UTF8', '--locale=C.UTF-8'],
  // By its socket the cluster trusts everyone, over TCP as a server on another machine would. The password is in a file,
  // since an argument could be read in the list of processes.
  ...['--auth-local=trust', '--auth-host=scram-sha-256', '--pwfile', 'password'],
];

/** An empty cluster in `data`. To make one takes a second, and twenty are wanted: so the first is kept, and unpacked. */
function makeData(folder: string): void {
  const place = { ...databaseUser(), cwd: folder };
  const made = createHash('sha1')
    .update([INITDB, ...INITDB_OPTIONS, PASSWORD].join('\n'))
    .digest('hex');
  const kept = join(ROOT, 'node_modules/.cache/postgres', `${made}.tar`);
  if (!existsSync(kept)) {
    writeFileSync(join(folder, 'password'), PASSWORD);
    execFileSync(INITDB!, INITDB_OPTIONS, { ...place, stdio: 'pipe' });
    mkdirSync(dirname(kept), { recursive: true });
    execFileSync('tar', ['-cf', `${kept}.${process.pid}`, '-C', folder, 'data']);
    renameSync(`${kept}.${process.pid}`, kept); // whole, or not at all: others may want it meanwhile
    return;
  }
  // Opened here, since the database's user need not be able to enter the folder in which it is.
  const archive = openSync(kept, 'r');
  execFileSync('tar', ['-xpf', '-'], { ...place, stdio: [archive, 'pipe', 'pipe'] });
  closeSync(archive);
}

/** Not durable, as a test needs none; passwords are asked for over TCP. */
export async function startCluster(settings: string[] = []) {
  const folder = temporaryFolder();
  const data = join(folder, 'data');
  const user = databaseUser();
  // The folder is root's, and the database must write into it.
  if (user) chownSync(folder, user.uid, user.gid);
  makeData(folder);
  const port = await freePort();
  // Another process after a crash, at the same port: its clients come back to the same address.
  let server = await startPostgres();

  /** Resolves when it takes connections. */
  async function startPostgres(): Promise<ChildProcess> {
    // Small and careless, so that it starts in a moment: tests of durability have another disk.
    const quick = ['fsync=off', 'shared_buffers=16MB', 'listen_addresses=127.0.0.1', ...settings];
    const child = spawn(
      join(bin!, 'postgres'),
      ['-D', data, '-k', folder, '-p', String(port), ...quick.flatMap((setting) => ['-c', setting])],
      { ...user, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    // Should this process be ended, no database is left behind.
    process.once('exit', () => child.kill('SIGQUIT'));
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      // Its last words, for the failure of a start.
      output = (output + text).slice(-10_000);
    });
    // It says so itself; a connection that is tried again and again would only say when it had not come.
    const isReady = async () => {
      while (!output.includes('ready to accept connections')) await once(child.stderr, 'data');
    };
    await within(isReady(), 'PostgreSQL to start');
    return child;
  }

  /** Sends the signal, and waits until the process is gone; nothing where it is gone already. */
  async function end(signal: NodeJS.Signals): Promise<void> {
    if (server.exitCode !== null || server.signalCode !== null) return;
    // Listened for before the signal: the end may come at once.
    const ended = once(server, 'exit');
    server.kill(signal);
    await within(ended, 'PostgreSQL to end');
  }

  /** A DATABASE_URL, of the superuser unless another name is given. */
  const url = (database: string, name = 'postgres', password = PASSWORD) =>
    `postgres://${name}:${password}@127.0.0.1:${port}/${database}`;

  /** A connection of another program. */
  async function connect(database: string, name?: string): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: url(database, name) });
    // Its end is what some tests are about, and without a listener an error event would end this process.
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  /** Of this database others are copies. */
  let template: Promise<string> | undefined;

  async function makeTemplate(): Promise<string> {
    const databaseUrl = await createDatabase('as_started');
    const store = await openPostgresStore({ databaseUrl, eventRetention: 1, watch: new Set() });
    await store.close();
    return 'as_started';
  }

  async function createDatabase(name: string, how = ''): Promise<string> {
    const client = await connect('postgres');
    await client.query(`CREATE DATABASE ${name} ${how}`);
    await client.end();
    return url(name);
  }

  return {
    folder,
    port,
    url,
    connect,
    /** Makes an empty database, in a folder of its own if one is named. @returns its DATABASE_URL */
    async createDatabase(name: string, place?: string): Promise<string> {
      if (place === undefined) return createDatabase(name);
      // A tablespace: so one database can be on a small disk, and fill it, and the others live.
      if (user) chownSync(place, user.uid, user.gid);
      const client = await connect('postgres');
      await client.query(`CREATE TABLESPACE ${name} LOCATION '${place}'`);
      await client.end();
      return createDatabase(name, `TABLESPACE ${name}`);
    },
    /** Makes one in which our tables are already: to make them costs five times what a copy of them does. */
    async createStarted(name: string): Promise<string> {
      template ??= makeTemplate();
      return createDatabase(name, `TEMPLATE ${await template}`);
    },
    /** Ends it at once, as a crash would: every connection breaks. */
    crash: () => end('SIGQUIT'),
    /** A signal to every process of it. */
    signalAll(signal: NodeJS.Signals): void {
      // Every connection is a process of its own: to stop the first alone would stop none of them.
      const children = execFileSync('pgrep', ['-P', String(server.pid)], { encoding: 'utf8' });
      for (const pid of [server.pid!, ...children.split('\n').filter(Boolean).map(Number)]) {
        try {
          process.kill(pid, signal);
        } catch (error) {
          // Between the list and the signal a connection may have ended by itself.
          if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
        }
      }
    },
    async restart(): Promise<void> {
      server = await startPostgres();
    },
    /** At once, but in order: connections are ended, transactions undone. */
    stop: () => end('SIGINT'),
  };
}

/** Who runs the database: it refuses to run as root. */
export function databaseUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  known ??= { uid: idOf('-u'), gid: idOf('-g') };
  return known;
}

let known: { uid: number; gid: number } | undefined; // it stays the same

function idOf(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'postgres']));
}

/** A port that nobody listens on, and that the system gives to nobody who asks for any: those begin at 32768 and above. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000);
    if (await isFree(port)) return port;
  }
}
