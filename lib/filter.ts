// Which events a client wants: `?types=customer.*,order.shipped&sources=/rooms/42/*`. Equal filters have an
// equal key, so that ten thousand clients with the same wish share their frames.
import type { StoredEvent } from './event.ts';
import { Problem } from './problem.ts';

/** Both lists must let an event through; the server's own `stream.*` frames are never asked. */
export type Filter = {
  readonly key: string;
  matches(event: Pick<StoredEvent, 'type' | 'source'>): boolean;
};

type Match = { key: string; matches: (text: string) => boolean };

const EVERYTHING: Match = { key: '', matches: () => true };

/** @throws {Problem} 400 naming the item that is neither a whole value nor a prefix */
export function parseFilter(types: string | null, sources: string | null = null): Filter {
  const type = parseList(
    types,
    /^[^\s*,]{1,200}(?<!\.)(\.\*)?$/,
    'types',
    'a type, or a prefix such as customer.*',
  );
  const source = parseList(
    sources,
    /^[!-)+\--~]{1,200}?(\/\*)?$/,
    'sources',
    'a source, or a prefix such as /rooms/42/*',
  );
  const matches: Filter['matches'] = (event) => type.matches(event.type) && source.matches(event.source);
  return { key: `${type.key} ${source.key}`, matches };
}

function parseList(text: string | null, form: RegExp, name: string, meaning: string): Match {
  if (text === null) return EVERYTHING;
  const items = [...new Set(text.split(',').map((item) => item.trim()))].sort();
  for (const item of items) {
    if (!form.test(item))
      throw new Problem(400, `${name} has ${JSON.stringify(item)}, but each must be ${meaning}.`);
  }
  const exact = new Set(items);
  const prefixes = items.filter((item) => item.endsWith('*')).map((item) => item.slice(0, -1));
  const matches = (value: string) => exact.has(value) || prefixes.some((prefix) => value.startsWith(prefix));
  return { key: items.join(), matches };
}
