// What makes a POST safe to repeat: a key for it, and a hash that tells a repeat from another request. The first
// answer is stored under the key in the transaction of the change, and given again to every repeat.
import { createHash } from 'node:crypto';

/** A caller's key, and a hash of what was asked: the same key with another hash is a mistake of the caller's, a 422. */
export type Idempotency = { key: string; request: string };

/** A hash of a request; equal only for the same parts in the same order. As JSON, since `ab` + `c` isn't `a` + `bc`. */
export function hashOf(...parts: string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}

/** A CloudEvent's own key: its source and id name it (CloudEvents 1.0, "id"). No header's key begins with a space. */
export function keyOfEvent(source: string, id: string): string {
  return ` ${hashOf(source, id)}`;
}
