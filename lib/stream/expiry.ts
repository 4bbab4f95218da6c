// A stream ends when its token does: with a last frame that says so, and a client comes back with a fresh token at its
// cursor. Nothing is lost in between, since the log keeps it.
import type { Client } from './client.ts';

const MAX_DELAY_MS = 2 ** 31 - 1; // a longer timer would fire at once

/** @param expiresAt in milliseconds since 1970; undefined: never */
export function endAtExpiry(client: Client, expiresAt: number | undefined): void {
  if (expiresAt === undefined) return;
  const { stream } = client;
  const expire = () => {
    client.tell('stream.expired', {});
    stream.expire();
  };
  const timer = setTimeout(expire, Math.min(Math.max(0, expiresAt - Date.now()), MAX_DELAY_MS));
  stream.out.once('close', () => clearTimeout(timer));
}
