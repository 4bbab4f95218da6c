// Every answer and frame that a test sees is held against the descriptions that the program gives of itself, so that
// they can't drift. Loaded with the first answer, compiled as it is needed: a file of tests pays some 0.1 s in all.
import { createRequire } from 'node:module';
import type { Ajv2020, ValidateFunction } from 'ajv/dist/2020.js';
import type { Json } from '../../lib/api/description.ts';
import { describe } from '../../lib/api/descriptions-api.ts';
import { RESOURCES } from '../../lib/resources.ts';
import { isTest } from './cleanup.ts';
import type { Answer } from './requests.ts';

// biome-ignore lint/suspicious/noExplicitAny: the widest server there is: whatever may be on is on.
const EVERYTHING: any = { apiToken: 'a', jwt: {}, resources: RESOURCES, isLabOn: true, watch: [] };
// Of the headers these are checked in both ways: none is missing, and none comes that isn't described.
const HEADERS =
  /^(etag|location|last-event-id|idempotency-replayed|retry-after|allow|accept-patch|heartbeat-seconds)$/;

/** The documents, and what was made of them to find a path or a schema quickly. */
type Described = { paths: [RegExp, Json][]; openapi: Json; asyncapi: Json; ajv: Ajv2020 };
let described: Described | undefined;
// By the place of the schema: a file of tests asks for a few of them hundreds of times.
const compiled = new Map<string, ValidateFunction>();

/** In words: how this answer is another than the description says; undefined if it isn't, or is none of ours. */
export function answerFault(method: string, url: string, answer: Answer): string | undefined {
  const { pathname } = new URL(url);
  // What another program answers, such as a proxy before ours or a rung of the ladder, lacks what all our answers have.
  const isOurs = isTest && answer.headers.has('x-content-type-options');
  if (!isOurs || !/^\/(api(\/|$)|healthz$|readyz$|openapi\.json$|asyncapi\.json$)/.test(pathname))
    return undefined;
  const fault = faultOf(method, pathname, answer);
  return fault && `${method} ${pathname} answered ${answer.status}, and ${fault}`;
}

/** By method, path and status: first that there is such an answer, then its headers, then its body. */
function faultOf(
  method: string,
  pathname: string,
  { status, headers, body, text }: Answer,
): string | undefined {
  const { paths, openapi } = load();
  const [, path] = paths.find(([pattern]) => pattern.test(pathname)) ?? [];
  // HEAD and OPTIONS are described like any other method.
  const operation = path?.[method.toLowerCase()];
  const given = operation?.responses[status];
  const isOff = status === 404; // on this server, by its settings
  if (!operation || (!given && isOff)) return isProblem(status, headers, body);
  // A status that nobody described: a client would not know what to do with it.
  if (!given) return 'its description has no such status';
  // A schema is found by its place in the document, so that references in it lead where they should.
  const place =
    given.$ref ?? pointer('paths', pathOf(openapi, path), method.toLowerCase(), 'responses', `${status}`);
  const reply = resolve(openapi, place);
  return headersFault(reply, headers) ?? (text === '' ? undefined : bodyFault(place, reply, headers, body));
}

/** On a path, or by a method, that isn't described, nothing but a problem may come. */
function isProblem(status: number, headers: Headers, body: unknown): string | undefined {
  // A 2xx that nobody described is how a route without a description is found.
  if (status < 400) return 'this path and method are not described';
  // The answer to HEAD has no body, and Node itself refuses a request line that it cannot read.
  if (!headers.get('content-type')?.startsWith('application/problem+json') || body === '') return undefined;
  return check('openapi#/components/schemas/Problem', body);
}

/** In words: a header that is missing, or one that comes and is not described. */
function headersFault(reply: Json, headers: Headers): string | undefined {
  const { openapi } = load();
  const known = Object.entries(reply.headers ?? {}) as [string, Json][];
  for (const [name, given] of known) {
    const header = given.$ref ? resolve(openapi, given.$ref) : given;
    if (header.required && !headers.has(name)) return `has no ${name}, which is described`;
  }
  // Names of headers are compared in lower case.
  const names = new Set(known.map(([name]) => name.toLowerCase()));
  const unknown = [...headers.keys()].find((name) => HEADERS.test(name) && !names.has(name));
  return unknown && `has ${unknown}, which is not described`;
}

/** In words: a type that is not described, or a body that is not as its schema says. */
function bodyFault(place: string, reply: Json, headers: Headers, body: unknown): string | undefined {
  // Without its parameters: the description names none.
  const type = (headers.get('content-type') ?? '').split(';')[0]!;
  const given = reply.content?.[type];
  if (!given) return `is of the type ${type}, which is not described`;
  return check(`openapi${place}${pointer('content', type, 'schema').slice(1)}`, body);
}

/** In words: how this frame is another than the description says. */
export function frameFault(frame: { type?: unknown }): string | undefined {
  if (!isTest) return undefined; // benchmarks measure the program alone
  const { asyncapi } = load();
  // Whatever is none of the server's own frames is an event: types are the publishers' own.
  const messages = Object.entries(asyncapi.components.messages as Record<string, Json>);
  const [name] = messages.find(([, message]) => message.name === frame.type) ?? ['Event'];
  // A long frame is cut: its first characters say which one it is.
  const fault = check(`asyncapi#/components/schemas/${name}`, frame);
  return fault && `the frame ${JSON.stringify(frame).slice(0, 300)} ${fault}`;
}

/** In words: the first thing in which a value is another than its schema says; undefined if there is none. */
function check(schema: string, value: unknown): string | undefined {
  let validate = compiled.get(schema);
  if (!validate) {
    validate = load().ajv.compile({ $ref: schema });
    compiled.set(schema, validate);
  }
  if (validate(value)) return undefined;
  const [error] = validate.errors ?? [];
  // Which field it was that is not described: the message alone does not say so.
  const more = error?.params.additionalProperty ?? '';
  return `is not as described: ${error?.instancePath || 'its body'} ${error?.message} ${more}`.trim();
}

/** Both descriptions of a server that has everything: what is off on some server is described all the same. */
function load(): Described {
  if (described) return described;
  const { openapi, asyncapi } = describe({ ...EVERYTHING, watch: new Set(['orders']) }, 'http://localhost');
  delete openapi.components.schemas.WatchedTable.enum; // a test may watch any table
  // By `require`, with the first answer: a test that sees none does not pay for it.
  const { Ajv2020: Ajv } = createRequire(import.meta.url)('ajv/dist/2020.js');
  const ajv: Ajv2020 = new Ajv({
    strict: false,
    validateFormats: false,
    unicodeRegExp: false,
    // That the schemas are schemas is what the linters look at; to compile the schema of schemas takes longer than all of ours.
    meta: false,
    validateSchema: false,
  });
  // The whole document as one schema: what it says beside its schemas is ignored.
  for (const [id, document] of Object.entries({ openapi, asyncapi }))
    ajv.addSchema({ ...tighten(document), $id: id }, id, false, false);
  // A path with its parameters, as an expression.
  const patterns = Object.entries(openapi.paths as Record<string, Json>).map(
    ([path, item]) =>
      // A key may be an empty text.
      [
        new RegExp(
          `^${path
            .replaceAll('.', '\\.')
            .replace('{key}', '[^/]*')
            .replace(/\{\w+\}/g, '[^/]+')}$`,
        ),
        item,
      ] as [RegExp, Json],
  );
  described = { openapi, asyncapi, ajv, paths: patterns };
  return described;
}

/** A client must bear a new field; here one that is not described is a fault. */
function tighten(part: unknown): Json {
  if (typeof part !== 'object' || part === null) return part as unknown as Json;
  if (Array.isArray(part)) return part.map(tighten) as unknown as Json;
  const all: Json = Object.fromEntries(Object.entries(part).map(([name, value]) => [name, tighten(value)]));
  // An object without `properties` is one of any shape, and stays open.
  const isClosed = all.type === 'object' && all.properties && all.additionalProperties === undefined;
  return isClosed ? { ...all, additionalProperties: false } : all;
}

/** The path as the document has it, of an item that was found by its pattern. */
const pathOf = (openapi: Json, item: unknown) =>
  Object.keys(openapi.paths).find((path) => openapi.paths[path] === item)!;

/** A JSON Pointer in a URI fragment (RFC 6901 §6). */
const pointer = (...names: string[]) =>
  `#/${names.map((name) => encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')}`;

/** What stands at a reference. */
const resolve = (document: Json, ref: string): Json =>
  ref
    .slice(2)
    .split('/')
    .map((name) => decodeURIComponent(name).replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((part, name) => part[name], document);
