// Who somebody is: the bearer of the API token, or of a JWT (RFC 7519) that a known key has signed. The key pins the
// algorithm (RFC 8725 §3.1): a token can't choose it, so `alg: none`, or a public key taken for a secret, gets nowhere.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { JWTPayload } from 'jose';
import { type Config, type JwtConfig, StartError } from '../config.ts';
import { Problem } from '../problem.ts';
import { EVERYTHING, Scope } from '../scope.ts';

const SKEW_SECONDS = 30; // clocks differ: so early (`nbf`) or late (`exp`) a token still counts

/** The keys can't be had: no fault of the caller's. `cause` is for the log alone. */
export class KeysAway extends Problem {
  constructor(cause: unknown) {
    super(503, 'The keys that tokens are checked with cannot be had at the moment.');
    this.cause = cause;
  }
}

/** Resolves to what a JWT says. @throws what `jose` throws */
type Verify = (jwt: string) => Promise<JWTPayload>;

/** Judges tokens. */
export type Tokens = {
  /** Nobody needs a token here. */
  areUnwanted: boolean;
  /** What the bearer may, where a token is wanted. @throws {Problem} 401 no token or a bad one, 503 if the key set can't be had */
  scopeOf: (token: string | null, isStream: boolean) => Promise<Scope>;
};

/**
 * No list of tokens is kept: what a JWT says is believed, since a known key has signed it.
 * @throws {StartError} if JWTs are wanted and the package `jose` is not installed
 */
export async function openTokens({ apiToken, jwt }: Pick<Config, 'apiToken' | 'jwt'>): Promise<Tokens> {
  const tokenHash = apiToken === undefined ? undefined : hash(apiToken); // the token itself isn't kept
  const verify = jwt && (await createVerify(jwt));

  async function scopeOf(token: string | null, isStream: boolean): Promise<Scope> {
    if (token === null) throw unauthorized('send the header "Authorization: Bearer <token>".');
    // First, since the API token may be any text, also one that looks like a JWT.
    // Hashes have one length, and comparing them takes the same time wherever they differ.
    if (tokenHash && timingSafeEqual(hash(token), tokenHash)) return EVERYTHING;
    if (!verify) throw unauthorized('this is another one.', 'invalid_token');
    const payload = await verify(token).catch((error) => {
      throw refusalOf(error);
    });
    // Streams end at that very moment: one that is opened later would be ended at once, and come back without end.
    if (isStream && payload.exp! * 1000 <= Date.now()) throw unauthorized('it has expired.', 'invalid_token');
    return scopeIn(payload);
  }

  return { areUnwanted: !tokenHash && !verify, scopeOf };
}

/** Fetches no key yet: a key set is fetched with the first token, so the start doesn't depend on another server. */
async function createVerify({ secret, jwksUrl, audience }: JwtConfig): Promise<Verify> {
  const jose = await import('jose').catch(() => {
    throw new StartError('JWTs are to be taken, but the package jose is not installed: npm install jose');
  });
  // A token of another service of the same signer is not for us (`aud`); one without an end could never be taken back.
  const rules = { audience, requiredClaims: ['exp'], clockTolerance: SKEW_SECONDS };
  if (secret !== undefined) {
    const key = new TextEncoder().encode(secret);
    return async (jwt) => (await jose.jwtVerify(jwt, key, { ...rules, algorithms: ['HS256'] })).payload;
  }
  const keys = jose.createRemoteJWKSet(jwksUrl!); // asks again, at most every 30 s, for a key that it doesn't know
  // Only signatures with a private key: the set is public, and with an HMAC anybody could sign.
  const algorithms = ['RS256', 'ES256', 'EdDSA'];
  return async (jwt) => (await jose.jwtVerify(jwt, keys, { ...rules, algorithms })).payload;
}

/** A claim that is missing, or no object, allows nothing. */
function scopeIn(payload: JWTPayload): Scope {
  const { changebell: claim } = payload;
  // For JavaScript null and a list are objects as well, and neither says what its bearer may.
  const isObject = typeof claim === 'object' && claim !== null && !Array.isArray(claim);
  // `exp` is there: `requiredClaims` has seen to it. It counts seconds, and we count milliseconds.
  return new Scope(isObject ? (claim as Record<string, unknown>) : {}, payload.exp! * 1000);
}

/** Only what is wrong with the token is the caller's (401); a key set that is away is not (503). */
function refusalOf(error: unknown): Problem {
  const { code = '', claim = '' } = error as { code?: string; claim?: string };
  if (/^ERR_JW[ST]_|^ERR_JOSE_(ALG|NOT)|^ERR_JWKS_(NO|MULTIPLE)/.test(code)) {
    const why =
      code === 'ERR_JWT_EXPIRED' ? 'it has expired' : claim ? `its ${claim} does not fit` : 'it is not valid';
    return unauthorized(`${why}.`, 'invalid_token');
  }
  return new KeysAway(error);
}

/** RFC 6750 §3: without a token no error is named. */
function unauthorized(detail: string, error?: string): Problem {
  const challenge = `Bearer realm="changebell"${error ? `, error="${error}"` : ''}`;
  return new Problem(401, `This server wants its API token: ${detail}`, {
    headers: { 'WWW-Authenticate': challenge },
  });
}

/** Not for keeping secrets but for comparing them: two hashes have one length, whatever was sent. */
function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
