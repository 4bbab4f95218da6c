// What a resource is: a table whose rows can be read and written at `/api/<table>`. Here is how a body becomes fields,
// in one way for all of them. Parse, don't check: a parser returns what is stored, or throws a Problem that lists
// every bad field.
import { addFault, type FieldError, invalidFields } from './problem.ts';

/** What a column can hold. */
export type Value = string | number | null;
export type Fields = Record<string, Value>;

export type Field = {
  /** What is wrong with a value, in words that follow the field's name; undefined if it may be stored. Texts are trimmed. */
  check: (value: unknown) => string | undefined;
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
  return parse(resource, body, true);
}

/** Only the fields that are named, for PATCH (RFC 7396). @throws {Problem} 422 with every bad field */
export function parsePatch(resource: Resource, body: unknown): Fields {
  return parse(resource, body, false);
}

/** Goes on after the first bad field, so that a form can show all of them at once. */
function parse({ one, fields, readOnly }: Resource, body: unknown, isWhole: boolean): Fields {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalidFields([{ pointer: '#', detail: 'must be a JSON object' }]);
  }
  const errors: FieldError[] = [];
  const values: Fields = {};
  for (const [name, { absent }] of isWhole ? Object.entries(fields) : []) {
    if (absent !== undefined) values[name] = absent;
    else if (!Object.hasOwn(body, name)) addFault(errors, '#', name, 'is required');
  }
  for (const [name, given] of Object.entries(body)) {
    if (readOnly.includes(name)) continue;
    // Blanks around a text come from forms, and mean nothing.
    const value = typeof given === 'string' ? given.trim() : given;
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    const problem = field ? field.check(value) : `is not a field of ${one}`;
    if (problem === undefined) values[name] = value;
    addFault(errors, '#', name, problem);
  }
  if (errors.length > 0) throw invalidFields(errors);
  return values;
}
