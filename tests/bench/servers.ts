// The servers that are compared: each runs in its own process, all on the same single core, while the
// load comes from the other one. What a server used is read from /proc, so waiting costs it nothing.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripTypes } from '../support/typescript.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PEERS = join(ROOT, 'tests/bench/peers');
const SERVER_CORE = '0';
const LOAD_CORE = '1';

/** A program that prints its URL once it listens. */
export type Peer = { name: string; file: string };

export const changebell: Peer = { name: 'Changebell', file: 'server.ts' };
export const peers = {
  bare: { name: 'bare `node:http`, no database', file: 'bare.js' },
  expressLoop: { name: 'Express + better-sqlite3 + `ws` loop', file: 'express-loop.js' },
  fastify: { name: 'Fastify + better-sqlite3', file: 'fastify.js' },
  jsonServer: { name: 'json-server', file: 'json-server.js' },
  wsLoop: { name: '`ws` loop', file: 'ws-loop.js' },
  socketIo: { name: 'Socket.IO', file: 'socket-io.js' },
  uws: { name: 'µWebSockets.js (native)', file: 'uws.js' },
} satisfies Record<string, Peer>;

export type Running = {
  peer: Peer;
  port: number;
  databaseFile: string;
  /** Seconds of CPU used so far, by all its threads. */
  cpu: () => number;
  /** Resident bytes now. */
  memory: () => number;
  /** Kills it, as a crash would; the database stays until `remove`. */
  kill: () => Promise<void>;
  remove: () => Promise<void>;
};

/** Pins this process to the other core, and installs the peers where they are missing. */
export function prepare(): void {
  execFileSync('taskset', ['-a', '-c', '-p', LOAD_CORE, String(process.pid)], { stdio: 'ignore' });
  if (existsSync(join(PEERS, 'node_modules'))) return;
  console.error('Installing the peers under tests/bench/peers …');
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: PEERS, stdio: 'inherit' });
}

/** Without a build for this Node it would fall back to JavaScript that can't do what is measured. */
export function hasUws(): boolean {
  const build = `uws_linux_${process.arch}_${process.versions.modules}.node`;
  return existsSync(join(PEERS, 'node_modules/@trufflesuite/uws-js-unofficial/binaries', build));
}

/** Starts a server on a free port, on a fresh database unless one is named. */
export async function start(
  peer: Peer,
  { databaseFile, env = {} }: { databaseFile?: string; env?: Record<string, string> } = {},
): Promise<Running> {
  const file = databaseFile ?? join(mkdtempSync(join(tmpdir(), 'changebell-bench-')), 'bench.db');
  const isOurs = peer === changebell;
  const command = isOurs ? [...stripTypes, peer.file] : [join(PEERS, peer.file)];
  const child = spawn('taskset', ['-c', SERVER_CORE, process.execPath, ...command], {
    cwd: ROOT,
    env: { ...process.env, NODE_ENV: 'production', PORT: '0', DATABASE_URL: file, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const port = await readPort(child, peer);
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  return {
    peer,
    port,
    databaseFile: file,
    cpu: () => cpuSeconds(child.pid!),
    memory: () => residentBytes(child.pid!),
    kill,
    remove: async () => {
      await kill();
      rmSync(join(file, '..'), { recursive: true, force: true });
    },
  };
}

async function readPort(child: ChildProcess, peer: Peer): Promise<number> {
  let output = '';
  for await (const chunk of child.stdout!) {
    output += chunk;
    const port = /http:\/\/localhost:(\d+)/.exec(output)?.[1];
    if (port) {
      child.stdout!.resume();
      return Number(port);
    }
  }
  throw new Error(`${peer.name} ended early: ${output}`);
}

const TICKS = Number(execFileSync('getconf', ['CLK_TCK']));

function cpuSeconds(pid: number): number {
  // The name in parentheses may hold blanks; user and system time are the 12th and 13th field after it.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024;
}
