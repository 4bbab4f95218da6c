// Settings, from environment variables alone. Parsed once at the start into typed values, so that
// no other file has to ask whether a setting makes sense. An empty variable counts as absent.
import { WATCHED_RESOURCES } from './resources.ts';

/** Where to listen, what to open, who may come in: each setting is explained in `readConfig`. */
export type Config = ReturnType<typeof readConfig>;

/** One of `secret` and `jwksUrl` is there. */
export type JwtConfig = { secret: string | undefined; jwksUrl: URL | undefined; audience: string };

const POSTGRES_FORM =
  'postgres://user:password@host:5432/database, with %23, %2F and so on for # / ? @ in a password';
const WHOLE_ORIGINS =
  'whole origins: * stands for nothing here, so name each one, such as https://app.example.com';
const OLDEST_NODE = 20;
const SPARE_CONNECTIONS = 2000; // beside the streams: requests, and browsers that keep connections for later

/** A user's mistake at the start: its message is the one line that goes to standard error. */
export class StartError extends Error {}

/** @throws {StartError} for one that is too old: it would end at some line of ours, with a stack that says nothing */
export function checkNode(version: string): void {
  if (Number.parseInt(version, 10) < OLDEST_NODE)
    throw new StartError(`Node ${version} is too old: Changebell needs ${OLDEST_NODE} or newer.`);
}

/** @throws {StartError} naming the variable, what was given and what is allowed */
export function readConfig(env: Env) {
  const host = env.HOST || '127.0.0.1';
  if (/[\s/]/.test(host)) refuse('HOST', host, 'a host name or an IP address to listen on');
  const maxClients = readInteger(env, 'MAX_CLIENTS', 10_000, 1, 1_000_000);
  const databaseUrl = readDatabaseUrl(env.DATABASE_URL?.trim() || 'changebell.db');
  return {
    /** A name or an address; which addresses that is, and whether they are loopback, is known once it listens. */
    host,
    /** 0: any free one. */
    port: readInteger(env, 'PORT', 5000, 0, 65_535),
    /** A SQLite file, `:memory:`, or a `postgres://` URL, whose password is never shown. */
    databaseUrl,
    /** A `postgres://` URL of a copy of that database, from which the log is read; undefined: from the database itself. */
    replicaUrl: readReplicaUrl(env.READ_DATABASE_URL?.trim(), databaseUrl),
    /** Tables whose changes are announced too. */
    watch: new Set([...WATCHED_RESOURCES.map(({ table }) => table), ...readList(env, 'WATCH')]),
    /** Who has it may do everything; undefined where everyone may. */
    apiToken: readToken(env.API_TOKEN),
    /** Who signs the JWTs that are taken; undefined where none are. */
    jwt: readJwt(env),
    /** Besides the server's own: lower case, without a slash at the end. */
    allowedOrigins: new Set(readList(env, 'ALLOWED_ORIGINS').map(readOrigin)),
    /** Besides the loopback names and HOST: lower case, without a port. */
    allowedHosts: new Set(readList(env, 'ALLOWED_HOSTS').map(readHostName)),
    /** Open streams, WebSocket and server-sent events together. */
    maxClients,
    /** Open connections of any kind. */
    maxConnections: readInteger(env, 'MAX_CONNECTIONS', maxClients + SPARE_CONNECTIONS, 1, 2_000_000),
    /** How many of the newest events are kept. */
    eventRetention: readInteger(env, 'EVENT_RETENTION', 100_000, 1, 1_000_000_000),
    heartbeatMs: 1000 * readInteger(env, 'HEARTBEAT_SECONDS', 15, 1, 3600),
    /** Undefined: it depends on who can reach the server, which is known once it listens. */
    isLabOn: readSwitch(env, 'LAB'),
    /** False for a program that only watches another's tables: then `/api/customers` is off. */
    hasCustomers: readSwitch(env, 'CUSTOMERS') ?? true,
  };
}

/** In quotes, since what was given may end with a blank that nobody sees. */
function refuse(variable: string, given: string, allowed: string): never {
  throw new StartError(`${variable} is ${JSON.stringify(given)}, but must be ${allowed}.`);
}

type Env = Record<string, string | undefined>;

/** Digits alone: `1e3`, `0x10` and blanks would be numbers to JavaScript. @throws {StartError} */
function readInteger(env: Env, variable: string, fallback: number, least: number, most: number): number {
  const text = env[variable];
  if (!text) return fallback;
  const isInRange = /^\d{1,10}$/.test(text) && Number(text) >= least && Number(text) <= most;
  return isInRange ? Number(text) : refuse(variable, text, `a whole number from ${least} to ${most}`);
}

/** `true`, `yes` and `on` are refused too: who guesses would learn of it only from what the server does. */
function readSwitch(env: Env, variable: string): boolean | undefined {
  const text = env[variable];
  if (!text) return undefined;
  return text === '1' || text === '0' ? text === '1' : refuse(variable, text, '1 or 0');
}

/** A scheme that isn't known, or has lost its colon, is refused: else a typing error would be a file of that name. */
function readDatabaseUrl(url: string): string {
  const hasScheme = /^[A-Za-z][A-Za-z0-9+.-]+(:|\/\/)/.test(url);
  if (url === ':memory:' || !hasScheme) return url;
  return readPostgresUrl('DATABASE_URL', url, 'the path of a SQLite file, :memory:, or postgres://…');
}

/** SQLite has no replicas: who sets this would believe that reads go elsewhere, while they don't. */
function readReplicaUrl(url: string | undefined, databaseUrl: string): string | undefined {
  if (!url) return undefined;
  if (!isPostgresUrl(databaseUrl))
    throw new StartError(
      'READ_DATABASE_URL is set, but DATABASE_URL is not of PostgreSQL: only that has replicas to read from.',
    );
  return readPostgresUrl('READ_DATABASE_URL', url, 'postgres://… of a replica of DATABASE_URL');
}

/** A password that wasn't escaped would cut the URL short, and name another host or database. */
function readPostgresUrl(variable: string, url: string, allowed: string): string {
  const given = `${schemeOf(url)}…`;
  if (!isPostgresUrl(url)) refuse(variable, given, allowed);
  const first = url.replace(/^(\w+:\/\/(?:[^@/?#]*@)?[^,/?#]*),[^/?#]*/, '$1'); // there may be several hosts
  const { pathname = '', search = '', hash = '' } = URL.canParse(first) ? new URL(first) : { hash: '#' };
  const isCutShort = hash !== '' || /[/@]/.test(pathname.slice(1)) || search.includes('@');
  if (isCutShort) refuse(variable, given, POSTGRES_FORM);
  return url;
}

/** All that a refusal repeats of a URL: what follows it may hold a password. */
function schemeOf(url: string): string {
  return /^\w[\w+.-]*(:|\/\/)/.exec(url)?.[0] ?? '';
}

/** Does this DATABASE_URL name a PostgreSQL database? */
export function isPostgresUrl(url: string): boolean {
  return /^postgres(ql)?:\/\//i.test(url);
}

/** Anything else can't be sent in a header as it is (RFC 9110 §5.5), and would never match. */
function readToken(token: string | undefined): string | undefined {
  if (token && !/^[\x21-\x7e]+$/.test(token)) {
    throw new StartError(
      'API_TOKEN has white space (a line break at its end?) or a character outside ASCII, but must be visible ASCII characters.',
    );
  }
  return token || undefined;
}

/** Neither a secret nor what is in a URL is repeated in the line that refuses it. */
function readJwt(env: Env): JwtConfig | undefined {
  const { JWT_SECRET: secret, JWT_JWKS_URL: url } = env;
  if (secret && url)
    throw new StartError('JWT_SECRET and JWT_JWKS_URL are both set, but only one of them can be.');
  if (secret && Buffer.byteLength(secret) < 32)
    throw new StartError(
      'JWT_SECRET has fewer than 32 bytes, but must have as many as HS256 (RFC 7518 §3.2).',
    );
  // Whoever signs has it without: each JWT would be refused, and nobody could see why.
  if (secret !== secret?.trim())
    throw new StartError(
      'JWT_SECRET begins or ends with white space (a line break that was pasted with it?), but must not.',
    );
  const isUrl = url && URL.canParse(url) && /^https?:$/.test(new URL(url).protocol);
  if (url && !isUrl) refuse('JWT_JWKS_URL', `${schemeOf(url)}…`, 'an http or https URL of a key set');
  if (!secret && !url) return undefined;
  return {
    secret: secret || undefined,
    jwksUrl: url ? new URL(url) : undefined,
    audience: env.JWT_AUDIENCE?.trim() || 'changebell',
  };
}

/** A comma at the end is no mistake. Commas alone are one: whoever wrote them believes that something is named. */
function readList(env: Env, variable: string): string[] {
  const text = env[variable]?.trim() ?? '';
  const items = text.split(',').map((item) => item.trim());
  const named = items.filter((item) => item !== '');
  if (text !== '' && named.length === 0) refuse(variable, text, 'names with commas between, or left out');
  return named;
}

/** An origin is any scheme with a host (RFC 6454 §4): apps and extensions have schemes of their own. */
function readOrigin(text: string): string {
  if (text.includes('*')) refuse('ALLOWED_ORIGINS', text, WHOLE_ORIGINS);
  const origin = text.replace(/\/$/, '').toLowerCase();
  const isWeb = /^https?:/.test(origin);
  const isWebOrigin = isWeb && URL.canParse(origin) && new URL(origin).origin === origin;
  const isAppOrigin = !isWeb && /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9._~-]+(:\d+)?$/.test(origin);
  return isWebOrigin || isAppOrigin
    ? origin
    : refuse('ALLOWED_ORIGINS', text, 'origins such as https://example.com, with commas between');
}

/** An IPv6 address stands in brackets, as in `Host` (RFC 3986 §3.2.2). @throws {StartError} */
function readHostName(text: string): string {
  const isName = /^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])$/.test(text);
  return isName
    ? text.toLowerCase()
    : refuse('ALLOWED_HOSTS', text, 'host names without a port, with commas between');
}
