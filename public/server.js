// What the page knows of the server itself. `GET /healthz` tells it to everyone, also to a page whose
// cable is cut: so one sees how many changes a client misses while it misses them.
import { paintSoon, seqOf } from './dom.js';

const PATIENCE_MS = 2000; // a server that hangs must not hold the page back

export const server = {
  clients: 0, // open streams, as it was told last
  countedAt: 0, // when that was; 0: nobody knows
  head: 0, // the newest position that we have heard of, over whatever way
  isLabOn: false,
  heartbeatSeconds: 15, // to tell silence from quiet
};

/** Asks; an answer that does not come changes nothing, since the stream's state will tell. */
export async function learn() {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const response = await fetch('/healthz', { signal }).catch(() => undefined);
  if (!response?.ok) return;
  const { clients, lastEventId, lab } = await response.json();
  server.heartbeatSeconds = Number(response.headers.get('Heartbeat-Seconds')) || 15;
  server.isLabOn = lab === true;
  noteClients(clients);
  noteHead(lastEventId);
  paintSoon();
}

/** @param {number} clients */
export function noteClients(clients) {
  [server.clients, server.countedAt] = [clients, Date.now()];
}

/** @param {string} id */
export function noteHead(id) {
  server.head = Math.max(server.head, seqOf(id));
}
