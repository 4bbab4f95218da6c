// One line for screen readers, at most once a second, the tab's title, and the bell. The log is no live
// region: a flood would never be quiet again.

import { captionText } from './caption.js';
import { count, element, onPaint, show } from './dom.js';
import { sentence } from './sentences.js';
import { pageView } from './view.js';

const SUMMARY_MS = 1000;
const RING = { rotate: ['0deg', '16deg', '-12deg', '6deg', '0deg'] };

const bell = element('bell');
const isStill = matchMedia('(prefers-reduced-motion: reduce)');
let ring = /** @type {Animation | undefined} */ (undefined);
let fresh = 0;
let summedUpAt = 0;
let summedUp = '';
/** @type {Entry | undefined} */
let last;

/** @param {Entry} entry */
export function noteEntry(entry) {
  fresh += 1;
  last = entry;
}

onPaint(() => {
  if (fresh > 0 && !isStill.matches && ring?.playState !== 'running') ring = bell.animate(RING, 600);
  const { state, word, why } = pageView();
  const topic = `${state} ${captionText()}`;
  if (fresh === 0 && summedUp === topic) return;
  if (performance.now() < summedUpAt + SUMMARY_MS) return;
  const news = last ? `${count(fresh, 'notification')}, the last: ${sentence(last.event)}` : '';
  document.title = `${word} · Changebell`;
  // Of the reason the first sentence only: the second counts down, and would be read out every second.
  show('summary', `${word}. ${why.split('. ')[0]} ${news} ${summedUp === topic ? '' : captionText()}`);
  [fresh, last, summedUp, summedUpAt] = [0, undefined, topic, performance.now()];
});
