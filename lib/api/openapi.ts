// The OpenAPI description (3.1) of this very server. What it says stands as plain data in `described/`; here that is
// unfolded: a text where OpenAPI wants an object is the name of a component, and what all operations share (their
// problems, their headers, `HEAD` and `OPTIONS`) is said once and added to each.
import { type Description, type Json, mapValues, type Parts, prune, schemaOf } from './description.ts';

/** What stands in `described/` for one operation. */
type Operation = {
  operationId: string;
  summary: string;
  parameters?: unknown[];
  requestBody?: { content: Record<string, Json> };
  responses: Record<string, Reply>;
  /** Statuses beside those that every operation may answer. */
  problems?: number[];
  /** Takes no token, and is for everyone. */
  open?: boolean;
  /** Takes the token in its query too, since browsers can't give a stream a header. */
  stream?: boolean;
};

/** `headers` are names of components, with a ? before one that may be missing; `json` is a schema. */
type Reply = { description: string; headers?: string[]; json?: unknown; content?: Record<string, Json> };

type Path = Record<string, Operation | unknown[]>;

const COMMON_PROBLEMS = [400, 408, 417, 421, 431, 500, 503];
const COMMON_HEADERS = ['X-Content-Type-Options', '?Cache-Control'];

export function openApi(parts: Parts, server: Description): Json {
  const { customers, events, watch, server: own } = parts.paths;
  const { '/api/clients': clients, ...others } = own!;
  const all = {
    ...(server.hasCustomers ? customers : {}),
    ...events,
    ...(server.watched.length > 0 ? watch : {}),
    ...(server.isLabOn ? { '/api/clients': clients } : {}),
    ...others,
  };
  const paths = mapValues(all, (path) => unfoldPath(path as Path, parts, server));
  return prune({
    openapi: '3.1.0',
    info: server.info,
    servers: [{ url: server.url, description: 'This server.' }],
    tags: tagsOf(server),
    security: server.security.map((name) => ({ [name]: [] })),
    paths,
    components: {
      schemas: parts.schemas,
      parameters: mapValues(parts.parameters, (given, name) => unfoldParameter(given, name)),
      headers: mapValues(parts.headers, withSchema),
      responses: mapValues(parts.problems, (reply) => unfoldProblem(reply as Reply, parts)),
      securitySchemes: server.securitySchemes,
    },
  });
}

function tagsOf({ hasCustomers, watched }: Description): Json[] {
  return [
    ...(hasCustomers ? [{ name: 'Customers', description: 'The table of this program.' }] : []),
    { name: 'Events', description: 'The event log: to read on from a cursor, to follow, to publish to.' },
    ...(watched.length > 0 ? [{ name: 'Watched tables', description: 'Tables of other programs.' }] : []),
    { name: 'Server', description: 'How it is, and what it offers.' },
  ];
}

/** `HEAD` and `OPTIONS` answer on every path. */
function unfoldPath({ parameters = [], ...operations }: Path, parts: Parts, server: Description): Json {
  const shared = (parameters as unknown[]).map(parameterOf);
  const unfolded = mapValues(operations, (operation) => unfold(operation as Operation, parts, server));
  const { get } = operations as { get: Operation };
  return {
    ...(shared.length > 0 ? { parameters: shared } : {}),
    ...unfolded,
    head: unfold(headOf(get), parts, server),
    options: unfold(optionsOf(get), parts, server),
  };
}

function headOf(get: Operation): Operation {
  const responses = mapValues(get.responses, ({ json, content, ...reply }) => reply) as Record<string, Reply>;
  const summary = `The headers of that: ${get.summary}`;
  const { '101': upgrade, ...others } = responses;
  return { ...get, operationId: `${get.operationId}Head`, summary, responses: others };
}

function optionsOf({ operationId, ...get }: Operation): Operation {
  return {
    ...get,
    operationId: `${operationId}Options`,
    summary: 'What this path takes; and what a page of an allowed origin may send (CORS)',
    parameters: [],
    responses: { 204: { description: 'The methods.', headers: ['Allow', 'Accept-Patch'] } },
    problems: [403], // a page of a foreign origin
    open: true,
  };
}

function unfold(given: Operation, parts: Parts, server: Description): Json {
  const { parameters = [], requestBody, responses, problems = [], open, stream, ...rest } = given;
  const isGuarded = !open && server.security.length > 0;
  const statuses = [...COMMON_PROBLEMS, ...problems, ...(open ? [] : [403]), ...(isGuarded ? [401] : [])];
  const refusals = statuses.map((status) => [status, { $ref: `#/components/responses/${status}` }]);
  return {
    ...rest,
    parameters: parameters.map(parameterOf),
    ...(requestBody
      ? { requestBody: { ...requestBody, content: mapValues(requestBody.content, withSchema) } }
      : {}),
    responses: {
      ...Object.fromEntries(refusals),
      ...mapValues(responses, (reply) => unfoldReply(reply, parts)),
    },
    ...(open ? { security: [] } : {}),
    ...(stream && isGuarded ? { security: [...server.security, 'accessToken'].map(named) } : {}),
  };
}

const named = (scheme: string): Json => ({ [scheme]: [] });

function unfoldReply({ description, headers = [], json, content = {} }: Reply, parts: Parts): Json {
  const all = json === undefined ? content : { 'application/json': { schema: json }, ...content };
  const known = [...COMMON_HEADERS, ...headers];
  const reply = { description, headers: Object.fromEntries(known.map((name) => headerOf(name, parts))) };
  return Object.keys(all).length === 0 ? reply : { ...reply, content: mapValues(all, withSchema) };
}

function unfoldProblem(reply: Reply, parts: Parts): Json {
  const optional = (reply.headers ?? []).map((name) => `?${name}`);
  const content = { 'application/problem+json': { schema: 'Problem' } };
  return unfoldReply({ ...reply, headers: optional, content }, parts);
}

/** A header that may be missing is written out: a reference can't say so. */
function headerOf(name: string, { headers }: Parts): [string, Json] {
  if (!name.startsWith('?')) return [name, { $ref: `#/components/headers/${name}` }];
  const plain = name.slice(1);
  const { required, ...given } = headers[plain] as { required?: boolean };
  return [plain, required ? withSchema(given) : { $ref: `#/components/headers/${plain}` }];
}

function parameterOf(given: unknown): Json {
  return typeof given === 'string' ? { $ref: `#/components/parameters/${given}` } : withSchema(given as Json);
}

/** Its own name is that of its component, unless it says another. */
function unfoldParameter(given: Json, name: string): Json {
  return withSchema({ name, ...given });
}

function withSchema(given: Json): Json {
  return 'schema' in given ? { ...given, schema: schemaOf(given.schema) } : given;
}
