// The commands of the lessons by their names, and those that are about no lesson's files: the text, the program, the
// class. They are the same in every shell.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { isTaken, knock, openBoard, problemOf, tell } from './class.ts';
import {
  check,
  diff,
  hint,
  lessonOf,
  list,
  openLesson,
  progress,
  Refusal,
  ROOT,
  reset,
  solve,
  start,
  watch,
} from './commands.ts';
import { examine } from './doctor.ts';
import { toTerminal } from './markdown.ts';
import { writePages } from './pages.ts';
import { freePort } from './ports.ts';
import { withoutSettings } from './program.ts';
import type { Board } from './state.ts';

/** Of `serve`; the texts name it too. */
export const LESSON_PORT = 5001;
const BOARD_PORT = 5000;

const USAGE = `
npm run lesson -- start 3        takes some lines out of a file
                  read           the text, in this terminal (read 3 de: another, in German)
                  serve          the program as it is now, with its page, on port ${LESSON_PORT}
                  check, watch   is it mended? once, or at each save
                  hint           one more each time
                  solve 3        the solution, after the hints
                  diff           what you wrote
                  reset          everything as it came
                  doctor         the day before: is this machine ready?
                  board URL NICK joins a class; board alone opens one`;

/** The text of a lesson; `language` such as `de`, where there is a translation. */
function read(number: number, language: string | undefined): void {
  lessonOf(number);
  const name = language ? `${number}.${language}.md` : `${number}.md`;
  const file = join(ROOT, 'tests/lessons', name);
  if (!existsSync(file)) throw new Refusal(`There is no ${name} yet. A translation is welcome.`);
  console.log(`${toTerminal(readFileSync(file, 'utf8'), process.stdout.isTTY ?? false)}\n`);
}

/** The program as the learner's files make it; it starts again at each save. Runs until Ctrl+C. */
async function serve(): Promise<void> {
  const tsx = createRequire(import.meta.url).resolve('tsx/cli');
  const port = await freePort(LESSON_PORT);
  if (port !== LESSON_PORT)
    console.log(`Port ${LESSON_PORT} is taken. Is this command running in another terminal?`);
  const env = { ...withoutSettings(), PORT: String(port), DATABASE_URL: ':memory:' };
  const args = [tsx, 'watch', '--clear-screen=false', '--include', 'lib/**/*.sql', 'server.ts'];
  spawn(process.execPath, args, { cwd: ROOT, env, stdio: 'inherit' }).on('exit', (code) => {
    process.exitCode = code ?? 1;
  });
}

async function board(url: string | undefined, nick: string | undefined): Promise<void> {
  if (url === undefined) return openBoard(ROOT, await freePort(BOARD_PORT));
  if (!/^https?:\/\/[^/]+\/?$/.test(url) || !nick)
    throw new Refusal('Which, and who are you? npm run lesson -- board http://192.168.0.7:5000 Ada');
  const before = progress.read().board;
  const address = url.replace(/\/$/, '');
  const mine: Board = { url: address, nick };
  mine.token = process.env.API_TOKEN || (before?.url === address ? before.token : undefined);
  let response = await knock(mine);
  if (response?.status === 401 && process.stdin.isTTY) {
    mine.token = await askSecretly('The class wants its token: ');
    response = await knock(mine);
  }
  progress.write({ board: mine });
  const problem = problemOf(mine, response);
  if (problem) throw new Refusal(`${problem}\nIt is kept: what you do is told as soon as the board answers.`);
  const isAgain = before?.url === address && before.nick === nick;
  if (!isAgain && (await isTaken(mine)))
    console.log(`There is a ${nick} on the board already. If that is not you, join again as somebody else.`);
  await tell(mine, { type: 'lesson.joined', lesson: 0 });
  console.log(`You are ${nick} on ${address}/workshop/board.html`);
}

/** What is typed is not shown. */
async function askSecretly(question: string): Promise<string> {
  process.stdout.write(question);
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output, terminal: true });
  const answer = await lines.question('');
  lines.close();
  console.log();
  return answer.trim();
}

/** The number that was given, or that of the open lesson. */
const numberOr = (text: string | undefined): number =>
  text === undefined ? openLesson().number : Number(text);

/** The commands, each with what may follow it. */
const commands: Record<string, (first?: string, ...rest: string[]) => unknown> = {
  list: () => {
    list();
    console.log(USAGE);
  },
  start: (number) => start(Number(number)),
  check: async () => {
    if (!(await check())) process.exitCode = 1;
  },
  watch,
  hint,
  solve: (number) => solve(numberOr(number)),
  diff,
  reset,
  read: (number, language) => read(numberOr(number), language),
  serve,
  doctor: async () => {
    if (!(await examine(ROOT, progress))) process.exitCode = 1;
  },
  board: (url, ...nick) => board(url, nick.join(' ')),
  pages: () => console.log(`Written: ${writePages().join(', ') || 'nothing, all are as they should be'}`),
};
export const COMMANDS = Object.keys(commands);

/** @param words what stands after `npm run lesson --` @throws {Refusal} with what to do instead */
export async function main([command = 'list', ...rest]: string[]): Promise<void> {
  const run = Object.hasOwn(commands, command) ? commands[command] : undefined;
  if (!run) throw new Refusal(`There is no command ${command}.\n${USAGE}`);
  await run(...rest);
}
