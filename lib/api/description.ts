// What the two descriptions share: the data in `described/`, what is true of this very server, and the rule that a
// text in the place of a schema is the name of one.
import { readFileSync } from 'node:fs';

// biome-ignore lint/suspicious/noExplicitAny: it is data on its way from a file to a reader; the linters judge it.
export type Json = Record<string, any>;

/** What differs from server to server. */
export type Description = {
  info: Json;
  /** Without a slash at the end. */
  url: string;
  /** Names of tables, as they stand in a path. */
  watched: string[];
  hasCustomers: boolean;
  isLabOn: boolean;
  /** Names of schemes: whoever has one of them comes in. Empty: nobody is asked. */
  security: string[];
  securitySchemes: Record<string, Json>;
};

/** The data of `described/`. */
export type Parts = {
  paths: Record<'customers' | 'events' | 'watch' | 'server', Json>;
  schemas: Record<string, Json>;
  parameters: Record<string, Json>;
  headers: Record<string, Json>;
  problems: Record<string, Json>;
  frames: Record<string, Json>;
  streams: Record<string, Json>;
};

/** @param watched the tables that may stand in a path */
export function readParts(watched: string[]): Parts {
  const { headers, parameters } = read('parts');
  const schemas = mapValues(read('schemas'), schemaOf);
  if (watched.length > 0) schemas.WatchedTable = { type: 'string', enum: watched };
  return {
    paths: {
      customers: read('customers'),
      events: read('events'),
      watch: read('watch'),
      server: read('server'),
    },
    schemas,
    headers,
    parameters,
    problems: read('problems'),
    frames: read('frames'),
    streams: read('streams'),
  };
}

function read(name: string): Json {
  return JSON.parse(readFileSync(new URL(`./described/${name}.json`, import.meta.url), 'utf8'));
}

/** A text is the name of a schema, also deep inside of one. */
export function schemaOf(given: unknown): Json {
  if (typeof given === 'string') return { $ref: `#/components/schemas/${given}` };
  const { properties, items, anyOf, ...rest } = given as Json;
  return {
    ...rest,
    ...(properties ? { properties: mapValues(properties, schemaOf) } : {}),
    ...(items ? { items: schemaOf(items) } : {}),
    ...(anyOf ? { anyOf: anyOf.map(schemaOf) } : {}),
  };
}

export function mapValues<T, U>(
  object: Record<string, T>,
  map: (value: T, name: string) => U,
): Record<string, U> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value, name)]));
}

/** The document without the components that nothing in it names, nor names by way of others. */
export function prune(document: Json): Json {
  const { components, ...rest } = document;
  const named = new Set<string>();
  const visit = (part: unknown): void => {
    for (const [, ref] of JSON.stringify(part).matchAll(/"\$ref":"#\/components\/([^"]+)"/g)) {
      if (named.has(ref!)) continue;
      named.add(ref!);
      const [kind, name] = ref!.split('/');
      visit(components[kind!][name!]);
    }
  };
  visit(rest);
  const isKept = (kind: string, name: string) => kind === 'securitySchemes' || named.has(`${kind}/${name}`);
  const kept = mapValues(components as Record<string, Json>, (all, kind) =>
    Object.fromEntries(Object.entries(all).filter(([name]) => isKept(kind, name))),
  );
  return { ...rest, components: kept };
}
