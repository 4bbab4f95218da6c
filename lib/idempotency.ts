// What makes a POST safe to repeat: a key for it, and a hash that tells a repeat from another request. The first
// answer is stored under the key in the transaction of the change, and given again to every repeat.
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Problem } from './problem.ts';

/** A caller's key, and a hash of what was asked: the same key with another hash is a mistake of the caller's, a 422. */
export type Idempotency = { key: string; request: string };

/**
 * The Idempotency-Key of a request, and a hash of what it asks; undefined if the caller gave no key.
 * @param body its bytes as text: a repeat is the same to the byte, or it is another request
 * @param what further headers that the request's meaning hangs on
 * @throws {Problem} 400 not 1 to 255 visible ASCII characters
 */
export function readIdempotency(
  { headers }: IncomingMessage,
  path: string,
  body: string,
  what = '',
): Idempotency | undefined {
  const key = headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key))
    return { key, request: hashOf(path, body, what) };
  throw new Problem(400, 'Idempotency-Key must be 1 to 255 visible ASCII characters.');
}

/** A hash of a request; equal only for the same parts in the same order. As JSON, since `ab` + `c` isn't `a` + `bc`. */
export function hashOf(...parts: string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}

/** A CloudEvent's own key: its source and id name it (CloudEvents 1.0, "id"). No header's key begins with a space. */
export function keyOfEvent(source: string, id: string): string {
  return ` ${hashOf(source, id)}`;
}
