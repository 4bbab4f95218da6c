// A key that makes a POST safe to repeat: the first answer is stored with the change, and given again.
import { createHash } from 'node:crypto';
import type { Call } from '../http/request.ts';
import { Problem } from '../problem.ts';
import type { Idempotency } from '../store/store.ts';

/** The key of a POST, with a hash that tells a repeat from another request. @throws {Problem} 400 */
export function readIdempotency({ req, path }: Call, body: string): Idempotency | undefined {
  const key = req.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new Problem(400, 'Idempotency-Key must be 1 to 255 visible ASCII characters.');
  }
  return { key, request: createHash('sha256').update(`${path}\n${body}`).digest('base64url') };
}
