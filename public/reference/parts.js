// Pieces that entries are made of: words, tables, schemas, and references followed.
import { make } from '../dom.js';

/** @typedef {Record<string, any>} Json */

/** What a reference names. @param {Json} document @param {any} part @returns {any} */
export function follow(document, part) {
  if (typeof part?.$ref !== 'string') return part;
  const names = part.$ref.slice(2).split('/');
  return follow(
    document,
    names.reduce((/** @type {Json} */ at, /** @type {string} */ name) => at[name], document),
  );
}

/** Text in which `this` is code. @param {string} text */
export function words(text) {
  const pieces = text.split('`');
  return make('p', {}, ...pieces.map((piece, i) => (i % 2 ? make('code', { textContent: piece }) : piece)));
}

/** @param {string} id @param {string} title @param {string} description @param {Node[]} entries */
export function chapter(id, title, description, entries) {
  const section = make('section', { id, className: 'chapter' });
  section.setAttribute('aria-label', title);
  const hint = description === '' ? [] : [make('p', { className: 'hint', textContent: description })];
  section.append(make('h2', { textContent: title }), ...hint, ...entries);
  return section;
}

/** @param {string} id @param {(Node | string)[]} summary @param {(Node | string)[]} content */
export function entry(id, summary, content) {
  return make('details', { id, className: 'entry' }, make('summary', {}, ...summary), ...content);
}

/** With a heading, or nothing where there are no rows. @param {string} heading @param {[string, Node][]} rows */
export function table(heading, rows) {
  if (rows.length === 0) return [];
  const lines = rows.map(([name, node]) =>
    make('tr', {}, make('th', { scope: 'row', textContent: name }), make('td', {}, node)),
  );
  return [make('h3', { textContent: heading }), make('table', {}, make('tbody', {}, ...lines))];
}

/** A schema in words: what it is called, or what it is. @param {any} schema @returns {string} */
export function kindOf(schema) {
  if (!schema) return 'anything';
  if (schema.$ref) return schema.$ref.split('/').at(-1);
  if (schema.anyOf) return schema.anyOf.map(kindOf).join(' or ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((/** @type {any} */ one) => JSON.stringify(one)).join(' or ');
  if (schema.items) return `list of ${kindOf(schema.items)}`;
  return [schema.type ?? schema.title ?? 'anything'].flat().join(' or ');
}

/** @param {any} schema */
export function limitsOf(
  { minimum, maximum, minLength, maxLength, default: fallback } = /** @type {Json} */ ({}),
) {
  const range = minimum === undefined && maximum === undefined ? [] : [`${minimum ?? ''}…${maximum ?? ''}`];
  const length = maxLength === undefined ? [] : [`${minLength ?? 0} to ${maxLength} characters`];
  const normally = fallback === undefined ? [] : [`normally ${JSON.stringify(fallback)}`];
  return [...range, ...length, ...normally].map((text) => `, ${text}`).join('');
}

/** The members of an object, as a table. @param {string} heading @param {any} schema */
export function members(heading, schema) {
  const rows = Object.entries(schema?.properties ?? {}).map(([name, member]) => {
    const isRequired = schema.required?.includes(name) ? '' : ', optional';
    const text = `${kindOf(member)}${limitsOf(member)}${isRequired}. ${member.description ?? ''}`;
    return /** @type {[string, Node]} */ ([name, words(text)]);
  });
  return table(heading, rows);
}

/** @param {string} heading @param {unknown} value */
export function example(heading, value) {
  if (value === undefined) return [];
  return [make('h3', { textContent: heading }), pre(JSON.stringify(value, null, 2))];
}

/** Can be reached by the keyboard, since it may scroll. @param {string} textContent */
export const pre = (textContent) => make('pre', { textContent, tabIndex: 0 });
