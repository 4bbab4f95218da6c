// The figures of the status bar: how many listen, how long a change takes from its commit to this screen, and how
// many come. What the page does not know it does not tell.
import { connection } from './connection.js';
import { count, element, onPaint, show } from './dom.js';
import { server } from './server.js';

const LAST = 100;
const MOST_MS = 60_000; // who publishes may write any time into an event, and a clock may be put right
const SECONDS = 10; // long enough to look up after a change, and to see it counted
const FRESH_MS = 2000; // of a count that was asked for: only a stream tells by itself when it is another
// The commit's time is the server's clock: it can be compared with ours where both are one machine's.
const isSameClock = /^(localhost|127\.|\[::1\])/.test(location.hostname);

let unpainted = /** @type {number[]} */ ([]); // when they were saved
let delays = /** @type {number[]} */ ([]);
const heads = /** @type {number[]} */ ([]); // where the log stood, a second apart

/** @param {Entry} entry */
export function noteEntry({ event, fate }) {
  if (fate !== 'live' || !isSameClock) return; // of what was replayed the absence would be measured
  unpainted.push(Date.parse(event.time));
  if (unpainted.length > LAST) unpainted = unpainted.slice(-LAST);
}

setInterval(() => {
  if (heads.length > 0) heads.push(server.head);
  if (heads.length > SECONDS) heads.shift();
}, 1000);

/** By the log itself: it grows also while this page is cut off and hears of nothing. */
function changesASecond() {
  // Not before the server's first word: all that the log holds would count as new.
  if (heads.length === 0 && server.countedAt > 0) heads.push(server.head);
  const changes = Math.max(0, server.head - (heads[0] ?? server.head)) / SECONDS;
  return changes > 0 && changes < 10 ? changes.toFixed(1) : count(Math.round(changes));
}

onPaint(() => {
  const now = Date.now();
  const fresh = unpainted.splice(0).map((saved) => Math.max(0, now - saved));
  delays = [...delays, ...fresh.filter((ms) => ms < MOST_MS)].slice(-LAST);
  // Not the mean: one event that a busy browser painted late would stay in it for a hundred more.
  const median = delays.toSorted((a, b) => a - b)[Math.floor(delays.length / 2)];
  element('delay').hidden = !isSameClock;
  show('save-to-screen', median === undefined ? '–' : `${count(median)} ms`);
  show('rate', changesASecond());
  const isKnown = server.countedAt > 0 && (connection.isCurrent() || now - server.countedAt < FRESH_MS);
  show('clients', isKnown ? count(server.clients) : '?');
});
