// What the READMEs say of the repository is true: the files that they name are there, and so are the tests.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../support/helpers.ts';

const READMES = [
  'README.md',
  'lib/README.md',
  'lib/operations/README.md',
  'lib/store/README.md',
  'tests/README.md',
  'tests/bench/README.md',
];
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
/** A file may be named from the top, or from the folder of the README. */
const exists = (readme: string, file: string) =>
  [file, posix.join(dirname(readme), file)].some((path) => existsSync(join(ROOT, path)));

for (const readme of READMES) {
  test(`${readme} names only files that are there`, () => {
    const text = read(readme).replace(/```[\s\S]*?```/g, '');
    const named = [
      ...text.matchAll(
        /`([\w./-]+\.(?:ts|js|sql|md|json|conf|css|html|service|yml))`|\]\((?!https?:)([^)#]+)\)/g,
      ),
    ];
    const missing = named.map(([, code, link]) => (code ?? link)!).filter((file) => !exists(readme, file));
    assert.deepEqual(missing, []);
  });
}

/** As GitHub makes the anchor of a heading, for the headings that we have. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-');

test('every link to a section of a README, or to an answer of the reference, leads to one', () => {
  const links = READMES.flatMap((readme) =>
    [...read(readme).matchAll(/\]\((?!https?:)([^)#]*)#([\w-]+)\)|(reference\.html)#([\w-]+)/g)].map(
      ([, file, section, page, answer]) => ({
        file: page ? `public/${page}` : file ? posix.join(dirname(readme), file) : readme,
        anchor: (section ?? answer)!,
      }),
    ),
  );
  assert.ok(links.length >= 8, `only ${links.length} such links were found`);
  const isThere = ({ file, anchor }: (typeof links)[number]) =>
    file.endsWith('.html')
      ? read(file).includes(`id="${anchor}"`)
      : [...read(file).matchAll(/^#+ (.*)$/gm)].some(([, heading]) => anchorOf(heading!) === anchor);
  assert.deepEqual(
    links.filter((link) => !isThere(link)),
    [],
  );
});

test('every invariant of lib/README.md names a test that is there, in the file that it names', () => {
  const lines = read('lib/README.md').match(/^\d+\. .*Test: .*$/gm) ?? [];
  assert.ok(lines.length >= 10, `only ${lines.length} invariants with a test were found`);
  for (const line of lines) {
    const [, name, file] = /“([^”]+)” \(`([^`]+)`\)/.exec(line) ?? [];
    assert.ok(name && file, `no test can be read from: ${line}`);
    assert.ok(read(file).includes(name), `${file} has no test “${name}”`);
  }
});

test('every name of code in the two routes is found in its file', () => {
  const rows = read('lib/README.md').match(/^\| .* \| `[\w/.-]+`: .* \|$/gm) ?? [];
  assert.ok(rows.length >= 8, `only ${rows.length} steps were found`);
  const sql = readdirSync(join(ROOT, 'lib/store')).filter((file) => file.endsWith('.sql'));
  const anySql = sql.map((file) => read(posix.join('lib/store', file))).join('');
  for (const row of rows) {
    const [, file, names] = /`([\w/.-]+)`: (.*) \|$/.exec(row)!;
    const text = read(posix.join('lib', file!)) + (names!.includes('PostgreSQL') ? anySql : '');
    for (const [, name] of names!.matchAll(/`(\w+)`/g))
      assert.ok(text.includes(name!), `${file} has no ${name}`);
  }
});

test('every setting of the program stands in the README, with its default, and in the reference', () => {
  const code = read('lib/config.ts');
  const named = [...code.matchAll(/env\.([A-Z_]+)|'([A-Z]+(?:_[A-Z]+)*)[' ]/g)].map(
    ([, one, two]) => (one ?? two)!,
  );
  const settings = [...new Set(named)];
  assert.ok(settings.length >= 17, `only ${settings.length} settings were found`);
  const table = read('README.md').split('## Settings')[1]!;
  const [, answer] = /id="settings">([\s\S]*?)<\/details>/.exec(read('public/reference.html'))!;
  for (const name of settings) {
    assert.ok(table.includes(`\`${name}\``), `the README says nothing of ${name}`);
    assert.ok(answer!.includes(`<code>${name}</code>`), `the reference says nothing of ${name}`);
  }
  const numbers = [...code.matchAll(/readInteger\(env, '(\w+)', ([\d_]+),/g)];
  assert.ok(numbers.length >= 4, `only ${numbers.length} defaults were found`);
  for (const [, name, value] of numbers)
    assert.match(table, new RegExp(`\\| \`${name}\` +\\| \`${value!.replaceAll('_', '')}\` +\\|`));
});
