// One of the processes of `npm test`, in which file after file runs: what several files load and compile, and the Chromium
// that they start, is there for the next one. Each takes the first file that no other process has taken. A file is a
// suite of its own here, and does not know it.
import { AsyncResource } from 'node:async_hooks';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { after, describe } from 'node:test';
import { pathToFileURL } from 'node:url';
// Here already, since its hooks are for all files and not for the first one alone.
import { endFile } from './cleanup.ts';
import { doneIn, listIn, takenIn } from './queue.ts';

// The folder in which `run.ts` has put the list, and a module for each process.
const folder = dirname(process.argv[1]!);
const files: string[] = JSON.parse(readFileSync(listIn(folder), 'utf8'));
// Half of the processes begin with the files that want a browser, the others end with them: to load what drives one, to
// start it and to warm it up costs as much as two tests. (They are numbered from 1.)
const isForBrowser = Number(basename(process.argv[1]!, '.test.mjs')) % 2 === 1;
const wantsBrowser = (file: string) => readFileSync(file, 'utf8').includes('support/browser.ts');
const first = files.filter((file) => wantsBrowser(file) === isForBrowser);
const order = [...new Set([...first, ...files])];
// Node's runner knows by the context of a call in which suite a test is: the next file is in none.
const outside = new AsyncResource('files');
process.setMaxListeners(0); // each cluster and server has its own for the end

runNext();

function runNext(): void {
  const file = order.find(take);
  if (file === undefined) return;
  const startedAt = performance.now();
  describe(file, async () => {
    try {
      await import(pathToFileURL(file).href);
    } finally {
      // Behind those of the file itself.
      after(async () => {
        await endFile();
        // Else an end that came too early would look like a run without a failure.
        writeFileSync(doneIn(folder, files.indexOf(file)), String(Math.round(performance.now() - startedAt)));
        outside.runInAsyncScope(runNext);
      });
    }
  });
}

/** Whether nobody else has it. */
function take(file: string): boolean {
  try {
    closeSync(openSync(takenIn(folder, files.indexOf(file)), 'wx'));
    return true;
  } catch {
    return false;
  }
}
