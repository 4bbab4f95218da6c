// `GET /openapi.json` and `GET /asyncapi.json`: this very server, described for programs. They are open like the page,
// since whoever wants to come in must be able to read how.
import { readFileSync } from 'node:fs';
import type { Config } from '../config.ts';
import { etagOf, matchesWeakly } from '../etag.ts';
import { type Call, parsePreconditions } from '../http/request.ts';
import { sendEmpty, sendJson } from '../http/response.ts';
import { describeWatched } from '../store/watch.ts';
import { asyncApi } from './asyncapi.ts';
import { type Description, type Json, readParts } from './description.ts';
import { openApi } from './openapi.ts';

/** Names under which a server is asked: whoever makes up more of them in `Host` fills no memory. */
const MAX_URLS = 8;

/** What is described: settings, and what came of them on this server. */
export type Described = Pick<Config, 'apiToken' | 'jwt' | 'watch'> & {
  hasCustomers: boolean;
  isLabOn: boolean;
};

/** A document as it is sent. */
type Document = { json: string; etag: string };

/** To make the two takes a few milliseconds, which nobody may cost the event loop with each request. */
export function createDescriptionsApi(described: Described) {
  const made = new Map<string, Record<'openapi' | 'asyncapi', Document>>();

  function documentsAt(url: string) {
    const known = made.get(url);
    if (known) return known;
    const { openapi, asyncapi } = describe(described, url);
    const documents = { openapi: toDocument(openapi), asyncapi: toDocument(asyncapi) };
    if (made.size === MAX_URLS) made.clear();
    made.set(url, documents);
    return documents;
  }

  return {
    openapi: (call: Call): void => send(call, documentsAt(urlOf(call)).openapi),
    asyncapi: (call: Call): void => send(call, documentsAt(urlOf(call)).asyncapi),
  };
}

/** Both documents. @param url where the server is, without a slash at the end */
export function describe(described: Described, url: string): { openapi: Json; asyncapi: Json } {
  const watched = describeWatched(described.watch).map(({ source }) =>
    decodeURIComponent(source.slice('/watch/'.length)),
  );
  const parts = readParts(watched);
  const { hasCustomers, isLabOn } = described;
  const securitySchemes = schemesOf(described);
  const security = Object.keys(securitySchemes).filter((name) => name !== 'accessToken');
  const server: Description = {
    info: infoOf(),
    url,
    watched,
    hasCustomers,
    isLabOn,
    security,
    securitySchemes,
  };
  return { openapi: openApi(parts, server), asyncapi: asyncApi(parts, server) };
}

function infoOf(): Json {
  const file = new URL('../../package.json', import.meta.url);
  const { version, description } = JSON.parse(readFileSync(file, 'utf8'));
  return { title: 'Changebell', version, description };
}

function schemesOf({ apiToken, jwt }: Pick<Described, 'apiToken' | 'jwt'>): Record<string, Json> {
  const bearer = { type: 'http', scheme: 'bearer' };
  const claim =
    '{"subscribe": ["orders.*"], "sources": ["/watch/orders/7"], "publish": ["chat.*"], "write": true}';
  const description = `\`exp\` and \`aud\` are required; the claim \`changebell\` says what it may: \`${claim}\`.`;
  const all = {
    ...(apiToken === undefined
      ? {}
      : { apiToken: { ...bearer, description: 'API_TOKEN: it may do everything.' } }),
    ...(jwt === undefined ? {} : { jwt: { ...bearer, bearerFormat: 'JWT', description } }),
  };
  if (Object.keys(all).length === 0) return {};
  const words = 'Streams alone: the same token, since browsers can give a stream no header.';
  return { ...all, accessToken: { type: 'apiKey', in: 'query', name: 'access_token', description: words } };
}

/** As the caller names this server; a proxy that ends TLS says so in `X-Forwarded-Proto`. It is told to its asker alone. */
function urlOf({ req: { headers, socket } }: Call): string {
  const scheme = headers['x-forwarded-proto'] === 'https' ? 'https' : 'http';
  const url = `${scheme}://${headers.host}`;
  return URL.canParse(url) ? new URL(url).origin : `http://localhost:${socket.localPort}`;
}

function toDocument(document: Json): Document {
  const json = JSON.stringify(document);
  return { json, etag: etagOf(json) };
}

/** @throws {Problem} 400 an If-None-Match that is no list */
function send({ req, res }: Call, { json, etag }: Document): void {
  const { ifNoneMatch } = parsePreconditions(req);
  const headers = { ETag: etag, 'Cache-Control': 'no-cache' };
  if (ifNoneMatch && matchesWeakly(ifNoneMatch, etag)) return sendEmpty(res, 304, headers);
  sendJson(res, 200, json, headers);
}
