// The reference, made in the browser of what the server says of itself: /openapi.json and /asyncapi.json.
import { element, make } from '../dom.js';
import { chapterOfOperations, chapterOfSchemas } from './operations.js';
import { chapterOfStreams } from './streams.js';

const reference = element('reference');

try {
  const [openapi, asyncapi] = await Promise.all(['openapi.json', 'asyncapi.json'].map(load));
  const chapters = [
    ...openapi.tags.map((/** @type {any} */ tag) => chapterOfOperations(openapi, tag)),
    chapterOfStreams(asyncapi),
    chapterOfSchemas(openapi),
  ];
  reference.replaceChildren(...chapters);
} catch (error) {
  element('loading').textContent =
    `The descriptions could not be loaded: ${/** @type {Error} */ (error).message}`;
}
reference.removeAttribute('aria-busy');
listContents();
element('wanted').addEventListener('input', search);
openLinked();
addEventListener('hashchange', openLinked);

/** @param {string} name */
async function load(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name} is answered with ${response.status}`);
  return response.json();
}

function listContents() {
  const chapters = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.chapter'));
  const links = [...chapters].map((chapter) => {
    const textContent = chapter.querySelector('h2')?.textContent ?? '';
    return make('li', {}, make('a', { href: `#${chapter.id}`, textContent }));
  });
  document.querySelector('#contents ul')?.replaceChildren(...links);
}

/** Every word must stand in an entry, wherever; one entry that is left is opened. */
function search() {
  const words = element('wanted').value.toLowerCase().split(/\s+/).filter(Boolean);
  const entries = /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll('.entry'));
  const found = [...entries].filter((entry) => {
    const text = `${entry.id} ${entry.textContent}`.toLowerCase(); // an id is a word that can be typed: csharp
    entry.hidden = !words.every((/** @type {string} */ word) => text.includes(word));
    return !entry.hidden;
  });
  for (const chapter of document.querySelectorAll('.chapter'))
    chapter.toggleAttribute('hidden', chapter.querySelector('.entry:not([hidden])') === null);
  if (found.length === 1 && found[0]) found[0].open = true;
  const count = `${found.length} of ${entries.length} entries`;
  const hint = found.length === 0 ? ' have all these words: try fewer' : '';
  element('found').textContent = words.length === 0 ? '' : count + hint;
}

/** A link to an entry opens it, also where a search has hidden it: else the link of a find would lead nowhere. */
function openLinked() {
  const entry = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(entry instanceof HTMLDetailsElement)) return;
  if (entry.hidden) {
    element('wanted').value = '';
    search();
  }
  entry.open = true;
  entry.scrollIntoView();
}
