// The state as word, shape and colour, for the back row; and one line for screen readers, at most once a
// second.
import { server, stream, view } from './connection.js';
import { count, element, onPaint, setMark, show } from './dom.js';
import { sentence } from './sentences.js';

const SUMMARY_MS = 1000;
const RING = { rotate: ['0deg', '16deg', '-12deg', '6deg', '0deg'] };

const retry = element('retry');
const bell = element('bell');
const isStill = matchMedia('(prefers-reduced-motion: reduce)');
let ring = /** @type {Animation | undefined} */ (undefined);
let fresh = 0;
let summedUpAt = 0;
let summedUp = '';
/** @type {Entry | undefined} */
let last;

/** @param {Entry} entry */
export function receive(entry) {
  fresh += 1;
  last = entry;
}

function paint() {
  const [state = '', word = '', why = ''] = view();
  const { lastEventId = '' } = stream;
  if (element('state').dataset.state !== state) setMark(element('mark'), state);
  Object.assign(element('state').dataset, { state, lastEventId });
  show('word', word);
  show('why', why);
  show('last-event-id', lastEventId || '–');
  show('clients', count(server.clients));
  if (fresh > 0 && !isStill.matches && ring?.playState !== 'running') ring = bell.animate(RING, 600);
  const isUseless = stream.state !== 'waiting';
  if (isUseless && document.activeElement === retry) element('connection').focus();
  retry.hidden = isUseless;
  if (fresh > 0 || summedUp !== state) sumUp(state, word, why);
}

/** @param {string} state @param {string} word @param {string} why */
function sumUp(state, word, why) {
  if (performance.now() < summedUpAt + SUMMARY_MS) return;
  const news = last ? `${count(fresh, 'notification')}, the last: ${sentence(last.event)}` : '';
  document.title = `${word} · Changebell`;
  show('summary', `${word}. ${why.split('. ')[0]} ${news}`);
  [fresh, last, summedUp, summedUpAt] = [0, undefined, state, performance.now()];
}

retry.onclick = () => stream.retry();
onPaint(paint);
