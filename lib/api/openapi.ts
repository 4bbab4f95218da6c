// The OpenAPI description (3.1) of this very server. What it says stands as plain data in `described/`; here is added
// what all operations share (their problems, their headers, `HEAD` and `OPTIONS`), said once. So a path takes a few lines
// to describe, and none can forget the 401 or the 503 that any of them may answer.
import { type Description, finish, type Json, mapValues, readData, ref, schemasOf } from './description.ts';

/** What stands in `described/` for one operation; all else in it goes into the document as it is. */
type Operation = {
  /** Answers that say something of its own; those that refuse are in `problems`. */
  responses: Json;
  /** Statuses beside those that every operation may answer. */
  problems?: number[];
  /** Takes no token, and is for everyone. */
  open?: boolean;
  /** Takes the token in its query too, since browsers can't give a stream a header. */
  stream?: boolean;
};

// Whatever is asked may be answered so: before any handler the request itself, its host and the server are judged.
const COMMON_PROBLEMS = [400, 408, 417, 421, 431, 500, 503];
const COMMON_HEADERS = ['X-Content-Type-Options', 'Cache-Control'];

/** The document, with what this server has and nothing that it has not. */
export function openApi(server: Description): Json {
  const { headers, options, parameters } = readData('parts');
  const { info, url, security, securitySchemes } = server;
  const unfoldProblem = (problem: Json) =>
    unfoldReply({ ...problem, content: { 'application/problem+json': { schema: ref('schemas/Problem') } } });
  return finish({
    openapi: '3.1.0',
    info,
    servers: [{ url, description: 'This server.' }],
    // Said once; an operation names its tag, and the reference page makes a chapter of each.
    tags: tagsOf(server),
    // A list of several is a choice: any one of them is enough. An empty one asks for nothing.
    security: security.map(named),
    paths: mapValues(pathsOf(server), (path) => unfoldPath(path, options, security)),
    components: {
      schemas: schemasOf(server),
      parameters,
      headers,
      responses: mapValues(readData('problems'), unfoldProblem),
      securitySchemes,
    },
  });
}

/** What is switched off answers 404, and so it is not described: a generated client has no method for it. */
function pathsOf({ resources, watched, isLabOn }: Description): Json {
  return Object.assign(
    {},
    ...resources.map(({ paths }) => paths),
    readData('events'),
    watched.length > 0 && readData('watch'),
    isLabOn && readData('lab').paths,
    readData('server'),
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
function unfoldPath({ parameters, ...operations }: Json, common: Json, security: string[]): Json {
  const { get } = operations;
  const options = { tags: get.tags, operationId: `${get.operationId}Options`, ...common };
  const all = { ...operations, head: headOf(get), options };
  return { parameters, ...mapValues(all, (operation) => unfold(operation as Operation, security)) };
}

/** The same answers without their content. An upgrade needs GET, so 101 is not among them. */
function headOf({ operationId, summary, responses, ...get }: Json): Json {
  const { '101': upgrade, ...others } = responses;
  return {
    ...get,
    operationId: `${operationId}Head`,
    summary: `The headers of that: ${summary}`,
    responses: mapValues(others, ({ json, content, ...reply }) => reply),
  };
}

/** One operation with all that it may answer. What it says of itself stands last, and so it counts. */
function unfold({ responses, problems = [], open, stream, ...rest }: Operation, security: string[]): Json {
  // Without a token in the settings nobody is ever asked for one.
  const isGuarded = !open && security.length > 0;
  const statuses = [...COMMON_PROBLEMS, ...problems, ...(open ? [] : [403]), ...(isGuarded ? [401] : [])];
  const refusals = statuses.map((status) => [status, ref(`responses/${status}`)]);
  const ofStream = stream && isGuarded ? [...security, 'accessToken'].map(named) : undefined;
  return {
    ...rest,
    responses: { ...Object.fromEntries(refusals), ...mapValues(responses, unfoldReply) },
    // An empty list lifts what the document says for all.
    security: open ? [] : ofStream,
  };
}

/** As OpenAPI asks for a scheme: the list is for scopes of OAuth, of which these have none. */
const named = (scheme: string): Json => ({ [scheme]: [] });

/**
 * An answer: `headers` are names of components, and one that may be missing is a component of its own, since a reference
 * can't say so. `json` is short for one content of `application/json`: most answers have that and no other.
 */
function unfoldReply({ headers = [], json, content, ...reply }: Json): Json {
  const all = [...COMMON_HEADERS, ...headers].map((name) => [
    name.replace('.optional', ''),
    ref(`headers/${name}`),
  ]);
  return {
    ...reply,
    headers: Object.fromEntries(all),
    content: json ? { 'application/json': { schema: json }, ...content } : content,
  };
}
