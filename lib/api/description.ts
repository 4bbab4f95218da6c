// What the two descriptions share: the data in `described/`, what is true of this very server, and the rule that a text
// such as `#schemas/Event` is a reference to that. The data is what people edit: it must be short to be kept right.
import { readFileSync } from 'node:fs';
import { CUSTOMERS } from '../customer.ts';
import type { Resource } from '../resource.ts';

// biome-ignore lint/suspicious/noExplicitAny: it is data on its way from a file to a reader; the linters judge it.
export type Json = Record<string, any>;

/** What differs from server to server. */
export type Description = {
  /** Title, version and description: the same in both documents. */
  info: Json;
  /** Without a slash at the end. */
  url: string;
  /** Of each resource: with CUSTOMERS=0 the customers are not among them. */
  resources: DescribedResource[];
  /** Names of tables, as they stand in a path. */
  watched: string[];
  /** Whether the failure lab is on: only then its orders and `/api/clients` are there. */
  isLabOn: boolean;
  /** Names of schemes: whoever has one of them comes in. Empty: nobody is asked. */
  security: string[];
  /** By their names: how each of them is given. */
  securitySchemes: Json;
};

/** `tag` is the heading under which its paths stand. */
export type DescribedResource = { tag: string; paths: Json; schemas: Json };

/**
 * Data of `described/`, read anew at each call: whoever gets it may change it. Without a check of its form: the linters
 * of OpenAPI and AsyncAPI judge what is made of it, in the tests.
 * @param edit what is done to the text before it is parsed
 */
export function readData(name: string, edit = (text: string) => text): Json {
  const text = edit(readFileSync(new URL(`./described/${name}.json`, import.meta.url), 'utf8'));
  const isRef = (value: unknown) => typeof value === 'string' && /^#\w+\//.test(value);
  return JSON.parse(text, (_key, value) => (isRef(value) ? ref(value.slice(1)) : value));
}

/** A component, such as `schemas/Event`, as both kinds of documents name it. */
export function ref(component: string): Json {
  return { $ref: `#/components/${component}` };
}

/**
 * Every resource is described in the words of the customers, with its own names in them. Of the fields of another one it
 * is told which there are, and which are required: what each may hold, its check alone knows.
 */
export function describeResource(resource: Resource): DescribedResource {
  const { table, type, one, fields, readOnly } = resource;
  const noun = one.replace(/^an? /, '');
  const words: Record<string, string> = {
    'customer.created': `${type}.created`,
    'a customer': one,
    customers: table,
    Customers: capital(table),
    customer: noun,
    Customer: capital(noun),
  };
  const inItsWords = (text: string) =>
    text.replace(/customer\.created|a customer|[Cc]ustomers?/g, (word) => words[word]!);
  const { paths, schemas } = readData('customers', inItsWords);
  if (resource !== CUSTOMERS) {
    paths[`/api/${table}`].get.parameters = [ref('parameters/rowsLimit'), ref('parameters/after')]; // its pages begin behind a key, not a number
    const names = [...readOnly, ...Object.keys(fields)];
    const row = { type: 'object', properties: Object.fromEntries(names.map((name) => [name, {}])) };
    const required = Object.keys(fields).filter((name) => fields[name]!.absent === undefined);
    const name = capital(noun);
    Object.assign(schemas, { [name]: row, [`New${name}`]: { ...row, required }, [`${name}Patch`]: row });
  }
  return { tag: capital(table), paths, schemas };
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** The schemas of both documents; those that nothing names are left out by `finish`. */
export function schemasOf({ resources, watched }: Description): Json {
  const schemas = Object.assign({}, ...resources.map((resource) => resource.schemas), readData('schemas'));
  // Listed, so that a generated client knows which tables may stand in a path.
  if (watched.length > 0) schemas.WatchedTable = { type: 'string', enum: watched };
  return schemas;
}

/** The same keys, each with what `map` makes of its value. */
export function mapValues(object: Json, map: (value: Json, name: string) => unknown): Json {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value, name)]));
}

/**
 * The document without what is undefined, and without the components that nothing in it names, nor names by way of
 * others. So a server without customers has no schema of one, though nobody has written down which schemas belong to
 * them.
 */
export function finish(document: Json): Json {
  const { components, ...rest } = JSON.parse(JSON.stringify(document));
  // Schemes are named by their keys in `security`, never by a reference.
  const kept: Json = { securitySchemes: components.securitySchemes };
  // References are found in the text: that takes one expression, and a walk over all kinds of parts takes many lines.
  const keep = (part: unknown): void => {
    const refs = JSON.stringify(part).matchAll(/"\$ref":"#\/components\/(\w+)\/([^"]+)"/g);
    for (const [, kind = '', name = ''] of refs) {
      kept[kind] ??= {};
      if (kept[kind][name]) continue;
      kept[kind][name] = components[kind][name];
      keep(kept[kind][name]);
    }
  };
  keep(rest);
  return { ...rest, components: kept };
}
