// `npm run ladder`: the seven experiments on a rung, in the terminal or as a page, and what changed from the
// rung below. Predict, run, read the lines that changed.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { changedLines } from '../diff.ts';
import { freePort } from '../ports.ts';
import { EXPERIMENTS } from './experiments.ts';
import { fileOf, RUNGS, startRung } from './rung.ts';

const PATIENCE_SECONDS = '2'; // a save that nobody answers, or a word that does not come, is given up after it

const SHOW_PORT = 5100;

const USAGE = `npm run ladder               all rungs, all experiments: a minute
npm run ladder -- 5          the seven experiments on rung 5
npm run ladder -- 5 --diff   what rung 5 does that rung 4 does not
npm run ladder -- 5 --show   a page to try it by hand
       --patience 10         seconds to wait for what does not come (${PATIENCE_SECONDS})`;

/** One line for each experiment, with what happened where it failed. */
async function tryAll(number: number, patienceMs: number): Promise<void> {
  console.log(`Rung ${number}: tests/lessons/ladder/${RUNGS[number - 1]}`);
  for (const { promise, run } of EXPERIMENTS) {
    const rung = await startRung(number, patienceMs);
    const failure = await run(rung);
    await rung.stop();
    console.log(failure === undefined ? `✔ ${promise}` : `✘ ${promise}\n    ${failure}`);
  }
}

/** What this rung changes in the one below it. */
function showDiff(number: number): void {
  const textOf = (one: number) => readFileSync(fileOf(one), 'utf8');
  // Below the first there is nothing: all of it is new.
  console.log(number === 1 ? textOf(1) : changedLines(textOf(number - 1), textOf(number)));
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      show: { type: 'boolean' },
      diff: { type: 'boolean' },
      patience: { type: 'string', default: PATIENCE_SECONDS },
      port: { type: 'string' },
    },
  });
  const number = Number(positionals[0] ?? 0);
  const patienceMs = 1000 * Number(values.patience);
  const isRung =
    positionals.length === 0 || (Number.isInteger(number) && number >= 1 && number <= RUNGS.length);
  if (!isRung || positionals.length > 1 || !(patienceMs > 0)) throw new Error(USAGE);
  if (values.show) {
    const { showRung } = await import('./show.ts');
    return showRung(number || 1, Number(values.port ?? (await freePort(SHOW_PORT))));
  }
  if (values.diff) return showDiff(number || 1);
  if (number > 0) return tryAll(number, patienceMs);
  for (let each = 1; each <= RUNGS.length; each += 1) await tryAll(each, patienceMs);
  console.log(`\n${USAGE}`);
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
