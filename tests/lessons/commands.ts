// What a learner does with a lesson: begin it, try it, be helped, compare, put everything back. Each command says
// what to do next.
import { spawnSync } from 'node:child_process';
import { watch as watchFolder } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Outcome, promisesOf, runChecks, UNBROKEN } from './checks/run.ts';
import { tell } from './class.ts';
import { changedLines } from './diff.ts';
import { filesOf, LESSONS, type Lesson, takeOut } from './lessons.ts';
import { Progress } from './state.ts';
import { placeInSql } from './trouble.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SAVE_MS = 80; // editors write a file in several steps

export const progress = new Progress(ROOT);

/** A learner's mistake, or a state of things that a command can't work with: its message says what to do. */
export class Refusal extends Error {}

/** @throws {Refusal} for a number that no lesson has, or for none */
export function lessonOf(number: number): Lesson {
  if (Number.isNaN(number)) throw new Refusal('Which lesson? Say its number: npm run lesson shows them all.');
  const lesson = LESSONS[number - 1];
  if (!lesson) throw new Refusal(`There is no lesson ${number}. npm run lesson shows them all.`);
  return lesson;
}

/** The lesson that is open. @throws {Refusal} if none is */
export function openLesson(): Lesson {
  const { open } = progress.read();
  if (open === 0) throw new Refusal('No lesson is open. Begin one: npm run lesson -- start 1');
  return lessonOf(open);
}

/** All lessons, and where one stands. */
export function list(): void {
  const { open, done } = progress.read();
  for (const lesson of LESSONS) {
    const { number, title, minutes } = lesson;
    const mark = number === open ? '▸' : done.includes(number) ? '✔' : ' ';
    console.log(
      `${mark} ${number}  ${title.padEnd(34)} ${String(minutes).padStart(2)} min  ${filesOf(lesson).join(', ')}`,
    );
  }
}

/** Takes the lines of a lesson out, if its checks are green before. Another lesson that is open is closed. */
export async function start(number: number): Promise<void> {
  const lesson = lessonOf(number);
  closeOpen();
  for (const file of filesOf(lesson)) refuseOtherChanges(file);
  try {
    for (const file of filesOf(lesson)) takeOut(lesson, file, progress.textOf(file));
  } catch (error) {
    throw new Refusal(
      `${(error as Error).message}\nPut the file back as it came, from git or the ZIP, and start again.`,
    );
  }
  console.log('Trying the program before anything is taken out …');
  const why = whyNot(await runChecks(ROOT, number, UNBROKEN));
  if (why)
    throw new Refusal(`It does not work as it is: ${why}\nIs this machine ready? npm run lesson -- doctor`);
  progress.open(lesson);
  await tell(progress.read().board, {
    type: 'lesson.started',
    lesson: number,
    of: promisesOf(number).length,
  });
  console.log(`\nLesson ${number}: ${lesson.title} (${lesson.minutes} minutes)\n\nHere lines are missing:`);
  for (const place of placesOf(lesson)) console.log(`  ${place}`);
  console.log(`
  npm run lesson -- read     what to do
  npm run lesson -- serve    see what is broken, on http://localhost:5001/
  npm run lesson -- watch    try it each time that you save
  npm run lesson -- hint     when you are stuck`);
}

/** Each place where something was taken out, as `file:line`. */
function placesOf(lesson: Lesson): string[] {
  return lesson.edits.map(({ file, put }) => {
    const text = progress.textOf(file).replaceAll('\r\n', '\n');
    return `${file}:${text.slice(0, text.indexOf(put)).split('\n').length}`;
  });
}

function closeOpen(): void {
  const { open } = progress.read();
  if (open === 0) return;
  const kept = progress.close(lessonOf(open));
  for (const path of kept) console.log(`What you wrote in lesson ${open} is kept in ${path}`);
}

/** Only git knows what the file was; without it the lesson's own lines and checks must do. */
function refuseOtherChanges(file: string): void {
  const { stdout } = spawnSync('git', ['status', '--porcelain', '--', file], { cwd: ROOT, encoding: 'utf8' });
  if (!/^( ?M|M )/.test(stdout ?? '')) return;
  throw new Refusal(
    `${file} has changes of your own. Keep them with "git stash", or drop them with "git checkout ${file}"; then start again.`,
  );
}

/** Tries the open lesson. @returns whether every promise is kept */
export async function check(): Promise<boolean> {
  const lesson = openLesson();
  const { number } = lesson;
  const outcome = await runChecks(ROOT, number);
  const why = whyNot(outcome);
  const kept = outcome.results.filter((result) => result.why === undefined).length;
  const sentence = placed(lesson, why);
  print(outcome, why, sentence);
  const { board, done } = progress.read();
  if (why === undefined) {
    progress.write({ done: [...new Set([...done, number])].sort() });
    console.log(`\nLesson ${number} is done. Yours beside the original: npm run lesson -- diff`);
    if (number < LESSONS.length) console.log(`The next one: npm run lesson -- start ${number + 1}`);
    else console.log('That was the last one. Put everything back: npm run lesson -- reset');
  }
  const type = why === undefined ? 'lesson.done' : 'lesson.red';
  await tell(board, { type, lesson: number, kept, of: outcome.results.length, why: sentence });
  return why === undefined;
}

function whyNot({ results, trouble }: Outcome): string | undefined {
  return trouble ?? results.find(({ why }) => why !== undefined)?.why;
}

/** With the line of SQL that it is about, where it is. */
function placed(lesson: Lesson, why: string | undefined): string | undefined {
  const file = filesOf(lesson).find((name) => name.endsWith('.sql'));
  return why && file ? placeInSql(why, file, progress.textOf(file), progress.cleanText(file)) : why;
}

function print({ results }: Outcome, why: string | undefined, sentence: string | undefined): void {
  const isTried = results.some((result) => result.why !== why);
  if (isTried || why === undefined)
    for (const one of results) console.log(`${one.why === undefined ? '✔' : '✘'} ${one.promise}`);
  if (why) console.log(`${isTried ? '\n' : '✘ '}${sentence}\n\nStuck? npm run lesson -- hint`);
}

/** Checks at each save, until Ctrl+C. */
export async function watch(): Promise<void> {
  const files = filesOf(openLesson());
  let isBusy = false;
  let isStale = true;
  const again = async () => {
    if (isBusy) return;
    isBusy = true;
    while (isStale) {
      isStale = false;
      if (process.stdout.isTTY) console.clear();
      console.log(`${new Date().toLocaleTimeString()}  ${files.join(', ')}\n`);
      await check();
      console.log('\nWaiting for you to save. Ctrl+C ends it.');
    }
    isBusy = false;
  };
  let timer: NodeJS.Timeout | undefined;
  for (const file of files) {
    // The folder, since many editors save a file by putting another in its place.
    watchFolder(dirname(join(ROOT, file)), (_, name) => {
      if (name !== null && name !== basename(file)) return;
      isStale = true;
      clearTimeout(timer);
      timer = setTimeout(() => void again(), SAVE_MS);
    });
  }
  await again();
}

/** One hint more each time; after the last, all of them again. */
export async function hint(): Promise<void> {
  const { number, hints } = openLesson();
  const { board, hints: given } = progress.read();
  const count = Math.min(given + 1, hints.length);
  progress.write({ hints: count });
  for (let i = 0; i < count; i += 1) console.log(`${i + 1}. ${hints[i]}`);
  if (count === hints.length) console.log(`\nThe whole solution: npm run lesson -- solve ${number}`);
  await tell(board, { type: 'lesson.stuck', lesson: number, hint: count, of: promisesOf(number).length });
}

/** The lines as they were, for whoever has had all hints. */
export function solve(number: number): void {
  const { edits, hints } = lessonOf(number);
  const { open, hints: given, done } = progress.read();
  const isReady = done.includes(number) || (open === number && given >= hints.length);
  if (!isReady) {
    const rest = open === number ? hints.length - given : hints.length;
    throw new Refusal(
      `First the hints: there ${rest === 1 ? 'is 1' : `are ${rest}`} left. npm run lesson -- hint`,
    );
  }
  for (const { file, find } of edits) console.log(`${file}\n\n${find}`);
}

/** While it is open, what you wrote; once it is done, yours beside the original. */
export function diff(): void {
  const lesson = openLesson();
  const isDone = progress.read().done.includes(lesson.number);
  for (const file of filesOf(lesson)) {
    const clean = progress.cleanText(file);
    const before = isDone ? clean : takeOut(lesson, file, clean);
    console.log(`${file}: ${isDone ? '- the original, + yours' : '+ what you wrote'}\n`);
    console.log(changedLines(before, progress.textOf(file)));
  }
}

/** Puts everything back as it came. */
export function reset(): void {
  const { open } = progress.read();
  closeOpen();
  console.log(open === 0 ? 'No lesson is open: everything is as it came.' : 'Everything is as it came.');
}
