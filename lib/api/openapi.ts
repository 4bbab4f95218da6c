// The OpenAPI description (3.1) of this very server. What it says stands as plain data in `described/`; here that is
// unfolded: a text where OpenAPI wants an object is the name of a component, and what all operations share (their
// problems, their headers, `HEAD` and `OPTIONS`) is said once and added to each. So a path takes a few lines to describe,
// and none can forget the 401 or the 503 that any of them may answer.
import {
  type Description,
  finish,
  type Json,
  mapValues,
  readData,
  schemaOf,
  schemasOf,
} from './description.ts';

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
  responses: Json;
  /** Statuses beside those that every operation may answer. */
  problems?: number[];
  /** Takes no token, and is for everyone. */
  open?: boolean;
  /** Takes the token in its query too, since browsers can't give a stream a header. */
  stream?: boolean;
};

/** What an operation is unfolded with: headers by their names, and the names of the schemes that let somebody in. */
type Parts = { headers: Json; options: Json; security: string[] };

// Whatever is asked may be answered so: before any handler the request itself, its host and the server are judged.
const COMMON_PROBLEMS = [400, 408, 417, 421, 431, 500, 503];
const COMMON_HEADERS = ['X-Content-Type-Options', '?Cache-Control'];

/** The document, with what this server has and nothing that it has not. */
export function openApi(server: Description): Json {
  const { headers, options, parameters } = readData('parts');
  const { security } = server;
  const parts = { headers, options, security };
  return finish({
    openapi: '3.1.0',
    info: server.info,
    servers: [{ url: server.url, description: 'This server.' }],
    // Said once; an operation names its tag, and the reference page makes a chapter of each.
    tags: tagsOf(server),
    // A list of several is a choice: any one of them is enough. An empty one asks for nothing.
    security: security.map(named),
    paths: mapValues(pathsOf(server), (path) => unfoldPath(path, parts)),
    components: {
      schemas: schemasOf(server),
      // Its own name is that of its component, unless it says another.
      parameters: mapValues(parameters, (given, name) => withSchema({ name, ...given })),
      // Whether a header may be missing is said at each place that names it: see `headerOf`.
      headers: mapValues(headers, withSchema),
      responses: mapValues(readData('problems'), (reply) => unfoldProblem(reply, parts)),
      securitySchemes: server.securitySchemes,
    },
  });
}

/** What is switched off answers 404, and so it is not described: a generated client has no method for it. */
function pathsOf({ resources, watched, isLabOn }: Description): Json {
  const { '/api/clients': clients, ...others } = readData('server');
  return Object.assign(
    {},
    ...resources.map(({ paths }) => paths),
    readData('events'),
    watched.length > 0 && readData('watch'),
    isLabOn && { '/api/clients': clients },
    others,
  );
}

/** Headings of the reference page, in the order in which a reader needs them. */
function tagsOf({ resources, watched }: Description): Json[] {
  return [
    ...resources.map(({ tag }) => ({ name: tag, description: 'A table of this program.' })),
    { name: 'Events', description: 'The event log: to read on from a cursor, to follow, to publish to.' },
    ...(watched.length > 0 ? [{ name: 'Watched tables', description: 'Tables of other programs.' }] : []),
    { name: 'Server', description: 'How it is, and what it offers.' },
  ];
}

/**
 * `parameters` are what all of its operations have in their path. `HEAD` and `OPTIONS` answer on every path, the latter
 * to everyone: browsers send a preflight without the token.
 */
function unfoldPath({ parameters, ...operations }: Json, parts: Parts): Json {
  const { get } = operations;
  const options = { tags: get.tags, operationId: `${get.operationId}Options`, ...parts.options };
  const all = { ...operations, head: headOf(get), options };
  return {
    parameters: parameters?.map(parameterOf),
    ...mapValues(all, (operation) => unfold(operation as Operation, parts)),
  };
}

/** The same answers without their content. An upgrade needs GET, so 101 is not among them. */
function headOf(get: Operation): Operation {
  const { '101': upgrade, ...others } = get.responses;
  return {
    ...get,
    operationId: `${get.operationId}Head`,
    summary: `The headers of that: ${get.summary}`,
    responses: mapValues(others, ({ json, content, ...reply }) => reply),
  };
}

/** One operation with all that it may answer. What it says of itself stands last, and so it counts. */
function unfold(given: Operation, parts: Parts): Json {
  const { parameters = [], requestBody, responses, problems = [], open, stream, ...rest } = given;
  // Without a token in the settings nobody is ever asked for one.
  const isGuarded = !open && parts.security.length > 0;
  const statuses = [...COMMON_PROBLEMS, ...problems, ...(open ? [] : [403]), ...(isGuarded ? [401] : [])];
  const refusals = statuses.map((status) => [status, { $ref: `#/components/responses/${status}` }]);
  const ofStream = stream && isGuarded ? [...parts.security, 'accessToken'].map(named) : undefined;
  return {
    ...rest,
    parameters: parameters.map(parameterOf),
    requestBody: requestBody && { ...requestBody, content: mapValues(requestBody.content, withSchema) },
    responses: {
      ...Object.fromEntries(refusals),
      ...mapValues(responses, (reply) => unfoldReply(reply, parts)),
    },
    // An empty list lifts what the document says for all.
    security: open ? [] : ofStream,
  };
}

/** As OpenAPI asks for a scheme: the list is for scopes of OAuth, of which these have none. */
const named = (scheme: string): Json => ({ [scheme]: [] });

/**
 * An answer: `headers` are names of components, with a ? before one that may be missing. `json` is short for one content
 * of `application/json`: most answers have that and no other.
 */
function unfoldReply({ description, headers = [], json, content }: Json, parts: Parts): Json {
  const all = { ...(json && { 'application/json': { schema: json } }), ...content };
  const known = [...COMMON_HEADERS, ...headers].map((name) => headerOf(name, parts));
  const hasContent = Object.keys(all).length > 0;
  return {
    description,
    headers: Object.fromEntries(known),
    content: hasContent ? mapValues(all, withSchema) : undefined,
  };
}

/** A refusal: a problem document. Its headers hang on the reason, so each of them may be missing. */
function unfoldProblem({ headers = [], ...reply }: Json, parts: Parts): Json {
  const optional = headers.map((name: string) => `?${name}`);
  const content = { 'application/problem+json': { schema: 'Problem' } };
  return unfoldReply({ ...reply, headers: optional, content }, parts);
}

/** A header that may be missing is written out: a reference can't say so. */
function headerOf(name: string, { headers }: Parts): [string, Json] {
  const plain = name.replace(/^\?/, '');
  const { required, ...given } = headers[plain];
  const isWrittenOut = name !== plain && required;
  return [plain, isWrittenOut ? withSchema(given) : { $ref: `#/components/headers/${plain}` }];
}

/** A text is the name of a component. */
function parameterOf(given: unknown): Json {
  return typeof given === 'string' ? { $ref: `#/components/parameters/${given}` } : withSchema(given as Json);
}

/** Parameters, headers and contents have their schema in the same place. */
function withSchema(given: Json): Json {
  return 'schema' in given ? { ...given, schema: schemaOf(given.schema) } : given;
}
