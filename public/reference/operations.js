// Chapters made of the OpenAPI description: what each path takes and answers.
import { make } from '../dom.js';
import { chapter, entry, example, follow, kindOf, limitsOf, members, table, words } from './parts.js';
import { tryIt } from './try-it.js';

/** @typedef {import('./parts.js').Json} Json */

const METHODS = ['get', 'post', 'put', 'patch', 'delete']; // HEAD and OPTIONS answer everywhere, and are not listed

/** @param {Json} openapi @param {Json} tag */
export function chapterOfOperations(openapi, { name, description }) {
  const entries = Object.entries(openapi.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]?.tags.includes(name)).map((method) =>
      operationEntry(openapi, method, path, item),
    ),
  );
  return chapter(`http-${name.toLowerCase().replace(/\W+/g, '-')}`, name, description, entries);
}

/** @param {Json} openapi @param {string} method @param {string} path @param {Json} item */
function operationEntry(openapi, method, path, item) {
  const operation = item[method];
  const given = [...(item.parameters ?? []), ...(operation.parameters ?? [])];
  const parameters = given.map((one) => follow(openapi, one));
  const title = [make('b', { textContent: method.toUpperCase() }), ' ', make('code', { textContent: path })];
  return entry(
    operation.operationId,
    [...title, ` ${operation.summary}`],
    [
      ...(operation.description ? [words(operation.description)] : []),
      ...table('Parameters', parameters.map(parameterRow)),
      ...bodies(openapi, operation.requestBody),
      ...table(
        'Answers',
        Object.entries(operation.responses).map(([status, one]) => answerRow(openapi, status, one)),
      ),
      ...tryIt(openapi, { method, path, parameters, operation }),
    ],
  );
}

/** @param {Json} parameter @returns {[string, Node]} */
function parameterRow({ name, in: place, required, schema, description = '' }) {
  const kind = `${kindOf(schema)}${limitsOf(schema)}`;
  return [name, words(`${required ? 'Required, i' : 'I'}n the ${place}: ${kind}. ${description}`)];
}

/** @param {Json} openapi @param {Json | undefined} body */
function bodies(openapi, body) {
  if (!body) return [];
  const types = Object.entries(body.content).map(([type, { schema }]) => {
    return /** @type {[string, Node]} */ ([type, words(kindOf(schema))]);
  });
  const [first] = Object.values(body.content);
  const schema = follow(openapi, first?.schema);
  return [
    ...table('Body', types),
    ...(body.description ? [words(body.description)] : []),
    ...members('Its fields', schema),
  ];
}

/** @param {Json} openapi @param {string} status @param {any} given @returns {[string, Node]} */
function answerRow(openapi, status, given) {
  const { description, headers = {}, content = {} } = follow(openapi, given);
  const bodies = Object.entries(content).map(([type, { schema }]) => `${type}: ${kindOf(schema)}`);
  const named = Object.keys(headers).filter((name) => !/^(X-Content-Type-Options|Cache-Control)$/.test(name));
  const more = [...bodies, ...(named.length > 0 ? [`with ${named.join(', ')}`] : [])].join('; ');
  return [status, words(`${description} ${more}`)];
}

/** @param {Json} openapi */
export function chapterOfSchemas(openapi) {
  const entries = Object.entries(openapi.components.schemas).map(([name, schema]) =>
    entry(
      `schema-${name}`,
      [make('code', { textContent: name })],
      [
        words(`${kindOf(schema)}. ${schema.description ?? ''}`),
        ...members('Its fields', schema),
        ...example('For example', schema.examples?.[0]),
      ],
    ),
  );
  return chapter('schemas', 'Shapes', 'What bodies and answers are made of.', entries);
}
