// The class board: the product used as it is. It reads the lessons' events from the log, then follows live, as
// any client does; what it shows is what `class.js` makes of them.
import { api, auth, reasonOf } from '../api.js';
import { ChangeStream } from '../changebell.js';
import { element, make } from '../dom.js';
import { follow, LESSONS, rowsOf, summaryOf } from './class.js';

const TYPES = ['lesson.*'];
const LEAST_ROWS = 20; // so many fit without scrolling at 1920×1080, and fewer are no larger

/** @typedef {import('./class.js').Class} Class */

/** @type {Class} */
let learners = new Map();
let clockOffset = 0; // of the server, whose clock stands in the events

/** All that is in the log so far. @returns {Promise<string>} the id to go on from */
async function catchUp() {
  /** @type {Class} */
  const all = new Map();
  let query = '';
  for (;;) {
    const response = await api(`/api/events?types=${TYPES}&limit=1000${query}`);
    if (response.status === 401) throw new Error('The class wants its token.');
    if (!response.ok)
      throw new Error(
        `The log cannot be read: ${response.status}. Load this page again when the server runs.`,
      );
    const { events, lastEventId, more } = await response.json();
    for (const event of events) follow(all, event);
    if (!more) {
      learners = all;
      draw();
      return lastEventId;
    }
    query = `&lastEventId=${lastEventId}`;
  }
}

async function start() {
  const lastEventId = await catchUp();
  const stream = new ChangeStream('/ws', { lastEventId, types: TYPES, token: auth.token });
  stream.addEventListener('message', (message) => {
    follow(learners, /** @type {MessageEvent} */ (message).data);
    draw();
  });
  stream.addEventListener('state', () => showState(stream.state));
  for (const type of ['ready', 'heartbeat']) stream.addEventListener(type, readClock);
  stream.addEventListener('reset', () => void catchUp());
}

/** @param {Event & { text?: string }} event */
function readClock({ text }) {
  if (text) clockOffset = Date.parse(JSON.parse(text).time) - Date.now();
}

/** @param {string} state */
function showState(state) {
  element('state').dataset.state = state;
  element('state').textContent = state;
}

function draw() {
  const rows = rowsOf(learners, Date.now() + clockOffset);
  document.documentElement.style.setProperty('--rows', String(Math.max(LEAST_ROWS, rows.length)));
  element('summary').textContent = rows.length === 0 ? 'Nobody yet' : summaryOf(rows);
  element('nobody').hidden = rows.length > 0;
  element('head').replaceChildren(...drawHead(rows));
  element('rows').replaceChildren(...rows.map(drawRow));
}

/** Each lesson's column says how many are done with it. @param {import('./class.js').Row[]} rows */
function drawHead(rows) {
  const columns = Array.from({ length: LESSONS }, (_, index) => {
    const count = rows.filter(({ done }) => done.has(index + 1)).length;
    const share = make('small', { textContent: count === 0 ? '' : `${count} ✔` });
    return make('th', { scope: 'col', className: 'lesson' }, String(index + 1), share);
  });
  const titles = ['Promises', 'Hints', 'For', 'What is said'].map((textContent) =>
    make('th', { textContent }),
  );
  return [make('th', { textContent: 'Who' }), ...columns, ...titles];
}

/** @param {import('./class.js').Row} row */
function drawRow({ nick, lesson, done, kept, of, why, hint, isStuck, minutes }) {
  const cells = Array.from({ length: LESSONS }, (_, index) => {
    const isOpen = index + 1 === lesson;
    const textContent = isOpen ? '▸' : done.has(index + 1) ? '✔' : '·';
    return make('td', { textContent, className: isOpen ? 'lesson open' : 'lesson' });
  });
  const isBusy = lesson > 0;
  const since = minutes === 0 ? 'now' : `${minutes} min`;
  return make(
    'tr',
    { className: isStuck ? 'stuck' : '' },
    make('th', { scope: 'row', textContent: nick }),
    ...cells,
    make('td', {
      className: 'promises',
      textContent: isBusy ? '●'.repeat(kept) + '○'.repeat(Math.max(0, of - kept)) : '',
    }),
    make('td', { textContent: isBusy && hint > 0 ? String(hint) : '' }),
    make('td', { textContent: isBusy ? since : '' }),
    make('td', { className: 'why', textContent: isBusy ? why : '', title: why }),
  );
}

const isOwnName = /^(localhost|127\.|\[::1\])/.test(location.hostname); // of every machine its own
const address = isOwnName ? 'ADDRESS' : location.origin; // the terminal shows it
element('join').textContent = `npm run lesson -- board ${address} NAME`;
auth.onChange = open; // the token was given
void open();

/** Where it fails it stands still: it would say that nobody is here yet. */
async function open() {
  try {
    await start();
    setInterval(draw, 5000); // time passes, though nothing happens
  } catch (error) {
    showState('waiting');
    element('nobody').hidden = true;
    element('summary').textContent = reasonOf(error);
  }
}
