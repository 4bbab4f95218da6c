// The lessons as pages: made from the Markdown once, and kept in public/workshop/, so that the program serves them
// as it serves any file, and no text stands in two places. `npm run lesson -- pages` makes them anew.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LESSONS } from './lessons.ts';
import { escapeHtml, toHtml } from './markdown.ts';

const TEXTS = fileURLToPath(new URL('.', import.meta.url));
const PAGES = fileURLToPath(new URL('../../public/workshop/', import.meta.url));
const DONE_BY_PEOPLE = ['board.html'];

/** A lesson's texts by language: `en`, and its translations. */
export function languagesOf(number: number): { language: string; name: string }[] {
  const names = readdirSync(TEXTS).filter((name) => new RegExp(`^${number}(\\.\\w+)?\\.md$`).test(name));
  return names.sort().map((name) => ({ language: name.split('.').at(-2)!.replace(/^\d+$/, 'en'), name }));
}

/** Every page that is made, by its name. */
export function makePages(): Map<string, string> {
  const pages = new Map([
    ['index.html', page('en', 'The workshop', 'workshop.css', index())],
    ['cards.html', page('en', 'Cards', 'cards.css', LESSONS.map(({ number }) => card(number)).join('\n'))],
  ]);
  for (const { number, title } of LESSONS) {
    for (const { language, name } of languagesOf(number)) {
      const others = languagesOf(number).filter((one) => one.language !== language);
      const links = ['<a href="index.html">The workshop</a>', ...others.map(linkTo)];
      const body = `<nav>${links.join(' ')}</nav>\n<main>\n${toHtml(textOf(name))}\n</main>`;
      pages.set(pageOf(name), page(language, `${number} ${title}`, 'workshop.css', body));
    }
  }
  return pages;
}

/** Writes the pages that are new or other than they were. @returns their names */
export function writePages(): string[] {
  const changed = [...makePages()].filter(([name, html]) => readPage(name) !== html);
  for (const [name, html] of changed) writeFileSync(join(PAGES, name), html);
  return changed.map(([name]) => name);
}

/** A page as it lies in public/; undefined where there is none. */
export function readPage(name: string): string | undefined {
  const isThere = readdirSync(PAGES).includes(name);
  return isThere ? readFileSync(join(PAGES, name), 'utf8').replaceAll('\r\n', '\n') : undefined;
}

/** Pages in public/workshop/ that nobody makes any more. */
export function leftOvers(): string[] {
  const made = makePages();
  return readdirSync(PAGES).filter(
    (name) => /\.html$/.test(name) && !made.has(name) && !DONE_BY_PEOPLE.includes(name),
  );
}

const textOf = (name: string): string => readFileSync(join(TEXTS, name), 'utf8');
const pageOf = (name: string): string => name.replace(/\.md$/, '.html');
const linkTo = ({ language, name }: { language: string; name: string }) =>
  `<a href="${pageOf(name)}" hreflang="${language}" lang="${language}">${new Intl.DisplayNames(language, { type: 'language' }).of(language)}</a>`;

function page(language: string, title: string, style: string, body: string): string {
  return `<!doctype html>
<html lang="${language}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="../favicon.svg">
<link rel="stylesheet" href="${style}">
${body}
</html>
`;
}

const card = (number: number): string => `<article>\n${toHtml(textOf(`${number}.md`))}\n</article>`;

function index(): string {
  const rows = LESSONS.map(({ number, title, minutes }) => {
    const others = languagesOf(number).filter(({ language }) => language !== 'en');
    const links = [`<a href="${number}.html">${escapeHtml(title)}</a>`, ...others.map(linkTo)];
    return `  <li>${links.join(' ')} <small>${minutes} min</small></li>`;
  });
  return `<main>
<h1>The workshop</h1>
<p>Why is it built like this? Two answers: the ladder, seven tiny programs, each of which breaks a promise that the
next one keeps; and the lessons, in which lines are missing from the program itself, and you write them.</p>
<h2>The ladder</h2>
<pre>npm run ladder -- 1          seven experiments on the first rung
npm run ladder -- 1 --show   try it by hand
npm run ladder -- 2 --diff   what the next rung does better</pre>
<h2>The lessons</h2>
<ol>
${rows.join('\n')}
</ol>
<pre>npm run lesson -- doctor     is this machine ready?
npm run lesson -- start 3    take its lines out
npm run lesson               all commands</pre>
<h2>The class</h2>
<p><a href="board.html">The board</a> shows who is where. <a href="cards.html">The cards</a> are for the printer.</p>
</main>`;
}
