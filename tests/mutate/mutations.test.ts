// The table of breaks keeps up with the program: `npm run mutate` takes minutes, and a line that has lost its place
// would be found only then.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../support/helpers.ts';
import { applyEdit } from './edit.ts';
import { MUTATIONS } from './mutations.ts';

const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

test('every break has its place: its text stands once in its file', () => {
  for (const { breaks, edits } of MUTATIONS)
    for (const edit of edits) assert.doesNotThrow(() => applyEdit(read(edit.file), edit), breaks);
});

test('every break has its test: one that begins with the words that the table has', () => {
  const suites = ['tests/store/store-contract.ts']; // run by the test files of both stores
  for (const { breaks, red } of MUTATIONS) {
    const texts = [red.file, ...suites].map((file) => read(file).replace(/\btest\(\s+/g, 'test('));
    assert.ok(
      texts.some((text) => text.includes(`test('${red.name}`) || text.includes(`test("${red.name}`)),
      `${breaks}: no test in ${red.file} begins with ${JSON.stringify(red.name)}`,
    );
  }
});

test('there are breaks of every room', () => {
  for (const room of ['lib/stream/', 'lib/store/', 'lib/http/', 'lib/api/'])
    assert.ok(
      MUTATIONS.some(({ edits }) => edits[0]!.file.startsWith(room)),
      room,
    );
});
