// The files of a run, of which each process takes the next one (`together.ts`): who is through leaves a note of it in the
// run's folder. Those that took longest the last time come first, so that no core waits for one of them in the end.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT } from './patience.ts';

type Durations = Record<string, number>;
const KEPT = join(ROOT, 'node_modules/.cache/durations.json');

/** What a process reads: the files in their order. */
export const listIn = (folder: string) => join(folder, 'files.json');
/** Exists as soon as a process has taken the file. */
export const takenIn = (folder: string, index: number) => join(folder, `${index}.taken`);
/** Says how long it took, once it is through. */
export const doneIn = (folder: string, index: number) => join(folder, `${index}.done`);

export function longestFirst(files: string[]): string[] {
  const took = durations();
  // One that nobody knows yet may be long.
  const of = (file: string) => took[file] ?? Number.MAX_SAFE_INTEGER;
  return files.toSorted((a, b) => of(b) - of(a));
}

/** @param isWhole all of their tests ran: then it is noted how long they took @returns those that were not run to their end */
export function endOfQueue(folder: string, files: string[], isWhole: boolean): string[] {
  const took: Durations = {};
  for (const [index, file] of files.entries())
    if (existsSync(doneIn(folder, index))) took[file] = Number(readFileSync(doneIn(folder, index), 'utf8'));
  if (isWhole) keep({ ...durations(), ...took });
  return files.filter((file) => !(file in took));
}

function keep(all: Durations): void {
  mkdirSync(dirname(KEPT), { recursive: true });
  writeFileSync(`${KEPT}.${process.pid}`, JSON.stringify(all));
  renameSync(`${KEPT}.${process.pid}`, KEPT); // whole, or not at all: another run may read it
}

function durations(): Durations {
  return existsSync(KEPT) ? JSON.parse(readFileSync(KEPT, 'utf8')) : {};
}
