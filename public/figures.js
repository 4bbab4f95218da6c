// The figures of the status bar: how long a change takes from its commit to this screen, and how many come.
import { count, element, onPaint, show } from './dom.js';
import { server } from './server.js';

const LAST = 100;
const MOST_MS = 60_000; // who publishes may write any time into an event, and a clock may be put right
const SECONDS = 5;
// The commit's time is the server's clock: it can be compared with ours where both are one machine's.
const isSameClock = /^(localhost|127\.|\[::1\])/.test(location.hostname);

let unpainted = /** @type {number[]} */ ([]); // when they were saved
let delays = /** @type {number[]} */ ([]);
const perSecond = /** @type {Map<number, number>} */ (new Map());

/** @param {Entry} entry */
export function noteEntry({ event, fate }) {
  const second = Math.floor(Date.now() / 1000);
  perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
  if (fate !== 'live' || !isSameClock) return; // of what was replayed the absence would be measured
  unpainted.push(Date.parse(event.time));
  if (unpainted.length > LAST) unpainted = unpainted.slice(-LAST);
}

function rate() {
  const now = Math.floor(Date.now() / 1000);
  for (const second of perSecond.keys()) if (second < now - SECONDS) perSecond.delete(second);
  const full = [...perSecond].filter(([second]) => second < now); // the present one is not over yet
  return full.reduce((sum, [, number]) => sum + number, 0) / SECONDS;
}

onPaint(() => {
  const now = Date.now();
  const fresh = unpainted.splice(0).map((saved) => Math.max(0, now - saved));
  delays = [...delays, ...fresh.filter((ms) => ms < MOST_MS)].slice(-LAST);
  const median = delays.toSorted((a, b) => a - b)[Math.floor(delays.length / 2)];
  element('delay').hidden = !isSameClock;
  show('save-to-screen', median === undefined ? '–' : `${count(median)} ms`);
  const changes = rate();
  show('rate', changes > 0 && changes < 10 ? changes.toFixed(1) : count(Math.round(changes)));
  show('clients', server.clients < 0 ? '–' : count(server.clients));
});
