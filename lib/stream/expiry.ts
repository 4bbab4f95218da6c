// A stream ends when its token does: with a last frame that says so, and a client comes back with a fresh token at its
// cursor. Nothing is lost in between, since the log keeps it.
import type { Client } from './client.ts';

const MAX_DELAY_MS = 2 ** 31 - 1; // 24.8 days: a longer timer would fire at once

/**
 * Closes the stream at that moment; one that has passed already closes it in the next turn.
 * @param expiresAt in milliseconds since 1970; undefined: never
 */
export function endAtExpiry(client: Client, expiresAt: number | undefined): void {
  if (expiresAt === undefined) return;
  let timer: NodeJS.Timeout;
  // By the wall clock at each look, as tokens are: a laptop that slept wakes up late, and not with time left.
  const look = () => {
    const left = expiresAt - Date.now();
    if (left > 0) timer = setTimeout(look, Math.min(left, MAX_DELAY_MS));
    else expire(client);
  };
  timer = setTimeout(look, 0); // not at once: its first frame says where it stands
  client.stream.out.once('close', () => clearTimeout(timer));
}

function expire(client: Client): void {
  client.tell('stream.expired', {});
  client.stream.expire();
}
