// Who may come in. Three questions, each with the attack that it stops: is the Host ours (DNS
// rebinding), is the Origin ours (a foreign page that uses its reader's network), is the token right.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Config, isLoopback } from '../config.ts';
import { Problem } from '../problem.ts';
import { queryValue } from './request.ts';

const EXPOSED = 'ETag, Location, Idempotency-Replayed, Retry-After';
const ASKED = 'Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID';

export type Access = ReturnType<typeof createAccess>;

export function createAccess(config: Config) {
  const isHostChecked = isLoopback(config.host) || config.allowedHosts.size > 0;
  const hosts = new Set(['localhost', '127.0.0.1', '[::1]', bracketed(config.host), ...config.allowedHosts]);
  const tokenHash = config.apiToken === undefined ? undefined : hash(config.apiToken);

  return {
    /** @throws {Problem} 421 if the Host is not one of ours (RFC 9110 §15.5.20), 400 if it isn't there once */
    checkHost(req: IncomingMessage): void {
      const host = req.headers.host;
      const isOne = host === undefined ? req.httpVersion === '1.0' : countHosts(req.rawHeaders) === 1;
      if (!isOne) {
        throw new Problem(400, 'A request needs exactly one Host header (RFC 9112 §3.2).', {
          headers: { Connection: 'close' }, // whoever sent it may see other borders between requests than we do
        });
      }
      if (!isHostChecked || host === undefined) return;
      const name = host.replace(/:\d*$/, '').toLowerCase();
      if (!hosts.has(name)) {
        throw new Problem(
          421,
          'This host name is not served here: use localhost, or add the name to ALLOWED_HOSTS.',
        );
      }
    },

    /** @throws {Problem} 403 if a foreign page asks for what only our own, or an allowed one, may have */
    checkOrigin(req: IncomingMessage): void {
      const { origin } = req.headers;
      if (origin === undefined || config.allowedOrigins.has(origin) || isOwnOrigin(origin, req.headers.host))
        return;
      throw new Problem(403, "This page's origin may not call this server: add it to ALLOWED_ORIGINS.");
    },

    /** Lets pages of an allowed foreign origin read the answer (Fetch Standard, CORS protocol). */
    addCorsHeaders(req: IncomingMessage, res: ServerResponse): void {
      if (config.allowedOrigins.size === 0) return;
      res.setHeader('Vary', 'Origin');
      const { origin } = req.headers;
      if (origin === undefined || !config.allowedOrigins.has(origin)) return;
      res.setHeader('Access-Control-Allow-Origin', origin);
      res.setHeader('Access-Control-Expose-Headers', EXPOSED);
    },

    /** What a preflight from an allowed origin is told. */
    preflightHeaders(req: IncomingMessage, methods: string): Record<string, string> {
      const { origin } = req.headers;
      if (origin === undefined || !config.allowedOrigins.has(origin)) return {};
      return {
        'Access-Control-Allow-Methods': methods,
        'Access-Control-Allow-Headers': ASKED,
        'Access-Control-Max-Age': '600',
      };
    },

    /** `?access_token=` counts for streams alone: browsers can't give those a header. @throws {Problem} 401 */
    checkToken(req: IncomingMessage, query: URLSearchParams, isStream: boolean): void {
      if (tokenHash === undefined) return;
      const bearer = /^Bearer +([\x21-\x7e]+) *$/i.exec(req.headers.authorization ?? '')?.[1];
      const given = bearer ?? (isStream ? queryValue(query, 'access_token') : null);
      // Hashes have one length, and comparing them takes the same time wherever they differ.
      if (given !== null && timingSafeEqual(hash(given), tokenHash)) return;
      throw new Problem(
        401,
        'This server wants its API token: send the header "Authorization: Bearer <token>".',
        {
          headers: { 'WWW-Authenticate': 'Bearer realm="changebell"' },
        },
      );
    },
  };
}

/** Node keeps the first of several, and a proxy before us may have read the last. */
function countHosts(rawHeaders: string[]): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2)
    if (rawHeaders[i]!.length === 4 && rawHeaders[i]!.toLowerCase() === 'host') count += 1;
  return count;
}

/** By its host alone: behind a proxy that ends TLS we can't know our own scheme. */
function isOwnOrigin(origin: string, host: string | undefined): boolean {
  if (host === undefined || !/^https?:\/\//.test(origin) || !URL.canParse(origin)) return false;
  const { protocol, host: originHost } = new URL(origin);
  const own = `${protocol}//${host}`; // read with the origin's scheme, so that default ports are equal
  return URL.canParse(own) && new URL(own).host === originHost;
}

function bracketed(host: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host.toLowerCase();
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
