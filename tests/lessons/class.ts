// The class: what a learner's machine tells the teacher's server, as events like any other; and the teacher's
// server itself, which is the program as it is, open to the network.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { stripTypes } from '../support/typescript.ts';
import { withoutSettings } from './program.ts';
import type { State } from './state.ts';

const PATIENCE_MS = 1500;

/** What became of a learner's lesson; the board folds these into a row. */
export type Report = {
  type: 'lesson.started' | 'lesson.red' | 'lesson.stuck' | 'lesson.done';
  lesson: number;
  /** Promises kept, of how many. */
  kept?: number;
  of?: number;
  /** The sentence of the first broken promise. */
  why?: string;
  hint?: number;
};

/** Tells the board, where there is one. A board that is away is one line, and never in a learner's way. */
export async function tell(board: State['board'], { type, ...report }: Report): Promise<void> {
  if (!board) return;
  const { url, nick } = board;
  const source = `/lessons/${encodeURIComponent(nick)}`;
  const why = report.why?.slice(0, 300);
  const data = { nick, ...report, ...(why === undefined ? {} : { why }) };
  const problem = await request(`${url}/api/events`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ type, source, data }),
  });
  if (problem) console.log(`(The board was not told: ${problem})`);
}

/** @returns undefined where the server answers, else what is wrong, in one sentence */
export async function request(url: string, init: RequestInit = {}): Promise<string | undefined> {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(PATIENCE_MS) });
    if (response.status === 401)
      return `${url} wants a token. A class is opened without one: npm run lesson -- board, on the teacher's machine.`;
    return response.ok ? undefined : `${url} answers with ${response.status}.`;
  } catch {
    return `${url} does not answer. Same network? Is the server running there?`;
  }
}

/** Whether someone of that name has told this board something: both would be one row. */
export async function isTaken(url: string, nick: string): Promise<boolean> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const response = await fetch(`${url}/api/events?types=lesson.*&limit=1000`, { signal });
  const { events } = (await response.json()) as { events: { data: { nick?: string } | null }[] };
  return events.some(({ data }) => data?.nick === nick);
}

/** The addresses under which others on the network find this machine. */
export function addresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((nets) => nets ?? []);
  return all.filter(({ internal, family }) => !internal && family === 'IPv4').map(({ address }) => address);
}

/** The teacher's server, with a log of its own. Runs until Ctrl+C. */
export function openBoard(root: string, port: number): void {
  mkdirSync(join(root, '.lessons'), { recursive: true });
  const env = {
    ...withoutSettings(),
    HOST: '0.0.0.0',
    PORT: String(port),
    DATABASE_URL: join('.lessons', 'class.db'),
  };
  const child = spawn(process.execPath, [...stripTypes, 'server.ts'], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.stdout.once('data', () => {
    const [address = 'ADDRESS'] = addresses();
    console.log(`The board:          http://localhost:${port}/workshop/board.html`);
    for (const each of addresses())
      console.log(`                    http://${each}:${port}/workshop/board.html`);
    console.log(
      `Each learner types: npm run lesson -- board http://${address}:${port} NAME\nCtrl+C ends it.`,
    );
  });
  child.on('exit', (code) => {
    process.exitCode = code ?? 1;
  });
}
