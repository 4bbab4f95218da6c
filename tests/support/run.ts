// `npm test`, the same in every shell: it finds the test files by itself, since not every shell does. Names of files
// and folders narrow them; everything that begins with -- is for Node's own test runner.
//   npm test -- tests/http --test-name-pattern=HEAD
//   npm run test:one -- tests/stream/hub.test.ts    in this process alone: quicker, and a debugger can follow
//   npm run test:watch -- tests/stream              again at each change
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { stripTypes } from './typescript.ts';

const CONCURRENCY = 2; // files at once: each has servers of its own beside it
const SETTLE_MS = 200; // an editor saves in several steps

const given = process.argv.slice(2);
// Ours; everything else with two dashes goes to Node as it is.
const ours = ['--one', '--watch'];
const flags = given.filter((arg) => arg.startsWith('--') && !ours.includes(arg));
const paths = given.filter((arg) => !arg.startsWith('--'));
// A mistyped path would run no test, and look as if all was well.
for (const path of paths) {
  if (!existsSync(path))
    refuse(`${path} is no file or folder. An option's value follows a "=": --test-name-pattern=…`);
}
// Sorted, so that two runs are alike.
const files = (paths.length > 0 ? paths : ['tests']).flatMap(testsIn).sort();
if (files.length === 0) refuse(`There is no *.test.ts in ${paths.join(', ')}.`);

if (given.includes('--watch')) watchAll();
else process.exitCode = await run();

/** A mistake in what was typed: one line, no stack. */
function refuse(line: string): never {
  console.error(line);
  process.exit(1);
}

/** All test files in a folder, however deep; a file is taken by whatever name. */
function testsIn(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  const found = readdirSync(path, { recursive: true, encoding: 'utf8' });
  return found.filter((name) => name.endsWith('.test.ts')).map((name) => join(path, name));
}

/** @returns the exit code: 0 where every test passed */
async function run(): Promise<number> {
  if (!given.includes('--one'))
    return node('--test', `--test-concurrency=${CONCURRENCY}`, ...flags, ...files);
  // In one process each, one after the other: output comes as it is written, and a debugger finds it.
  let code = 0;
  for (const file of files) code ||= await node('--test-reporter=spec', ...flags, file);
  return code;
}

/** As the tests would be started by hand, in the same terminal. */
function node(...args: string[]): Promise<number> {
  const child = spawn(process.execPath, [...stripTypes, ...args], { stdio: 'inherit' });
  return new Promise((resolve) => child.once('close', (code) => resolve(code ?? 1)));
}

/** Node's own --watch follows imports; what a test starts as a program is not among them, nor is SQL. */
function watchAll(): void {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<number> | undefined;
  // Something was saved while the tests ran: once they are through, they run again.
  let isStale = false;
  // One run at a time: two would share the machine, and be late for their patience.
  const again = async () => {
    // A run is not cut off: its servers would be left behind.
    if (running) {
      isStale = true;
      return;
    }
    running = run();
    await running;
    running = undefined;
    console.log('Waiting for a change …');
    if (isStale) void again();
    isStale = false;
  };
  // Whatever is changed, all that was asked for runs: which test needs which SQL nobody can tell.
  for (const folder of ['lib', 'public', 'tests']) {
    watch(folder, { recursive: true }, () => {
      // Only the last of several changes starts a run.
      clearTimeout(timer);
      timer = setTimeout(again, SETTLE_MS);
    });
  }
  void again();
}
