// What a test opened ends with it, also where it failed: or the next test of its file would count one client too
// many, and one failure would make the rest fail.
import { after, afterEach, beforeEach } from 'node:test';

/** Benchmarks and the soak use these files too, and have no hooks. */
export const isTest = process.argv[1]?.endsWith('.test.ts') === true;

const open: (() => unknown)[] = [];
const ofFile: (() => unknown)[] = [];
let isInTest = false;

if (isTest) {
  beforeEach(() => {
    isInTest = true;
  });
  afterEach(async () => {
    isInTest = false;
    // One after the other, in the order in which they were opened.
    for (const close of open.splice(0)) await close();
  });
  after(async () => {
    for (const close of ofFile) await close();
  });
}

/** Calls back when the test that runs has ended. What is opened in a `before` belongs to the whole file, and stays. */
export function closeAfterTest(close: () => unknown): void {
  if (isInTest) open.push(close);
}

/** Calls back when the test that runs has ended; of what is opened outside of all tests, after the last one. */
export function closeInTime(close: () => unknown): void {
  (isInTest ? open : ofFile).push(close);
}
