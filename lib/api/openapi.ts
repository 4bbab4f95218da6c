// The OpenAPI description (3.1) of this very server. What it says stands as plain data in `described/`; here that is
// unfolded: a text where OpenAPI wants an object is the name of a component, and what all operations share (their
// problems, their headers, `HEAD` and `OPTIONS`) is said once and added to each. So a path takes a few lines to describe,
// and none can forget the 401 or the 503 that any of them may answer.
import { type Description, type Json, mapValues, type Parts, prune, schemaOf } from './description.ts';

/** What stands in `described/` for one operation. */
type Operation = {
  operationId: string;
  /** A few words, for lists. */
  summary: string;
  /** Names of components, or a parameter written out where only this operation has it. */
  parameters?: unknown[];
  /** By media type; what stands as `schema` may be a name. */
  requestBody?: { content: Record<string, Json> };
  /** Answers that say something of its own; those that refuse are in `problems`. */
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

/** Operations by their method, and under `parameters` what all of them have in their path. */
type Path = Record<string, Operation | unknown[]>;

// Whatever is asked may be answered so: before any handler the request itself, its host and the server are judged.
const COMMON_PROBLEMS = [400, 408, 417, 421, 431, 500, 503];
const COMMON_HEADERS = ['X-Content-Type-Options', '?Cache-Control'];

/**
 * The document, with what this server has and nothing that it has not.
 * @param parts the data of `described/`, which this leaves as it is
 * @param server what is true of this server alone
 */
export function openApi(parts: Parts, server: Description): Json {
  const { customers, events, watch, server: own } = parts.paths;
  const { '/api/clients': clients, ...others } = own!;
  // What is switched off answers 404, and so it is not described: a generated client has no method for it.
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
    // Said once; an operation names its tag, and the reference page makes a chapter of each.
    tags: tagsOf(server),
    // A list of several is a choice: any one of them is enough. An empty one asks for nothing.
    security: server.security.map((name) => ({ [name]: [] })),
    paths,
    components: {
      schemas: parts.schemas,
      parameters: mapValues(parts.parameters, (given, name) => unfoldParameter(given, name)),
      // Whether a header may be missing is said at each place that names it: see `headerOf`.
      headers: mapValues(parts.headers, withSchema),
      responses: mapValues(parts.problems, (reply) => unfoldProblem(reply as Reply, parts)),
      securitySchemes: server.securitySchemes,
    },
  });
}

/** Headings of the reference page, in the order in which a reader needs them. */
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

/** The same answers without their content. An upgrade needs GET, so 101 is not among them. */
function headOf(get: Operation): Operation {
  const responses = mapValues(get.responses, ({ json, content, ...reply }) => reply) as Record<string, Reply>;
  const summary = `The headers of that: ${get.summary}`;
  const { '101': upgrade, ...others } = responses;
  return { ...get, operationId: `${get.operationId}Head`, summary, responses: others };
}

/** Every path says what it takes, to everyone: browsers send a preflight without the token. */
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

/** One operation with all that it may answer. What it says of itself stands last, and so it counts. */
function unfold(given: Operation, parts: Parts, server: Description): Json {
  const { parameters = [], requestBody, responses, problems = [], open, stream, ...rest } = given;
  // Without a token in the settings nobody is ever asked for one.
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
    // An empty list lifts what the document says for all.
    ...(open ? { security: [] } : {}),
    ...(stream && isGuarded ? { security: [...server.security, 'accessToken'].map(named) } : {}),
  };
}

/** As OpenAPI asks for a scheme: the list is for scopes of OAuth, of which these have none. */
const named = (scheme: string): Json => ({ [scheme]: [] });

/** `json` is short for one content of `application/json`: most answers have that and no other. */
function unfoldReply({ description, headers = [], json, content = {} }: Reply, parts: Parts): Json {
  const all = json === undefined ? content : { 'application/json': { schema: json }, ...content };
  const known = [...COMMON_HEADERS, ...headers];
  const reply = { description, headers: Object.fromEntries(known.map((name) => headerOf(name, parts))) };
  return Object.keys(all).length === 0 ? reply : { ...reply, content: mapValues(all, withSchema) };
}

/** A refusal: a problem document. Its headers hang on the reason, so each of them may be missing. */
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

/** A text is the name of a component. */
function parameterOf(given: unknown): Json {
  return typeof given === 'string' ? { $ref: `#/components/parameters/${given}` } : withSchema(given as Json);
}

/** Its own name is that of its component, unless it says another. */
function unfoldParameter(given: Json, name: string): Json {
  return withSchema({ name, ...given });
}

/** Parameters, headers and contents have their schema in the same place. */
function withSchema(given: Json): Json {
  return 'schema' in given ? { ...given, schema: schemaOf(given.schema) } : given;
}
