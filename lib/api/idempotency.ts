// The Idempotency-Key of a POST: a caller that got no answer sends the same request again under the same key, and the
// change is made once.
import type { Call } from '../http/request.ts';
import { hashOf, type Idempotency } from '../idempotency.ts';
import { Problem } from '../problem.ts';

/**
 * The key, and a hash of the request that it is for; undefined if the caller gave no key.
 * @param body its bytes as text: a repeat is the same to the byte, or it is another request
 * @param what further headers that the request's meaning hangs on
 * @throws {Problem} 400 not 1 to 255 visible ASCII characters
 */
export function readIdempotency({ req, path }: Call, body: string, what = ''): Idempotency | undefined {
  const key = req.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new Problem(400, 'Idempotency-Key must be 1 to 255 visible ASCII characters.');
  }
  return { key, request: hashOf(path, body, what) };
}
