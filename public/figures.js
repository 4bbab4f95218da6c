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
const perSecond = Array(SECONDS).fill(0);
let soFar = 0; // in this second, which is not over yet

/** @param {Entry} entry */
export function noteEntry({ event, fate }) {
  soFar += 1;
  if (fate !== 'live' || !isSameClock) return; // of what was replayed the absence would be measured
  unpainted.push(Date.parse(event.time));
  if (unpainted.length > LAST) unpainted = unpainted.slice(-LAST);
}

setInterval(() => {
  perSecond.push(soFar);
  perSecond.shift();
  soFar = 0;
}, 1000);

onPaint(() => {
  const now = Date.now();
  const fresh = unpainted.splice(0).map((saved) => Math.max(0, now - saved));
  delays = [...delays, ...fresh.filter((ms) => ms < MOST_MS)].slice(-LAST);
  const median = delays.toSorted((a, b) => a - b)[Math.floor(delays.length / 2)];
  element('delay').hidden = !isSameClock;
  show('save-to-screen', median === undefined ? '–' : `${count(median)} ms`);
  const changes = perSecond.reduce((sum, number) => sum + number) / SECONDS;
  show('rate', changes > 0 && changes < 10 ? changes.toFixed(1) : count(Math.round(changes)));
  show('clients', server.clients < 0 ? '–' : count(server.clients));
});
