// The program as a user starts it: in a process of its own, on a free port, with a database of its own. The tests
// of a file share one where they can, since a start takes longer than most tests.
import assert from 'node:assert/strict';
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach } from 'node:test';
import { isTest } from './cleanup.ts';
import { ROOT, within } from './patience.ts';
import { stripTypes } from './typescript.ts';

const START_MS = 5000; // what a start may take on a machine that is busy with other things
const STOP_MS = 5000; // what the program itself promises
const FORCE_EXIT_MS = 15_000;

const folders = new Set<string>();
const running = new Set<ChildProcess>();
const shared: (() => Promise<void>)[] = []; // how to stop those that the tests of this file share

// A test that failed may have left its server behind, and with its pipes this process would not end.
const killLeftOvers = () => {
  for (const child of running) child.kill('SIGKILL');
};
if (isTest) {
  after(async () => {
    for (const stop of shared) await stop();
    killLeftOvers();
    setTimeout(() => process.exit(), FORCE_EXIT_MS).unref(); // should a test have left something open
  });
}
process.once('exit', () => {
  killLeftOvers();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

export type Exit = { code: number | null; signal: NodeJS.Signals | null };

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

/** Where the program lies, and who runs it, if it isn't here and by whoever runs the tests. */
export type Installed = Pick<SpawnOptions, 'cwd' | 'uid' | 'gid'>;

/**
 * Starts the program with these variables and no others of ours; it has not necessarily come up yet.
 * @param before what stands before the file in the arguments of Node
 */
export function launch(
  env: Record<string, string> = {},
  before: readonly string[] = stripTypes,
  place: Installed = {},
) {
  const child = spawn(process.execPath, [...before, 'server.ts'], {
    cwd: ROOT,
    env: { ...ambient(), ...env },
    ...place,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  running.add(child);
  void exited.then(() => running.delete(child));
  return { child, output, exited };
}

/** What any program needs of its surroundings, and nothing that would set ours. */
function ambient(): Record<string, string> {
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
  before = stripTypes,
  place: Installed = {},
) {
  const databaseFile = env.DATABASE_URL ?? join(temporaryFolder(), 'test.db');
  const { child, output, exited } = launch({ PORT: '0', DATABASE_URL: databaseFile, ...env }, before, place);
  const instead = () => `it said: ${output.stdout}${output.stderr}`;
  const wsUrl = await within(readUrl(child, output, exited), 'the server to print its URLs', {
    takes: START_MS,
    instead,
  });
  const { host, port } = new URL(wsUrl);

  function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    child.kill(signal);
    return within(exited, `the server to end after ${signal}`, { takes: STOP_MS, instead });
  }

  return {
    url: `http://${host}`,
    wsUrl,
    port: Number(port),
    databaseFile,
    process: child,
    output,
    exited,
    stop,
    kill9: () => stop('SIGKILL'),
  };
}

async function readUrl(
  child: ChildProcess,
  output: { stdout: string; stderr: string },
  exited: Promise<Exit>,
) {
  const failed = exited.then(() => {
    throw new Error(`the server ended before it listened: ${output.stdout}${output.stderr}`);
  });
  for (;;) {
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
  const again = { ...env, PORT: String(server.port), DATABASE_URL: server.databaseFile };
  beforeEach(async () => {
    const { exitCode, signalCode } = server.process;
    if (exitCode !== null || signalCode !== null) Object.assign(server, await startServer(again));
  });
  shared.push(async () => {
    const { code } = await server.stop();
    if (process.platform === 'win32') return; // there a signal ends a program at once
    assert.equal(code, 0, `the shared server ended badly: ${server.output.stderr}`);
  });
  return server;
}
