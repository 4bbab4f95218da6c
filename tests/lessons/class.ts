// The class: what a learner's machine tells the teacher's server, as events like any other; and the teacher's
// server itself, which is the program as it is, open to the network.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { stripTypes } from '../support/typescript.ts';
import { withoutSettings } from './program.ts';
import type { Board } from './state.ts';

const TELL_MS = 3000; // a learner waits no longer for a board that is away
const JOIN_MS = 10_000; // who joins wants to know
const CLASS_MS = 12 * 3600_000; // what the log holds of an earlier day is another class

/** What became of a learner's lesson; the board folds these into a row. */
export type Report = {
  type: 'lesson.joined' | 'lesson.started' | 'lesson.red' | 'lesson.stuck' | 'lesson.done';
  /** 0 of someone who has just joined. */
  lesson: number;
  /** Promises kept, of how many. */
  kept?: number;
  of?: number;
  /** The sentence of the first broken promise. */
  why?: string | undefined;
  hint?: number;
};

/** Tells the board, where there is one. A board that is away is one line, and never in a learner's way. */
export async function tell(board: Board | undefined, { type, ...report }: Report): Promise<void> {
  if (!board) return;
  const source = `/lessons/${encodeURIComponent(board.nick)}`;
  const why = report.why?.slice(0, 300);
  const data = { nick: board.nick, ...report, ...(why === undefined ? {} : { why }) };
  const response = await ask(board, '/api/events', TELL_MS, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ type, source, data }),
  });
  const problem = problemOf(board, response);
  if (problem) console.log(`(The board was not told: ${problem})`);
}

/** @returns undefined where nothing answers */
function ask(
  { url, token }: Board,
  path: string,
  patienceMs: number,
  init: RequestInit = {},
): Promise<Response | undefined> {
  const headers = { ...init.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const signal = AbortSignal.timeout(patienceMs);
  return fetch(url + path, { ...init, headers, signal }).catch(() => undefined);
}

/** Not of /healthz, which asks for no token. */
export const knock = (board: Board): Promise<Response | undefined> =>
  ask(board, '/api/events?limit=1', JOIN_MS);

/** What is wrong with an answer of the board, in one sentence; undefined if nothing is. */
export function problemOf({ url }: Board, response: Response | undefined): string | undefined {
  if (!response) return `${url} does not answer. Same network? Is the server running there?`;
  if (response.status === 401) return `${url} wants its token: join again, and you are asked for it.`;
  return response.ok ? undefined : `${url} answers with ${response.status}.`;
}

/** Whether someone of that name has told this board something today: both would be one row. */
export async function isTaken(board: Board): Promise<boolean> {
  const from = new Date(Date.now() - CLASS_MS).toISOString();
  const response = await ask(board, `/api/events?types=lesson.*&limit=1000&from=${from}`, JOIN_MS);
  if (!response?.ok) return false;
  const { events } = (await response.json()) as { events: { data: { nick?: string } | null }[] };
  return events.some(({ data }) => data?.nick === board.nick);
}

/** The addresses under which others on the network find this machine. */
export function addresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((nets) => nets ?? []);
  return all.filter(({ internal, family }) => !internal && family === 'IPv4').map(({ address }) => address);
}

/** The teacher's server, with a log of its own, and with the token of the teacher's terminal. Runs until Ctrl+C. */
export function openBoard(root: string, port: number): void {
  mkdirSync(join(root, '.lessons'), { recursive: true });
  const { API_TOKEN = '' } = process.env;
  const DATABASE_URL = join('.lessons', 'class.db');
  const child = spawn(process.execPath, [...stripTypes, 'server.ts'], {
    cwd: root,
    env: { ...withoutSettings(), HOST: '0.0.0.0', PORT: String(port), DATABASE_URL, API_TOKEN },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.stdout.once('data', () => console.log(invitation(port, API_TOKEN !== '')));
  child.on('exit', (code) => {
    process.exitCode = code ?? 1;
  });
}

/** What the teacher shows, and what learners type. */
function invitation(port: number, hasToken: boolean): string {
  const hosts = addresses();
  const [address = 'localhost'] = hosts;
  const pages = (hosts.length > 0 ? hosts : [address]).map(
    (host) => `http://${host}:${port}/workshop/board.html`,
  );
  return `The board:          ${pages.join(`\n${' '.repeat(20)}`)}
Each learner types: npm run lesson -- board http://${address}:${port} NAME
${hasToken ? 'API_TOKEN is set in this terminal: the board asks for it, and so does each learner’s command.\n' : ''}Ctrl+C ends it.`;
}
