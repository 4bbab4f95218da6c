// Who may come in. Three questions, each with the attack that it stops: is the Host ours (DNS rebinding), is the
// page ours that asks (a foreign one uses its reader's network), is the token right. Requests and upgrades are
// asked in one order, in one place: `admit`.
import type { IncomingMessage } from 'node:http';
import type { Config } from '../config.ts';
import { Problem } from '../problem.ts';
import { EVERYTHING, type Scope } from '../scope.ts';
import type { Answer } from './answer.ts';
import type { Door } from './listen.ts';
import { queryValue } from './request.ts';
import type { Tokens } from './tokens.ts';

/** All that the API tells in headers, for pages of other origins (Fetch Standard, CORS protocol). */
const EXPOSED =
  'Accept-Patch, Allow, ETag, Heartbeat-Seconds, Idempotency-Replayed, Last-Event-ID, Location, Preference-Applied, ' +
  'Retry-After, WWW-Authenticate';
/** What clients of the API send, streams and tracing libraries included. */
const ASKED =
  'Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, ' +
  'traceparent, tracestate';

/** A name or an address, and perhaps a port: the characters of RFC 3986 §3.2.2, without a user's name before them. */
const HOST = /^(\[[\da-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(:\d*)?$/i;

/** A request at the door: where it wants to go, and whether it asks for a stream. */
export type Visit = { req: IncomingMessage; path: string; query: URLSearchParams; isStream: boolean };

/** The settings that decide, and where the server listens. */
type Rules = Pick<Config, 'host' | 'allowedOrigins' | 'allowedHosts'> &
  Pick<Door, 'addresses' | 'isLoopback'>;

/** Asks everyone who comes. It holds settings alone, and nothing of anybody who came before. */
export class Access {
  private readonly origins: ReadonlySet<string>;
  /** Names that may stand in Host; undefined where any may. */
  private readonly hosts: ReadonlySet<string> | undefined;
  private readonly tokens: Tokens;

  constructor({ host, addresses, isLoopback, allowedHosts, allowedOrigins }: Rules, tokens: Tokens) {
    const named = [host, ...addresses, ...allowedHosts].flatMap(hostNames);
    const isHostChecked = isLoopback || allowedHosts.size > 0;
    this.hosts = isHostChecked ? new Set(['localhost', '127.0.0.1', '[::1]', ...named]) : undefined;
    this.origins = allowedOrigins;
    this.tokens = tokens;
  }

  /**
   * Everyone who comes in has passed here.
   * @returns what the visitor may; a promise only where a token has to be looked at
   * @throws {Problem} 400 and 421 Host, 400 and 501 framing, 417 Expect, 403 foreign page, 401 token, 503 no keys
   */
  admit(visit: Visit): Scope | Promise<Scope> {
    const { req, path, isStream } = visit;
    const { method } = req;
    checkFraming(req);
    this.checkHost(req);
    checkExpectation(req);
    if (isStream || (method !== 'GET' && method !== 'HEAD')) this.checkOrigin(req);
    if (!isGuarded(path)) return EVERYTHING;
    this.checkFetch(req);
    return method === 'OPTIONS' || this.tokens.areUnwanted ? EVERYTHING : this.checkToken(visit);
  }

  /**
   * Headers that every answer on this path has, refusals included: what the API says is nothing for a shared cache,
   * and pages of an allowed foreign origin may read it. They may read the files too, or they could not import the
   * client library: a browser asks for a module as it asks for data.
   */
  addHeaders({ req, path }: Visit, { common }: Answer): void {
    const isHealth = path === '/healthz' || path === '/readyz';
    const isApi = isGuarded(path) || isHealth;
    if (isApi)
      common['Cache-Control'] = isHealth || this.tokens.areUnwanted ? 'no-store' : 'private, no-store';
    // Also where no Origin came: a cache must not give that answer, which allows nobody, to a page that is allowed
    // (Fetch Standard, CORS protocol and HTTP caches).
    common.Vary = isApi ? 'Origin, Accept' : 'Origin';
    const { origin } = req.headers;
    if (origin === undefined || !this.origins.has(origin)) return;
    common['Access-Control-Allow-Origin'] = origin;
    common['Access-Control-Expose-Headers'] = EXPOSED;
  }

  /** What a preflight from an allowed origin is told: it may send what it names, since it is trusted with the rest. */
  preflightHeaders({ headers }: IncomingMessage, methods: string): Record<string, string> {
    const { origin } = headers;
    if (origin === undefined || !this.origins.has(origin)) return {};
    const asked = headers['access-control-request-headers'] ?? '';
    const more = /^[\w!#$%&'*+.^`|~-]+(\s*,\s*[\w!#$%&'*+.^`|~-]+)*$/.test(asked) ? `, ${asked}` : '';
    return {
      'Access-Control-Allow-Methods': methods,
      'Access-Control-Allow-Headers': ASKED + more,
      'Access-Control-Max-Age': '600',
    };
  }

  /** @throws {Problem} 421 if the Host is not one of ours (RFC 9110 §15.5.20), 400 if it isn't there once */
  private checkHost(req: IncomingMessage): void {
    const { host } = req.headers;
    if (host === undefined && req.httpVersion !== '1.0')
      throw ambiguous(400, 'A request needs a Host header (RFC 9112 §3.2).');
    // Two of them were joined with a blank between, which no name has: a proxy before us may have read either.
    const [, name] = HOST.exec(host ?? '') ?? [];
    if (name === undefined)
      throw ambiguous(400, 'Host must be one name, and perhaps a port (RFC 9112 §3.2).');
    if (this.hosts === undefined || host === undefined) return;
    if (this.hosts.has(name.replace(/\.$/, '').toLowerCase())) return; // a dot at the end is the root of all names
    throw new Problem(421, 'This host name is not served here: use localhost, or add it to ALLOWED_HOSTS.');
  }

  /** @throws {Problem} 403 if a foreign page asks for what only our own, or an allowed one, may have */
  private checkOrigin({ headers: { origin, host } }: IncomingMessage): void {
    if (origin === undefined || this.origins.has(origin) || isOwnOrigin(origin, host)) return;
    throw new Problem(403, "This page's origin may not call this server: add it to ALLOWED_ORIGINS.");
  }

  /**
   * An image or a frame of a foreign page sends no Origin, and could not show what it gets: it is asked for to make
   * us work. Browsers tell where such a request comes from (W3C Fetch Metadata); a link that is followed may pass.
   * @throws {Problem} 403
   */
  private checkFetch({ headers }: IncomingMessage): void {
    if (headers['sec-fetch-site'] !== 'cross-site') return;
    const { origin, 'sec-fetch-mode': mode, 'sec-fetch-dest': destination } = headers;
    const isEmbedded = mode === 'no-cors' || (mode === 'navigate' && destination !== 'document');
    if (!isEmbedded || (origin !== undefined && this.origins.has(origin))) return;
    throw new Problem(403, 'A page of another site may not embed what this server answers.');
  }

  /** `?access_token=` counts for streams alone: browsers can't give those a header. @throws {Problem} 401, 503 */
  private checkToken({ req, query, isStream }: Visit): Promise<Scope> {
    const bearer = /^Bearer +([\x21-\x7e]+) *$/i.exec(req.headers.authorization ?? '')?.[1];
    return this.tokens.scopeOf(bearer ?? (isStream ? queryValue(query, 'access_token') : null), isStream);
  }
}

/** Paths that want the token. */
function isGuarded(path: string): boolean {
  return path.startsWith('/api/') || path === '/api' || path === '/ws' || path === '/metrics';
}

/**
 * Where a body ends must be beyond doubt: a proxy that reads it in another way would take the rest for a request.
 * @throws {Problem} 501 a transfer coding that we don't understand, 400 any of them in HTTP/1.0 (RFC 9112 §6.1)
 */
function checkFraming({ headers: { 'transfer-encoding': coding }, httpVersion }: IncomingMessage): void {
  if (coding === undefined) return;
  if (httpVersion === '1.0') throw ambiguous(400, 'HTTP/1.0 knows no Transfer-Encoding.');
  if (!/^[\s,]*chunked[\s,]*$/i.test(coding))
    throw ambiguous(501, 'The only Transfer-Encoding that is understood here is chunked.');
}

/** In HTTP/1.0 an expectation counts for nothing (RFC 9110 §10.1.1). @throws {Problem} 417 */
function checkExpectation({ headers: { expect = '' }, httpVersion }: IncomingMessage): void {
  if (httpVersion === '1.0' || /^$|\b100-continue\b/i.test(expect)) return;
  throw new Problem(417, 'Only "Expect: 100-continue" can be met.');
}

/** Whoever sent it may see other borders between requests than we do: nothing more is read from there. */
function ambiguous(status: number, detail: string): Problem {
  return new Problem(status, detail, { headers: { Connection: 'close' } });
}

/** By its host alone: behind a proxy that ends TLS we can't know our own scheme. */
function isOwnOrigin(origin: string, host: string | undefined): boolean {
  if (host === undefined || !/^https?:\/\//.test(origin) || !URL.canParse(origin)) return false;
  const { protocol, host: originHost } = new URL(origin);
  const own = `${protocol}//${host}`; // read with the origin's scheme, so that default ports are equal
  return URL.canParse(own) && new URL(own).host === originHost;
}

/** How a host is written in Host: as given, and as browsers write it (127.1 becomes 127.0.0.1); without the root's dot. */
function hostNames(host: string): string[] {
  const name =
    host.includes(':') && !host.startsWith('[') ? `[${host}]` : host.replace(/\.$/, '').toLowerCase();
  const url = `http://${name}/`;
  return URL.canParse(url) ? [name, new URL(url).hostname] : [name];
}
