// Which events a client wants: `?types=customer.*,order.shipped&sources=/rooms/42/*`. A question costs a look into a
// set for each step of a name, however long the list is. Equal filters have an equal key, so that ten thousand clients
// with the same wish share their frames.
import type { StoredEvent } from './event.ts';
import { Problem } from './problem.ts';

// A stream keeps its filter for as long as it is open, and there may be ten thousand streams.
const MAX_ITEMS = 100;
const MAX_LIST_LENGTH = 4000;

/** All that decides whether an event may be seen, or is wanted. */
export type Seen = Pick<StoredEvent, 'type' | 'source'>;

/** Both lists must let an event through; the server's own `stream.*` frames are never asked. */
export type Filter = {
  /** Equal for filters that let the same events through, however their lists were written. */
  readonly key: string;
  matches(event: Seen): boolean;
};

/** How the items of one list look; `meaning` is for people. */
const TYPES = {
  name: 'types',
  separator: '.', // between the steps of a value: a prefix ends there, with a `*` behind it
  // Wider than what may be published: rows that other programs put into the log have types of their own.
  pattern: /^[^\s*,]{1,200}(?<!\.)(\.\*)?$/,
  meaning: 'a type, or a prefix such as customer.*',
};
const SOURCES: typeof TYPES = {
  name: 'sources',
  separator: '/',
  pattern: /^([!-)+\--~]+|[!-)+\--~]*\/\*)$/, // visible ASCII, but for the comma and the star
  meaning: 'a source, or a prefix such as /rooms/42/*',
};

/** One list of a filter. `isWithin`: does it name something below this beginning? */
type Match = { key: string; matches: (text: string) => boolean; isWithin: (beginning: string) => boolean };

/** Of all who name nothing: ten thousand idle streams hold one filter. */
const NO_FILTER: Filter = { key: ' ', matches: () => true };

/** @throws {Problem} 400 naming the item that is neither a whole value nor a prefix, or the list that is too long */
export function parseFilter(types: string | null, sources: string | null = null): Filter {
  if (types === null && sources === null) return NO_FILTER;
  const type = parseList(types, TYPES);
  const source = parseList(sources, SOURCES);
  const isWanted = (event: Seen) => {
    if (source.matches(event.source)) return true;
    const table = tableOfReset(event);
    return table !== undefined && source.isWithin(table);
  };
  const matches = (event: Seen) => type.matches(event.type) && isWanted(event);
  return { key: `${type.key} ${source.key}`, matches };
}

/** One list: sorted and without repeats, so that its key says only what it lets through. */
function parseList(text: string | null, { name, separator, pattern, meaning }: typeof TYPES): Match {
  if (text === null) return { key: '', matches: () => true, isWithin: () => true };
  const items = [...new Set(text.split(',').map((item) => item.trim()))].sort();
  if (items.length > MAX_ITEMS || text.length > MAX_LIST_LENGTH) {
    const bound = `at most ${MAX_ITEMS} items and ${MAX_LIST_LENGTH} characters`;
    throw new Problem(400, `${name} may have ${bound}: name prefixes, or filter on your side.`);
  }
  for (const item of items) {
    if (!pattern.test(item))
      throw new Problem(400, `${name} has ${JSON.stringify(item)}, but each must be ${meaning}.`);
  }
  const isPrefix = (item: string) => item.endsWith(`${separator}*`);
  // A prefix keeps its separator: `customer.*` must not let `customers.created` through.
  const exact = new Set(items.filter((item) => !isPrefix(item)).map(withMarks));
  const prefixes = new Set(items.filter(isPrefix).map((item) => withMarks(item.slice(0, -1))));
  const matches = (value: string) => {
    const plain = withMarks(value);
    return exact.has(plain) || hasPrefix(plain, separator, prefixes);
  };
  const isWithin = (beginning: string) =>
    [...exact, ...prefixes].some((one) => one.startsWith(withMarks(beginning)));
  return { key: items.join(), matches, isWithin };
}

/**
 * `orders.reset` at `/watch/orders/*`: copies have to be loaded again. It says nothing of any row and is about each, so
 * who follows a single one must hear it too.
 * @returns what the sources of its rows begin with; undefined for every other event
 */
export function tableOfReset({ type, source }: Seen): string | undefined {
  const isTable = source === '/api/customers/*' || (source.startsWith('/watch/') && source.endsWith('/*'));
  return isTable && type.endsWith('.reset') ? source.slice(0, -1) : undefined;
}

/**
 * A comma ends an item of the list, and a star makes it a prefix. A source with one in it, as a row has whose key is of
 * several columns, is named with `%2C` or `%2A` instead: so both ways of writing it count as one.
 */
function withMarks(text: string): string {
  return text.includes('%2') ? text.replace(/%2C/gi, ',').replace(/%2A/gi, '*') : text;
}

/** Is one of the beginnings of this value, each up to a separator, among the prefixes? */
function hasPrefix(value: string, separator: string, prefixes: ReadonlySet<string>): boolean {
  if (prefixes.size === 0) return false;
  for (let at = value.indexOf(separator); at >= 0; at = value.indexOf(separator, at + 1)) {
    if (prefixes.has(value.slice(0, at + 1))) return true;
  }
  return false;
}
