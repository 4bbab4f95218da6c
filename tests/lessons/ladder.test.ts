// The ladder does what its texts say: rung n keeps the first n promises and breaks the next one. So each rung is
// shown to be needed, and none to do more than it says. That a rung keeps what the rungs below it brought is tried on
// the highest one; with LADDER=all, as the soak has it, on each.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stripTypes } from '../support/typescript.ts';
import { EXPERIMENTS } from './ladder/experiments.ts';
import { fileOf, RUNGS, startRung } from './ladder/rung.ts';

// A promise that is kept is seen at once; only the two that are broken by silence wait so long, side by side.
const PATIENCE_MS = 10_000;
const isAll = process.env.LADDER === 'all';

async function tryOn(number: number, index: number): Promise<string | undefined> {
  const rung = await startRung(number, PATIENCE_MS);
  try {
    return await EXPERIMENTS[index]!.run(rung);
  } finally {
    await rung.stop();
  }
}

describe('the ladder', { concurrency: 3 }, () => {
  RUNGS.forEach((file, index) => {
    const number = index + 1;
    const next = EXPERIMENTS[number];
    test(`rung ${number} keeps the promises up to ${number}${next ? `, and breaks: ${next.promise}` : ''}`, async () => {
      for (let i = isAll || !next ? 0 : index; i < number; i += 1) {
        const failure = await tryOn(number, i);
        assert.equal(failure, undefined, `${file} should keep "${EXPERIMENTS[i]!.promise}". ${failure}`);
      }
      if (!next) return;
      const failure = await tryOn(number, number);
      assert.ok(failure, `${file} keeps "${next.promise}" already: what is the rung above it for?`);
    });
  });
});

test('a rung fits on a projector: 24 to 60 lines, an opening comment of two, and nothing of lib/', () => {
  assert.deepEqual([RUNGS.length, EXPERIMENTS.length], [7, 7]);
  for (const [index, file] of RUNGS.entries()) {
    const lines = readFileSync(fileOf(index + 1), 'utf8')
      .trimEnd()
      .split(/\r?\n/);
    assert.ok(lines.length >= 24 && lines.length <= 60, `${file} has ${lines.length} lines`);
    assert.match(lines[0]!, new RegExp(`^// Rung ${index + 1}\\. `), `${file} says which rung it is`);
    const comment = lines.findIndex((line) => !line.startsWith('//'));
    assert.equal(comment, 2, `the opening comment of ${file} has ${comment} lines`);
    const imports = lines.flatMap((line) => /from '([^']+)'/.exec(line)?.[1] ?? []);
    for (const name of imports)
      assert.match(name, /^(node:.*|ws|\.\/shop\.ts)$/, `${file} imports ${name}: a rung is whole by itself`);
  }
});

test('what a rung changes is shown from the first one on, and a rung that is not there is answered with those that are', () => {
  const ladder = (...typed: string[]) => {
    const file = fileURLToPath(new URL('./ladder/run.ts', import.meta.url));
    const { stdout, stderr } = spawnSync(process.execPath, [...stripTypes, file, ...typed], {
      encoding: 'utf8',
    });
    return stdout + stderr;
  };
  assert.equal(ladder('1', '--diff').trim(), readFileSync(fileOf(1), 'utf8').trim());
  assert.match(ladder('2', '--diff'), /^- \/\/ Rung 1\.[\s\S]*^\+ \/\/ Rung 2\./m);
  for (const odd of ['0', '8', 'x']) assert.match(ladder(odd), /^npm run ladder -- 5 /m);
});
