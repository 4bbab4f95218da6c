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

/** What is described: settings, and what came of them on this server. */
export type Described = Pick<Config, 'apiToken' | 'jwt' | 'watch'> & {
  hasCustomers: boolean;
  isLabOn: boolean;
};

export function createDescriptionsApi(described: Described) {
  return {
    openapi: (call: Call): void => send(call, describe(described, urlOf(call)).openapi),
    asyncapi: (call: Call): void => send(call, describe(described, urlOf(call)).asyncapi),
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

function send({ req, res }: Call, document: Json): void {
  const { ifNoneMatch } = parsePreconditions(req);
  const json = JSON.stringify(document);
  const headers = { ETag: etagOf(json), 'Cache-Control': 'no-cache' };
  if (ifNoneMatch && matchesWeakly(ifNoneMatch, headers.ETag)) return sendEmpty(res, 304, headers);
  sendJson(res, 200, json, headers);
}
