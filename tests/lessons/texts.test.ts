// The texts drift from nothing: what a text names is there (files, identifiers, commands, labels of the page), its
// pages are as they would be made today, and a translation names the same things under as many headings.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertAccessible, needsChromium, openPage } from '../support/browser.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';
import { COMMANDS, LESSON_PORT } from './cli.ts';
import { ROOT } from './commands.ts';
import { filesOf, LESSONS, type Lesson } from './lessons.ts';
import { type Block, parse } from './markdown.ts';
import { languagesOf, leftOvers, makePages, readPage } from './pages.ts';

const HERE = join(ROOT, 'tests/lessons');
const MAX_WORDS = 250;
const HEADINGS = ['Predict', 'Run', 'Mend', 'Common mistakes', 'Talk'];
const read = (...path: string[]) => readFileSync(join(...path), 'utf8').replaceAll('\r\n', '\n');

/** What a text may name: what stands in its lesson's files and checks, and in the files that it names itself. */
function sourceOf(lesson: Lesson, text: string): string {
  const checks = readdirSync(join(HERE, 'checks')).find((name) => name.startsWith(`${lesson.number}-`))!;
  const named = codesIn(text).filter((code) => /^lib\/.*\.\w+$/.test(code));
  const files = [...filesOf(lesson), ...named, `tests/lessons/checks/${checks}`];
  return files.map((file) => read(ROOT, file)).join('\n');
}

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** All words of the page, where a label must stand. */
function wordsOfPage(): string {
  const names = readdirSync(join(ROOT, 'public')).filter((name) => /\.(html|js)$/.test(name));
  return names.map((name) => read(ROOT, 'public', name)).join('\n');
}

const textIn = (block: Block): string => (block.kind === 'list' ? block.items.join('\n') : block.text);
const codesIn = (text: string): string[] =>
  [...text.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/`([^`]+)`/g)].map(([, code]) => code!);

/** Without its common mistakes, which name what should not be there. */
function withoutMistakes(blocks: Block[]): Block[] {
  const isMistakes = (block: Block) => block.kind === 'heading' && block.text === 'Common mistakes';
  const from = blocks.findIndex(isMistakes);
  const to = blocks.findIndex((block, index) => index > from && block.kind === 'heading');
  return [...blocks.slice(0, from), ...blocks.slice(to)];
}

function assertNamed(lesson: Lesson, text: string, code: string): void {
  const name = `${lesson.number}.md`;
  const command = /^npm run lesson -- (\w+)/.exec(code)?.[1];
  if (command)
    return assert.ok(COMMANDS.includes(command), `${name} names the command ${code}, which is not there`);
  if (code.includes('/'))
    return assert.ok(existsSync(join(ROOT, code)), `${name} names ${code}, which is not there`);
  const isThere = new RegExp(`(?<![\\w$])${escaped(code)}(?![\\w$])`).test(sourceOf(lesson, text));
  assert.ok(
    isThere,
    `${name} names \`${code}\`: that stands in none of its lesson's files, nor in its checks`,
  );
}

for (const lesson of LESSONS) {
  const { number, title } = lesson;
  const name = `${number}.md`;

  test(`the text of lesson ${number} names only what is there`, () => {
    const blocks = parse(read(HERE, name));
    assert.deepEqual(blocks[0], { kind: 'heading', level: 1, text: `${number} ${title}` }, name);
    const headings = blocks.flatMap((block) =>
      block.kind === 'heading' && block.level === 2 ? [block.text] : [],
    );
    assert.deepEqual(headings, HEADINGS, name);
    const prose = blocks.filter(({ kind }) => kind !== 'code').map(textIn);
    const words = prose.join(' ').split(/\s+/).length;
    assert.ok(words <= MAX_WORDS, `${name} has ${words} words: at most ${MAX_WORDS} are read`);
    const text = read(HERE, name);
    for (const part of withoutMistakes(blocks).filter(({ kind }) => kind !== 'code'))
      for (const code of codesIn(textIn(part))) assertNamed(lesson, text, code);
  });

  test(`the labels and ports in the text of lesson ${number} are those of the page`, () => {
    const text = read(HERE, name);
    const page = wordsOfPage();
    for (const [, label] of text.matchAll(/\b_([A-Z][^_]+)_\b/g))
      assert.ok(page.includes(label!), `${name} names the label ${label}, which the page does not have`);
    for (const [, port] of text.matchAll(/localhost:(\d+)/g))
      assert.equal(Number(port), LESSON_PORT, `${name}: npm run lesson -- serve is on port ${LESSON_PORT}`);
  });

  for (const translation of languagesOf(number).filter(({ language }) => language !== 'en')) {
    test(`${translation.name} names what ${name} names, under as many headings`, () => {
      const [original, translated] = [name, translation.name].map((one) => read(HERE, one));
      const shape = (text: string) => parse(text).map(({ kind }) => kind);
      assert.deepEqual(
        shape(translated!),
        shape(original!),
        `${translation.name} has other parts than ${name}`,
      );
      assert.deepEqual(codesIn(translated!), codesIn(original!));
      const blocks = (text: string) => parse(text).filter(({ kind }) => kind === 'code');
      assert.deepEqual(blocks(translated!), blocks(original!));
    });
  }
}

test('a lesson has three hints, which name only what is there, and what it takes out is 1 to 8 lines', () => {
  for (const lesson of LESSONS) {
    const { number, edits, hints } = lesson;
    assert.equal(hints.length, 3);
    for (const [code, name] of hints.join('\n').matchAll(/(?:`|this\.)([A-Za-z_]\w+)/g))
      assert.ok(
        sourceOf(lesson, '').includes(name!),
        `a hint of lesson ${number} names ${code}, which is gone`,
      );
    const lines = edits.reduce((sum, { find }) => sum + find.trimEnd().split('\n').length, 0);
    assert.ok(lines >= 1 && lines <= 8, `lesson ${number} takes out ${lines} lines`);
    for (const { find, put } of edits)
      assert.ok(find.endsWith('\n') && put.endsWith('\n'), `lesson ${number}`);
  }
});

test('the pages in public/workshop/ are made of the texts as they are now', () => {
  for (const [name, html] of makePages())
    assert.equal(readPage(name), html, `${name} is stale: npm run lesson -- pages makes it anew`);
  assert.deepEqual(leftOvers(), [], 'pages of texts that are gone');
});

test('the teaching script names only commands and files that are there', () => {
  const text = read(HERE, 'TEACHING.md');
  for (const code of codesIn(text)) {
    const command = /npm run lesson -- (\w+)/.exec(code)?.[1];
    if (command) assert.ok(COMMANDS.includes(command), `TEACHING.md names ${code}`);
    if (/^[\w./-]+\.(ts|md|html|sql)$/.test(code))
      assert.ok(existsSync(join(ROOT, code)), `TEACHING.md names ${code}`);
  }
  for (const [, number, minutes] of text.matchAll(/[Ll]esson (\d) \((\d+) minutes\)/g))
    assert.equal(Number(minutes), LESSONS[Number(number) - 1]!.minutes, `TEACHING.md, lesson ${number}`);
});

test('each card fits on its A6 page, and the pages are accessible', needsChromium, async () => {
  const server: OpenServer = await openServer();
  const { page, faults } = await openPage(`${server.url}/workshop/cards.html`, { state: '' });
  const overflow = await page.$$eval('article', (all) =>
    all.map((one) => one.scrollHeight - one.clientHeight),
  );
  assert.deepEqual(
    overflow,
    LESSONS.map(() => 0),
  );
  const pdf = (await page.pdf({ preferCSSPageSize: true })).toString('latin1');
  assert.equal(pdf.match(/\/Type \/Page\b/g)?.length, LESSONS.length, 'one page for each card');
  for (const name of ['index.html', '3.html', '3.de.html']) {
    await page.goto(`${server.url}/workshop/${name}`);
    await assertAccessible(page, name);
  }
  assert.deepEqual(faults, []);
  await server.stop();
});
