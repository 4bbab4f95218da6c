// `GET /openapi.json` and `GET /asyncapi.json`: this very server, described for programs. They are open like the page,
// since whoever wants to come in must be able to read how. They describe the server that is asked: its URL, its tables,
// its tokens. A description of all that the program could be would be wrong on every single server.
import { readFileSync } from 'node:fs';
import type { Config } from '../config.ts';
import type { Call } from '../http/request.ts';
import { sendTagged } from '../http/response.ts';
import type { Resource } from '../resource.ts';
import { describeWatched } from '../store/watch.ts';
import { asyncApi } from './asyncapi.ts';
import { type Description, describeResource, type Json, mapValues, readData } from './description.ts';
import { openApi } from './openapi.ts';

/** Names under which a server is asked: whoever makes up more of them in `Host` fills no memory. */
const MAX_URLS = 8;

/** What is described: settings, and what came of them on this server. */
export type Described = Pick<Config, 'apiToken' | 'jwt'> & {
  /** Tables of WATCH. */
  watch: ReadonlySet<string>;
  resources: readonly Resource[];
  isLabOn: boolean;
};

/**
 * The two handlers. To make both documents takes a few milliseconds, which nobody may cost the event loop with each
 * request: they are kept for each name under which the server is asked.
 */
export function createDescriptionsApi(described: Described) {
  // As texts, both at once, since who asks for one asks for the other: the reference page shows both.
  const made = new Map<string, Json>();

  function documentsFor(call: Call) {
    const url = urlOf(call);
    const known = made.get(url);
    if (known) return known;
    const documents = mapValues(describe(described, url), (document) => JSON.stringify(document));
    // All are dropped, not the oldest: no server has so many names, so it is somebody who plays.
    if (made.size === MAX_URLS) made.clear();
    made.set(url, documents);
    return documents;
  }

  // A cache may keep it, but asks each time, since a restart with other settings changes it.
  const headers = { 'Cache-Control': 'no-cache' };
  return {
    openapi: (call: Call): void => sendTagged(call, documentsFor(call).openapi, headers),
    asyncapi: (call: Call): void => sendTagged(call, documentsFor(call).asyncapi, headers),
  };
}

/**
 * Both documents, as objects. The tests hold every answer that they see against them.
 * @param url where the server is, without a slash at the end
 */
export function describe(described: Described, url: string): { openapi: Json; asyncapi: Json } {
  const { watch, resources, isLabOn } = described;
  const security = (['apiToken', 'jwt'] as const).filter((scheme) => described[scheme] !== undefined);
  // How a token is given. `accessToken` is whichever there is, and counts on streams alone: each of these says so.
  const schemes = Object.entries(readData('parts').securitySchemes);
  const wanted = security.length > 0 ? [...security, 'accessToken'] : [];
  // The one place where the version stands.
  const file = new URL('../../package.json', import.meta.url);
  const { version, description } = JSON.parse(readFileSync(file, 'utf8'));
  const server: Description = {
    info: { title: 'Changebell', version, description },
    url,
    resources: resources.map(describeResource),
    // As the table stands in a path: the source of its events has that name too, cut and escaped.
    watched: describeWatched(watch).map(({ source }) => decodeURIComponent(source.slice('/watch/'.length))),
    isLabOn,
    security,
    securitySchemes: Object.fromEntries(schemes.filter(([name]) => wanted.includes(name))),
  };
  return { openapi: openApi(server), asyncapi: asyncApi(server) };
}

/**
 * As the caller names this server; a proxy that ends TLS says so in `X-Forwarded-Proto`. Anybody may send that header,
 * and no harm is done: the URL is told to its asker alone, and nothing is decided by it.
 */
function urlOf({ req: { headers, socket } }: Call): string {
  const scheme = headers['x-forwarded-proto'] === 'https' ? 'https' : 'http';
  const url = `${scheme}://${headers.host ?? ''}`; // HTTP/1.0 needs no Host
  return URL.canParse(url) ? new URL(url).origin : `http://localhost:${socket.localPort}`;
}
