// `npm run mutate`: are the promises of the program held by its tests? Each line of the table in `mutations.ts`
// breaks the program a little; the test that names the promise must turn red within 10 s or what the line grants it, by an assertion. What
// stays green is a promise that nobody watches. `npm run mutate -- hub` takes only lines with "hub" in them.
import { spawn } from 'node:child_process';
import { stripTypes } from '../support/typescript.ts';
import { Copy } from './copy.ts';
import { NoPlace } from './edit.ts';
import type { Mutation } from './mutation.ts';
import { MUTATIONS } from './mutations.ts';

const LIMIT_SECONDS = 10;
const AT_ONCE = 2;

/** How one test ended. */
type Ended = { name: string; isGreen: boolean; code?: string; message: string };
type Judgement = { isTold: boolean; line: string };
type Run = { tests: Ended[]; ms: number; isLate: boolean; errors: string };

/** Runs the tests of a file that have this name. */
function runTest(folder: string, { file, name, seconds = LIMIT_SECONDS }: Mutation['red']): Promise<Run> {
  const pattern = name.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
  const options = ['--test-reporter=./tests/mutate/reporter.js', `--test-name-pattern=^${pattern}`];
  const startedAt = performance.now();
  const child = spawn(process.execPath, [...stripTypes, ...options, file], {
    cwd: folder,
    env: { ...process.env, PATIENCE_SECONDS: process.env.PATIENCE_SECONDS ?? '3' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: process.platform !== 'win32', // a group of its own, so that its servers end with it
  });
  let [output, errors, isLate] = ['', '', false];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors = (errors + text).slice(-2000);
  });
  const timer = setTimeout(() => {
    isLate = true;
    if (process.platform === 'win32') child.kill();
    else process.kill(-child.pid!, 'SIGKILL');
  }, 1000 * seconds);
  return new Promise((resolve) =>
    child.once('close', () => {
      clearTimeout(timer);
      const lines = output.split('\n').filter((line) => line.startsWith('{'));
      const tests = lines.map((line) => JSON.parse(line) as Ended);
      resolve({ tests, ms: performance.now() - startedAt, isLate, errors });
    }),
  );
}

/** In one line: red as it must be (`isTold`), or what else. */
function judge(run: Run, { name, seconds: limit = LIMIT_SECONDS }: Mutation['red']): Judgement {
  const named = run.tests.filter((test) => test.name.startsWith(name));
  const red = named.find(({ isGreen }) => !isGreen);
  const seconds = `${(run.ms / 1000).toFixed(1)} s`;
  if (red && red.code === 'ERR_ASSERTION')
    return { isTold: true, line: `${seconds}  ${firstLine(red.message)}` };
  if (run.isLate) return { isTold: false, line: `LATE: no answer within ${limit} s` };
  if (red) return { isTold: false, line: `RED OTHERWISE, not by an assertion: ${firstLine(red.message)}` };
  if (named.length > 0) return { isTold: false, line: `GREEN after ${seconds}: nobody watches this promise` };
  return { isTold: false, line: `NO SUCH TEST was run: ${firstLine(run.errors)}` };
}

const firstLine = (text: string) => text.trim().split('\n')[0]!.slice(0, 160);

async function take(queue: Mutation[], copy: Copy): Promise<number> {
  let failures = 0;
  for (let mutation = queue.shift(); mutation; mutation = queue.shift()) {
    const { breaks, edits, red } = mutation;
    const { isTold, line } = await attempt(mutation, copy);
    if (!isTold) failures += 1;
    console.log(`${isTold ? 'red ' : '!!! '} ${edits[0]!.file}: ${breaks}\n      ${line}`);
    if (!isTold) console.log(`      expected to be red: ${red.file}, ${JSON.stringify(red.name)}`);
  }
  return failures;
}

async function attempt({ edits, red }: Mutation, copy: Copy): Promise<Judgement> {
  try {
    return judge(await copy.broken(edits, () => runTest(copy.folder, red)), red);
  } catch (error) {
    if (error instanceof NoPlace) return { isTold: false, line: `NO PLACE: ${error.message}` };
    throw error;
  }
}

/** The tests that the table names must be green on the program as it is. */
async function checkGreen(mutations: Mutation[], copy: Copy): Promise<number> {
  const named = new Map(mutations.map(({ red }) => [JSON.stringify(red), red]));
  let failures = 0;
  for (const red of named.values()) {
    const { tests, errors } = await runTest(copy.folder, red);
    const own = tests.filter(({ name }) => name.startsWith(red.name));
    if (own.length > 0 && own.every(({ isGreen }) => isGreen)) continue;
    failures += 1;
    const why = own.find(({ isGreen }) => !isGreen)?.message ?? errors;
    console.log(
      `!!!  not green before anything was broken: ${red.file}, ${red.name}\n      ${firstLine(why)}`,
    );
  }
  return failures;
}

const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
const mutations = MUTATIONS.filter((mutation) =>
  wanted.every((word) => JSON.stringify(mutation).includes(word)),
);
const copies = Array.from({ length: AT_ONCE }, () => new Copy());
let failures = await checkGreen(mutations, copies[0]!);
const queue = [...mutations];
for (const count of await Promise.all(copies.map((copy) => take(queue, copy)))) failures += count;
console.log(`${mutations.length} breaks, ${failures} of them not red as promised.`);
process.exit(failures === 0 ? 0 : 1);
