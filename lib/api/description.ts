// What the two descriptions share: the data in `described/`, what is true of this very server, and the rule that a
// text in the place of a schema is the name of one. The data is what people edit: it must be short to be kept right.
import { readFileSync } from 'node:fs';

// biome-ignore lint/suspicious/noExplicitAny: it is data on its way from a file to a reader; the linters judge it.
export type Json = Record<string, any>;

/** What differs from server to server. */
export type Description = {
  /** Title, version and description: the same in both documents. */
  info: Json;
  /** Without a slash at the end. */
  url: string;
  /** Names of tables, as they stand in a path. */
  watched: string[];
  /** Whether `/api/customers` is there: with CUSTOMERS=0 it is not. */
  hasCustomers: boolean;
  /** Whether the failure lab is on: only then its orders and `/api/clients` are there. */
  isLabOn: boolean;
  /** Names of schemes: whoever has one of them comes in. Empty: nobody is asked. */
  security: string[];
  /** By their names: how each of them is given. */
  securitySchemes: Record<string, Json>;
};

/** The data of `described/`. */
export type Parts = {
  /** By the file that they stand in: a server leaves out what it has not got. */
  paths: Record<'customers' | 'events' | 'watch' | 'server', Json>;
  schemas: Record<string, Json>;
  parameters: Record<string, Json>;
  headers: Record<string, Json>;
  /** Answers that refuse, by their status. */
  problems: Record<string, Json>;
  /** The server's own frames, by their type. */
  frames: Record<string, Json>;
  streams: Record<string, Json>;
};

/**
 * Reads the data of `described/` anew at each call: whoever gets it may change it.
 * @param watched the tables that may stand in a path; the description lists them, so that a generated client knows them
 */
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

// Without a check of its form: the linters of OpenAPI and AsyncAPI judge what is made of it, in the tests.
function read(name: string): Json {
  return JSON.parse(readFileSync(new URL(`./described/${name}.json`, import.meta.url), 'utf8'));
}

/**
 * A text is the name of a schema, also deep inside of one: `"items": "Customer"` becomes a reference to it. Only the
 * places where our own data has schemas are looked into; everything else in a schema stays as it is.
 */
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

/** The same keys, each with what `map` makes of its value. */
export function mapValues<T, U>(
  object: Record<string, T>,
  map: (value: T, name: string) => U,
): Record<string, U> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value, name)]));
}

/**
 * The document without the components that nothing in it names, nor names by way of others. So a server without
 * customers has no schema of one, though nobody has written down which schemas belong to them.
 */
export function prune(document: Json): Json {
  const { components, ...rest } = document;
  const named = new Set<string>();
  // References are found in the text: that takes one expression, and a walk over all kinds of parts takes many lines.
  const visit = (part: unknown): void => {
    for (const [, ref] of JSON.stringify(part).matchAll(/"\$ref":"#\/components\/([^"]+)"/g)) {
      if (named.has(ref!)) continue;
      named.add(ref!);
      const [kind, name] = ref!.split('/');
      visit(components[kind!][name!]);
    }
  };
  visit(rest);
  // Schemes are named by their keys in `security`, never by a reference.
  const isKept = (kind: string, name: string) => kind === 'securitySchemes' || named.has(`${kind}/${name}`);
  const kept = mapValues(components as Record<string, Json>, (all, kind) =>
    Object.fromEntries(Object.entries(all).filter(([name]) => isKept(kind, name))),
  );
  return { ...rest, components: kept };
}
