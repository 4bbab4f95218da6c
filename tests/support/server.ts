// The program as a user starts it: in a process of its own, on a free port, with a database of its own. The tests
// of a file share one where they can, since a start takes longer than most tests.
import assert from 'node:assert/strict';
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEachTest, closeWithFile, closeWithProcess, isTest } from './cleanup.ts';
import { ROOT, within } from './patience.ts';
import { stripTypes } from './typescript.ts';

const START_MS = 5000; // what a start may take on a machine that is busy with other things
const STOP_MS = 5000; // what the program itself promises
// Long after the last test: what is left open then is a fault, but no reason to hang a whole run.
const FORCE_EXIT_MS = 2000;

// What goes when this process ends, however it ends.
const folders = new Set<string>();
const running = new Set<ChildProcess>();

// A test that failed may have left its server behind, and with its pipes this process would not end.
const killLeftOvers = () => {
  for (const child of running) child.kill('SIGKILL');
};
if (isTest) {
  closeWithProcess(() => {
    killLeftOvers();
    setTimeout(() => process.exit(), FORCE_EXIT_MS).unref(); // should a test have left something open
  });
}
// By itself a signal ends a process without the lines below.
if (isTest) for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
// Synchronous, since nothing else is done any more at that moment.
process.once('exit', () => {
  killLeftOvers();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** How a program ended: by itself with a code, or by a signal. */
export type Exit = { code: number | null; signal: NodeJS.Signals | null };

/** What a test has of a server that runs. */
export type Server = Awaited<ReturnType<typeof startServer>>;

/**
 * For `test(…, { skip: skipWithout('/usr/bin/chromium', 'chromium') }, …)`: false where the program is there,
 * else one line that says how to get it. In CI nothing is skipped: there the test runs, and fails.
 */
export function skipWithout(file: string | undefined, debianPackage: string): string | false {
  if (process.env.CI || (file !== undefined && existsSync(file))) return false;
  return `needs ${debianPackage}: apt-get install ${debianPackage}`;
}

/** A fresh folder, removed when this process ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'changebell-'));
  folders.add(folder);
  return folder;
}

/** Where the program lies, who runs it, and where its output goes, if not as usual: here, by us, into `output`. */
export type Installed = Pick<SpawnOptions, 'cwd' | 'uid' | 'gid' | 'stdio'>;

/**
 * Starts the program with these variables and no others of ours; it has not necessarily come up yet.
 * @param before what stands before the file in the arguments of Node, where that matters to the test
 */
export function launch(env: Record<string, string> = {}, before?: readonly string[], place: Installed = {}) {
  const child = spawn(process.execPath, before ? [...before, 'server.ts'] : program(), {
    cwd: ROOT,
    // Not our own environment: a DATABASE_URL that somebody has set would be the tests' own database.
    env: { ...ambient(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...place,
  });
  const output = { stdout: '', stderr: '' };
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  // A test may let its errors go elsewhere, and then there is nothing to gather.
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  // 'close' and not 'exit': then all of its output has been read.
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  // Until it has ended: this process must not leave it behind.
  running.add(child);
  void exited.then(() => running.delete(child));
  return { child, output, exited };
}

/** The bundle that this run has made; else the program as it stands, or as it was broken in a copy. */
export function program(): readonly string[] {
  const { BUNDLE, BUNDLE_OF } = process.env;
  return BUNDLE && BUNDLE_OF === ROOT ? [BUNDLE] : [...stripTypes, 'server.ts'];
}

/** What any program needs of its surroundings, and nothing that would set ours. */
function ambient(): Record<string, string> {
  // Coverage and the compile cache are for the servers as well: they are most of what runs.
  const names = [
    'PATH',
    'HOME',
    'TMPDIR',
    'TEMP',
    'TMP',
    'SystemRoot',
    'NODE_V8_COVERAGE',
    'NODE_COMPILE_CACHE',
  ];
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}

/** A server that listens: on a free port, with a database of its own unless `env` names one. */
export async function startServer(
  env: Record<string, string> = {},
  before?: readonly string[],
  place: Installed = {},
) {
  // A folder of its own, since SQLite puts further files beside this one.
  const databaseFile = env.DATABASE_URL ?? join(temporaryFolder(), 'test.db');
  // `env` comes last: a test may want a port, a database or another address of its own.
  const { child, output, exited } = launch({ PORT: '0', DATABASE_URL: databaseFile, ...env }, before, place);
  // A start that fails says why on its output: that is what the failure must show.
  const instead = () => `it said: ${output.stdout}${output.stderr}`;
  // It has come up when it says where it is: the port was free when it took it, so no other test has it.
  const wsUrl = await within(readUrl(child, output, exited), 'the server to print its URLs', {
    takes: START_MS,
    instead,
  });
  // Read from the URL that was printed, as a user would.
  const { host, port } = new URL(wsUrl);

  function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    child.kill(signal);
    return within(exited, `the server to end after ${signal}`, { takes: STOP_MS, instead });
  }

  return {
    // With the name that the server itself tells: what it prints must lead to it.
    url: `http://${host}`,
    wsUrl,
    port: Number(port),
    databaseFile,
    process: child,
    output,
    exited,
    stop,
    /** As a crash: nothing is finished, nothing closed. */
    kill9: () => stop('SIGKILL'),
  };
}

/** The URL of the WebSocket, from what the server prints. */
async function readUrl(
  child: ChildProcess,
  output: { stdout: string; stderr: string },
  exited: Promise<Exit>,
) {
  const failed = exited.then(() => {
    throw new Error(`the server ended before it listened: ${output.stdout}${output.stderr}`);
  });
  for (;;) {
    // Its output may be coloured, and a colour's escape is no part of the URL.
    const [url] = /\bws:\/\/[^\s\x1b]+\/ws\b/.exec(output.stdout) ?? [];
    if (url) return url;
    await Promise.race([once(child.stdout!, 'data'), failed]);
  }
}

/**
 * A server for all tests of a file, stopped after the last. Should a test have ended it, the next one finds it
 * started again, on the same port and database: one failure doesn't make the rest fail.
 */
export async function shareServer(env: Record<string, string> = {}): Promise<Server> {
  const server = await startServer(env);
  // The tests of the file have noted its URL, so it must come back at the same one.
  const again = { ...env, PORT: String(server.port), DATABASE_URL: server.databaseFile };
  beforeEachTest(async () => {
    // A look at what is known already: it takes no time before each test.
    const { exitCode, signalCode } = server.process;
    if (exitCode !== null || signalCode !== null) Object.assign(server, await startServer(again));
  });
  // After the last test it is stopped in order, and must end well: that is a promise too.
  closeWithFile(async () => {
    const { code } = await server.stop();
    if (process.platform === 'win32') return; // there a signal ends a program at once
    assert.equal(code, 0, `the shared server ended badly: ${server.output.stderr}`);
  });
  return server;
}
