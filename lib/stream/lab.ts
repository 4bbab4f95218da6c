// The failure lab: a client may harm its own connection, to see with its own eyes that nothing is lost. It can harm
// nobody else's, since an order is about the socket on which it came.
import type { Client } from './client.ts';

const MAX_MUTE_SECONDS = 60;

/** `{"lab":"cut"}` or `{"lab":"mute","seconds":15}`; whatever else a client sends is ignored. */
export function obeyLab(client: Client, text: string): void {
  const { lab, seconds } = parseOrder(text);
  if (lab === 'cut') client.stream.out.destroy(); // no close frame: as if a cable were pulled
  if (lab !== 'mute' || typeof seconds !== 'number') return;
  if (seconds >= 1 && seconds <= MAX_MUTE_SECONDS) client.mute(seconds);
}

function parseOrder(text: string): { lab?: unknown; seconds?: unknown } {
  try {
    return Object(JSON.parse(text)); // also of null and of a number, which have no such fields
  } catch {
    return {}; // not JSON: a message like any other, and those are ignored
  }
}
