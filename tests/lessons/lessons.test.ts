// Each lesson does what it says: on the program as it is every check is green; with its lines taken out a lesson's
// own checks are red, by a sentence that its text shows, and no earlier lesson's are. The latter is tried on the last
// lesson; with LADDER=all, as the soak has it, on each. A rename in lib/ ends here, and the failure says which lesson
// to look at.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Copy } from '../mutate/copy.ts';
import { type Limits, type Outcome, runMany } from './checks/run.ts';
import { ROOT } from './commands.ts';
import { LESSONS } from './lessons.ts';
import { parse } from './markdown.ts';

// What comes is seen at once, so that patience costs nothing; on a broken program, what doesn't come is waited for.
const CLEAN: Limits = { patienceMs: 20_000, limitMs: 60_000 };
const BROKEN: Limits = { patienceMs: 1500, limitMs: 60_000 };

const whyNot = ({ results, trouble }: Outcome) => [
  ...(trouble === undefined ? [] : [`the program has a fault: ${trouble}`]),
  ...results.flatMap(({ promise, why }) => (why ? [`${promise}: ${why}`] : [])),
];

/** The figures in a sentence may differ from run to run. */
const withoutFigures = (text: string) => text.replace(/\d+(\.\d+)?/g, 'n');

test('the checks of all lessons are green on the program as it is', async () => {
  const numbers = LESSONS.map(({ number }) => number);
  const outcomes = await runMany(ROOT, numbers, () => CLEAN);
  const red = outcomes.flatMap((outcome, i) => whyNot(outcome).map((why) => `Lesson ${numbers[i]}: ${why}`));
  assert.deepEqual(red, [], 'checks fail though nothing is broken');
});

describe('lessons', { concurrency: 3 }, () => {
  for (const { number, title, edits } of LESSONS) {
    const where = `Lesson ${number} (${title}; tests/lessons/lessons.ts and ${number}.md)`;

    const isWithEarlier = process.env.LADDER === 'all' || number === LESSONS.length;
    test(`lesson ${number} reddens its own checks${isWithEarlier ? ', and none of an earlier lesson' : ''}`, async () => {
      const copy = new Copy();
      const first = isWithEarlier ? 1 : number;
      const tried = LESSONS.slice(first - 1, number).map((lesson) => lesson.number);
      const tryAll = () => runMany(copy.folder, tried, (lesson) => (lesson === number ? BROKEN : CLEAN));
      const outcomes = await copy.broken(edits, tryAll).catch((error: Error) => {
        throw new Error(`${where}: ${error.message}`);
      });
      const own = outcomes.at(-1)!;
      assert.deepEqual(
        outcomes.slice(0, -1).flatMap(whyNot),
        [],
        `${where} breaks what an earlier lesson has mended`,
      );
      assert.equal(own.trouble, undefined, `${where}: the program should run, and do something wrong`);
      const why = own.results.find((result) => result.why !== undefined)?.why;
      assert.ok(why, `${where}: its lines are gone, and its checks don't notice`);
      const blocks = parse(readFileSync(new URL(`${number}.md`, import.meta.url), 'utf8'));
      const shown = blocks.flatMap((block) => (block.kind === 'code' ? [withoutFigures(block.text)] : []));
      assert.ok(
        shown.includes(withoutFigures(why)),
        `${where}: its text should show the first sentence: ${why}`,
      );
    });
  }
});
