// What the server says of its open streams: where each stands, and how many bytes wait for it.
import { api } from './api.js';
import { connection } from './connection.js';
import { count, element, make, seqOf } from './dom.js';
import { loop } from './loop.js';
import { timeOf } from './sentences.js';
import { server } from './server.js';

const POLL_MS = 1000;
const MAX_ROWS = 40; // of perhaps thousands
let mayAsk = true;

/** Which of the server's clients are ours: it knows them by names of its own. */
export const names = /** @type {Map<string, string>} */ (new Map());

/** Asks, and asks again a second later: not in a hidden tab, which nobody looks at. */
async function poll() {
  const isThere = server.isLabOn && mayAsk;
  if (isThere && !document.hidden) await refresh().catch(() => {}); // the stage tells
  element('server-view').hidden = !isThere;
  setTimeout(poll, POLL_MS); // after the answer, so that a slow server is not asked twice at a time
}

/** All rows anew: nothing in them can have the focus, and it is done once a second. */
async function refresh() {
  const response = await api('/api/clients');
  mayAsk = response.status !== 403; // a token of few rights: it would get the same answer again
  if (!response.ok) return;
  const { clients } = await response.json();
  element('server-rows').replaceChildren(...clients.slice(0, MAX_ROWS).map(clientRow));
}

/** Marked where something waits: that is what one looks for here. @param {ServerStream} stream */
function clientRow({ client, transport, lastEventId, behind, bufferedBytes, connectedAt }) {
  names.set(connection.name, 'this page').set(loop.name, 'the loop');
  const name = names.get(client) ?? client;
  const numbers = [seqOf(lastEventId), behind, bufferedBytes].map((number) => count(number));
  const cells = [transport, ...numbers, timeOf(connectedAt)].map((text) => make('td', {}, text));
  const className = behind + bufferedBytes > 0 ? 'lagging' : '';
  return make('tr', { className }, make('th', { scope: 'row' }, name), ...cells);
}

void poll();
