// Runs the checks of a lesson on the program in a folder: from outside, one after the other. The program may be
// broken in any way, so each way has an end, and its sentence.
import { AssertionError } from 'node:assert';
import { Program, Trouble } from '../program.ts';
import { answer } from './1-answer.ts';
import { frame } from './2-frame.ts';
import { set } from './3-set.ts';
import { commit } from './4-commit.ts';
import { cursor } from './5-cursor.ts';
import { slow } from './6-slow.ts';
import { access } from './7-access.ts';
import { programs } from './8-programs.ts';
import type { Check, Checks } from './check.ts';

const CHECKS: Checks[] = [answer, frame, set, commit, cursor, slow, access, programs];
const LIMIT_MS = 10_000;
const START_LIMIT_MS = 30_000; // no lesson's lines run before it listens: what takes so long is the machine
const PATIENCE_TIMES = 10; // the program's patience grows with what its start took, and so does the limit
const round = (limitMs: number) =>
  `It never came to an end (${Math.round(limitMs / 1000)} s): does something go round and round?`;

/** A promise, and why it is broken; without `why` it is kept. */
export type Result = { promise: string; why?: string };

/** `trouble` is set where the program could not be tried at all, or fell over: one line. */
export type Outcome = { results: Result[]; trouble?: string };

/** Until when a check waits for what should come, and for how long all of them may run. */
export type Limits = { patienceMs: number; limitMs: number };

type LimitsOf = (lesson: number) => Limits;

/** What a learner waits for: that a promise is broken is seen by what does not come. */
export const LEARNER: Limits = { patienceMs: 700, limitMs: LIMIT_MS };

/** Where nothing is broken yet there is no loop to be feared, and the first start of all takes long on a slow machine. */
export const UNBROKEN: Limits = { patienceMs: 700, limitMs: 30_000 };

/** What a lesson promises, in the order in which it is tried. */
export const promisesOf = (number: number): string[] =>
  CHECKS[number - 1]!.checks.map(({ promise }) => promise);

/** @param number of the lesson, from 1 @param root the folder of the project */
export async function runChecks(root: string, number: number, limits: Limits = LEARNER): Promise<Outcome> {
  return (await runMany(root, [number], () => limits))[0]!;
}

/**
 * The checks of some lessons, on as few programs as their settings allow: a start costs more than they do.
 * @returns an outcome for each lesson, in this order
 */
export async function runMany(root: string, numbers: number[], limitsOf: LimitsOf): Promise<Outcome[]> {
  const isForgetful = (number: number) => CHECKS[number - 1]!.env?.EVENT_RETENTION; // it would drop what others look for
  const groups = [numbers.filter((one) => !isForgetful(one)), numbers.filter(isForgetful)];
  const outcomes = new Map<number, Outcome>();
  for (const group of groups)
    for (const [index, outcome] of (await runGroup(root, group, limitsOf)).entries())
      outcomes.set(group[index]!, outcome);
  return numbers.map((number) => outcomes.get(number)!);
}

async function runGroup(root: string, numbers: number[], limitsOf: LimitsOf): Promise<Outcome[]> {
  if (numbers.length === 0) return [];
  const lessons = numbers.map((number) => CHECKS[number - 1]!);
  const env = Object.assign({}, ...lessons.map((lesson) => lesson.env));
  const { limitMs } = limitsOf(numbers[0]!);
  let program: Program;
  try {
    program = await Program.start(root, 0, Math.max(limitMs, START_LIMIT_MS), env);
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    return lessons.map((lesson) => notStarted(lesson, error.message));
  }
  const slowMs = program.patienceMs; // what its start says of the machine
  const outcomes: Outcome[] = [];
  try {
    for (const [index, lesson] of lessons.entries()) {
      const limits = limitsOf(numbers[index]!);
      program.patienceMs = Math.max(limits.patienceMs, slowMs);
      outcomes.push(await runOne(program, lesson, limits.limitMs));
      if (lesson !== lessons.at(-1)) await program.closePages();
    }
    return outcomes;
  } finally {
    await program.stop();
  }
}

const notStarted = ({ checks }: Checks, trouble: string): Outcome => ({
  results: checks.map(({ promise }) => ({ promise, why: trouble })),
  trouble,
});

async function runOne(program: Program, { checks }: Checks, limitMs: number): Promise<Outcome> {
  const allowedMs = Math.max(limitMs, PATIENCE_TIMES * program.patienceMs);
  const end = performance.now() + allowedMs;
  const results: Result[] = [];
  for (const check of checks) results.push(await tryOne(program, check, end, allowedMs));
  if (results.every(({ why }) => why === undefined)) return { results };
  const trouble = program.trouble() ?? ((await isDeaf(program)) ? round(allowedMs) : undefined);
  return trouble === undefined ? { results } : { results, trouble };
}

async function tryOne(
  program: Program,
  { promise, run }: Check,
  end: number,
  limitMs: number,
): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Trouble(round(limitMs))), end - performance.now());
  });
  try {
    await Promise.race([run(program), late]);
    return { promise };
  } catch (error) {
    const isExpected = error instanceof AssertionError || error instanceof Trouble || isOfNetwork(error);
    if (!isExpected) throw error;
    return { promise, why: (error as Error).message.split('\n')[0]! };
  } finally {
    clearTimeout(timer);
  }
}

const isOfNetwork = (error: unknown): boolean =>
  /^(ECONN|EPIPE|SQLITE)/.test(String((error as { code?: string }).code));

/** It runs, but answers nothing at all. */
async function isDeaf(program: Program): Promise<boolean> {
  return (await program.ask('GET', '/healthz')).status === 0;
}
