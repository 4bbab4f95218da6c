// What a resource is: a table whose rows can be read and written at `/api/<table>`. Here is how a body becomes fields,
// in one way for all of them. Parse, don't check: a parser returns what is stored, or throws a Problem that lists
// every bad field.
import { type FieldError, invalidFields, pointerTo } from './problem.ts';

/** What a column can hold. */
export type Value = string | number | null;
export type Fields = Record<string, Value>;

/** What is stored, or what is wrong with it, in words that follow the field's name. */
export type Parsed = { value: Value } | { problem: string };

export type Field = {
  parse: (value: unknown) => Parsed;
  /** What stands for it where a whole row doesn't name it; without this it is required. */
  absent?: Value;
};

export type Resource = {
  /** The table, and the last part of the path. */
  table: string;
  /** For people: what one of them is called. */
  one: string;
  /** What the `type` and the `source` of its rows' events begin with. */
  type: string;
  source: string;
  /** By their columns. Everything else in a body is an error. */
  fields: Record<string, Field>;
  /** Ignored in a body, not refused: who sends back what it has read, changed in one field, makes no mistake. */
  readOnly: readonly string[];
};

/** A whole row, for POST and PUT. @throws {Problem} 422 with every bad field */
export function parseWhole(resource: Resource, body: unknown): Fields {
  const absent: Fields = {};
  const required: string[] = [];
  for (const [name, field] of Object.entries(resource.fields)) {
    if (field.absent === undefined) required.push(name);
    else absent[name] = field.absent;
  }
  return { ...absent, ...parse(resource, body, required) };
}

/** Only the fields that are named, for PATCH (RFC 7396). @throws {Problem} 422 with every bad field */
export function parsePatch(resource: Resource, body: unknown): Fields {
  return parse(resource, body, []);
}

/** Goes on after the first bad field, so that a form can show all of them at once. */
function parse({ one, fields, readOnly }: Resource, body: unknown, required: string[]): Fields {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalidFields([{ pointer: '#', detail: 'must be a JSON object' }]);
  }
  const missing = required.filter((name) => !Object.hasOwn(body, name));
  const errors: FieldError[] = missing.map((name) => ({ pointer: `#/${name}`, detail: 'is required' }));
  const values: Fields = {};
  for (const [name, value] of Object.entries(body)) {
    if (readOnly.includes(name)) continue;
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    const parsed = field?.parse(value) ?? { problem: `is not a field of ${one}` };
    if ('value' in parsed) values[name] = parsed.value;
    else errors.push({ pointer: pointerTo(name), detail: parsed.problem });
  }
  if (errors.length > 0) throw invalidFields(errors);
  return values;
}
