// Each lesson does what it says: on a clean copy of the project every check is green; with its lines taken out a
// lesson's own checks are red, by a sentence, and no earlier lesson's are. A rename in lib/ ends here, and the
// failure says which lesson to look at.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Limits, type Outcome, runChecks } from './checks/run.ts';
import { filesOf, LESSONS, type Lesson, takeOut } from './lessons.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
// A clean program answers at once; on a broken one, what doesn't come is waited for.
const CLEAN: Limits = { patienceMs: 20_000, limitMs: 60_000 };
const BROKEN: Limits = { patienceMs: 1500, limitMs: 60_000 };

const copies: string[] = [];
after(() => {
  for (const copy of copies) rmSync(copy, { recursive: true, force: true, maxRetries: 5 });
});

/** A copy of what runs, with the lines of a lesson taken out. */
function copyProject(lesson?: Lesson): string {
  const copy = mkdtempSync(join(tmpdir(), 'lessons-'));
  copies.push(copy);
  for (const part of ['lib', 'public', 'server.ts', 'package.json', 'tsconfig.json'])
    cpSync(join(ROOT, part), join(copy, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'), 'junction');
  for (const file of lesson ? filesOf(lesson) : [])
    writeFileSync(join(copy, file), takeOut(lesson!, file, readFileSync(join(copy, file), 'utf8')));
  return copy;
}

const whyNot = ({ results }: Outcome) =>
  results.flatMap(({ promise, why }) => (why ? [`${promise}: ${why}`] : []));

describe('lessons', { concurrency: 3 }, () => {
  let clean: string;
  before(() => {
    clean = copyProject();
  });
  for (const lesson of LESSONS) {
    const { number, title } = lesson;
    const where = `Lesson ${number} (${title}; tests/lessons/lessons.ts, ${number}.md)`;

    test(`the checks of lesson ${number} are green on the program as it is`, async () => {
      const outcome = await runChecks(clean, number, CLEAN);
      assert.deepEqual(whyNot(outcome), [], `${where}: its checks fail though nothing is broken`);
    });

    test(`lesson ${number} reddens its own checks, and none of an earlier lesson`, async () => {
      const copy = copyProject(lesson);
      const own = await runChecks(copy, number, BROKEN);
      assert.equal(own.trouble, undefined, `${where}: the program should run, and do something wrong`);
      assert.notDeepEqual(whyNot(own), [], `${where}: its lines are gone, and its checks don't notice`);
      for (let earlier = 1; earlier < number; earlier += 1) {
        const outcome = await runChecks(copy, earlier, CLEAN);
        assert.deepEqual(whyNot(outcome), [], `${where} breaks what lesson ${earlier} has mended`);
      }
    });
  }
});
