// What a test opened ends with it, also where it failed: or the next test of its file would count one client too
// many, and one failure would make the rest fail.
import { after, afterEach, beforeEach } from 'node:test';

/** Benchmarks and the soak use these files too, and have no hooks. `.mjs`: several files in one process, by `together.ts`. */
export const isTest = /\.test\.(ts|mjs)$/.test(process.argv[1] ?? '');

const open: (() => unknown)[] = [];
const ofFile: (() => unknown)[] = [];
const ofProcess: (() => unknown)[] = [];
let before: (() => unknown)[] = [];
let isInTest = false;

if (isTest) {
  beforeEach(async () => {
    for (const see of before) await see();
    isInTest = true;
  });
  afterEach(async () => {
    isInTest = false;
    // One after the other, in the order in which they were opened.
    for (const close of open.splice(0)) await close();
  });
  after(async () => {
    await endFile();
    for (const close of ofProcess) await close();
  });
}

/** All tests of a file are through. Where several files share a process, this is after each of them. */
export async function endFile(): Promise<void> {
  before = [];
  for (const close of ofFile.splice(0)) await close();
}

/** Calls back when the test that runs has ended. What is opened in a `before` belongs to the whole file, and stays. */
export function closeAfterTest(close: () => unknown): void {
  if (isInTest) open.push(close);
}

/** Calls back before each further test of the file. */
export const beforeEachTest = (see: () => unknown) => before.push(see);

/** Calls back after the last test of the file. */
export const closeWithFile = (close: () => unknown) => ofFile.push(close);

/** Calls back after the last test of all files that share this process. */
export const closeWithProcess = (close: () => unknown) => ofProcess.push(close);

/** Calls back when the test that runs has ended; of what is opened outside of all tests, after the last one. */
export function closeInTime(close: () => unknown): void {
  (isInTest ? open : ofFile).push(close);
}
