// `npm test`, the same in every shell: it finds the test files by itself, since not every shell does. Names of files
// and folders narrow them; everything that begins with -- is for Node's own test runner.
//   npm test -- tests/http --test-name-pattern=HEAD
//   npm run test:one -- tests/stream/hub.test.ts    in this process alone: quicker, and a debugger can follow
//   npm run test:watch -- tests/stream              again at each change
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleProgram } from './bundle.ts';
import { endOfQueue, listIn, longestFirst } from './queue.ts';
import { stripTypes } from './typescript.ts';

// Files at once: each waits for half of its time, for heartbeats and for what must not come.
const CONCURRENCY = 2 * availableParallelism();
// Of a test that shares the machine with others; who runs one file alone hears sooner.
const PATIENCE_SECONDS = '10';
const SETTLE_MS = 200; // an editor saves in several steps
const MEMORY = '/dev/shm'; // where Linux has a file system in memory
const ROOM_BYTES = 4e9; // far more than a run has ever taken; in a container there may be 64 MB

let running: ChildProcess | undefined;
let isEnding = false; // somebody has asked for it

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
// Sorted, so that two runs are alike; backwards, so that short ones are the last, and no core waits for a long one.
const files = (paths.length > 0 ? paths : ['tests']).flatMap(testsIn).sort().reverse();
if (files.length === 0) refuse(`There is no *.test.ts in ${paths.join(', ')}.`);

endOnSignals();
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
  return found
    .filter((name) => name.endsWith('.test.ts') && !name.includes('node_modules'))
    .map((name) => join(path, name));
}

/** @returns the exit code: 0 where every test passed */
async function run(): Promise<number> {
  // All that tests put aside goes with the run, also what a test that was killed has left.
  const folder = mkdtempSync(join(temporaryPlace(), 'changebell-tests-'));
  chmodSync(folder, 0o1777); // as the system's own: some programs of the tests run as somebody else
  const env = { ...process.env, TMPDIR: folder, TEMP: folder, TMP: folder };
  try {
    return given.includes('--one') ? await runOneByOne(env) : await runTogether(env);
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** In memory where there is room: a PostgreSQL is a thousand files, and to make one costs an eighth there. */
function temporaryPlace(): string {
  // Who has named a place wants it there.
  return process.env.TMPDIR === undefined && isRoomInMemory() ? MEMORY : tmpdir();
}

function isRoomInMemory(): boolean {
  if (process.platform !== 'linux' || !existsSync(MEMORY)) return false;
  const { bavail, bsize } = statfsSync(MEMORY);
  // Docker lets nothing run from there, and some tests load what they have compiled.
  const mayRun = !/^\S+ \/dev\/shm \S+ \S*noexec/m.test(readFileSync('/proc/mounts', 'utf8'));
  return mayRun && bavail * bsize > ROOM_BYTES;
}

/**
 * In some processes, each of which takes file after file: what a file loads is there for the next one. Beside them those
 * that look at the log of their own process, where a line that an earlier file has caused would not come again.
 */
async function runTogether(env: NodeJS.ProcessEnv & { TMPDIR: string }): Promise<number> {
  const alone = files.filter((file) => readFileSync(file, 'utf8').includes('mock.method(console'));
  const shared = longestFirst(files.filter((file) => !alone.includes(file)));
  const folder = mkdtempSync(join(env.TMPDIR, 'files-'));
  const processes = makeProcesses(folder, shared);
  // Coverage is of the files that we have written.
  const bundle = env.NODE_V8_COVERAGE ? {} : await bundleProgram(join(folder, 'program'));
  const settings = { PATIENCE_SECONDS, ...bundle, ...env };
  const concurrency = `--test-concurrency=${CONCURRENCY}`;
  const code = await node(settings, '--test', concurrency, ...flags, ...alone, ...processes);
  const cutOff = endOfQueue(folder, shared, flags.length === 0);
  if (cutOff.length === 0 || isEnding) return code;
  console.error(`Not run to the end: ${cutOff.join(', ')}.`);
  return 1;
}

/** The modules with which they begin, for Node's runner. */
function makeProcesses(folder: string, shared: string[]): string[] {
  writeFileSync(listIn(folder), JSON.stringify(shared));
  const begin = `import ${JSON.stringify(new URL('together.ts', import.meta.url).href)};\n`;
  return Array.from({ length: Math.min(CONCURRENCY, shared.length) }, (_, i) => {
    const file = join(folder, `${i + 1}.test.mjs`);
    writeFileSync(file, begin);
    return file;
  });
}

/** In one process each, one after the other: output comes as it is written, and a debugger finds it. */
async function runOneByOne(env: NodeJS.ProcessEnv): Promise<number> {
  let code = 0;
  for (const file of files) code ||= await node(env, '--test-reporter=spec', ...flags, file);
  return code;
}

/** As the tests would be started by hand, in the same terminal. */
function node(env: NodeJS.ProcessEnv, ...args: string[]): Promise<number> {
  const child = spawn(process.execPath, [...stripTypes, ...args], { stdio: 'inherit', env });
  running = child;
  return new Promise((resolve) =>
    child.once('close', (code) => {
      running = undefined;
      resolve(code ?? 1);
    }),
  );
}

/** Whoever ends us ends the tests first: so nothing of them is left, neither a server nor a file. */
function endOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      isEnding = true;
      if (running) running.kill(signal);
      else process.exit(1);
    });
}

/** Node's own --watch follows imports; what a test starts as a program is not among them, nor is SQL. */
function watchAll(): void {
  let timer: NodeJS.Timeout | undefined;
  let isBusy = false;
  // Something was saved while the tests ran: once they are through, they run again.
  let isStale = false;
  // One run at a time: two would share the machine, and be late for their patience.
  const again = async () => {
    // A run is not cut off: its servers would be left behind.
    if (isBusy) {
      isStale = true;
      return;
    }
    isBusy = true;
    await run();
    isBusy = false;
    if (isEnding) process.exit(1);
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
