// The house has rooms, and imports point down only: whoever reads a file needs the rooms below it, never
// those above. Types count too: a type from above is as much to read as a value.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../support/helpers.ts';

/** What each room may import, beside itself. `lib` stands for the files right in it, but for `app.ts`, the roof. */
const BELOW: Record<string, string[]> = {
  lib: [],
  'lib/http': ['lib'],
  'lib/store': ['lib'],
  'lib/stream': ['lib', 'lib/http', 'lib/store'],
  'lib/api': ['lib', 'lib/http', 'lib/store', 'lib/stream'],
  'lib/operations': ['lib', 'lib/store'],
  'lib/app.ts': ['lib', 'lib/http', 'lib/store', 'lib/stream', 'lib/api'],
  'server.ts': ['lib', 'lib/http', 'lib/store', 'lib/app.ts'],
};

const files = [
  'server.ts',
  ...readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' })
    .map((file) => posix.join('lib', file.replaceAll('\\', '/')))
    .filter((file) => file.endsWith('.ts')),
];
const roomOf = (file: string) => (file in BELOW ? file : dirname(file));

/** Every relative file that this one names in an import: static, dynamic, of types, or re-exported. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  const specifiers = text.matchAll(/\b(?:from|import)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g);
  return [...specifiers].map(([, specifier]) => posix.join(dirname(file), specifier!));
}

test('every file of lib/ stands in a room that the rules know', () => {
  assert.ok(files.length > 20, `only ${files.length} files were seen: is lib/ read at all?`);
  assert.deepEqual(
    files.filter((file) => !(roomOf(file) in BELOW)),
    [],
  );
});

test('imports point down only', () => {
  const seen = files.flatMap((file) => importsOf(file).map((target) => ({ file, target })));
  assert.ok(seen.length > 100, `only ${seen.length} imports were seen: does the pattern still find them?`);
  const upward = seen.filter(
    ({ file, target }) => roomOf(file) !== roomOf(target) && !BELOW[roomOf(file)]!.includes(roomOf(target)),
  );
  assert.deepEqual(
    upward.map(({ file, target }) => `${file} imports ${target}`),
    [],
  );
});

test('no file needs, over whatever way, what needs it', () => {
  const reaches = (from: string, to: string, seen = new Set<string>()): boolean =>
    importsOf(from).some((file) => {
      if (file === to) return true;
      if (seen.has(file) || !files.includes(file)) return false;
      seen.add(file);
      return reaches(file, to, seen);
    });
  assert.deepEqual(
    files.filter((file) => reaches(file, file)),
    [],
  );
});

test('a test opens a database by lib/store/sqlite.ts: of the package itself nothing may be garbage collected', () => {
  const tests = readdirSync(join(ROOT, 'tests'), { recursive: true, encoding: 'utf8' }).filter((file) =>
    /^(?!bench.peers|lessons).*\.ts$/.test(file),
  );
  assert.ok(tests.length > 50, `only ${tests.length} files were seen`);
  const opens = /import\((?<quote>['"])better-sqlite3\k<quote>|^import (?!type\b).*'better-sqlite3'/m;
  const own = tests.filter((file) => opens.test(readFileSync(join(ROOT, 'tests', file), 'utf8')));
  assert.deepEqual(own, []);
});
