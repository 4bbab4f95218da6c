// What is told above the two clients, and what the bar needs to know of it. The stories themselves are fetched when
// one of them is wanted: see `story.js`.
import { reasonOf } from './api.js';
import { cable } from './cable.js';
import { connection } from './connection.js';
import { customers } from './customers.js';
import { lazily, paintSoon } from './dom.js';
import { loop } from './loop.js';
import { recall } from './memory.js';

const HELLO = 'Two clients of one server. What does a cut cable do to each? Press “Show\u00a0me”.';
const NOT_YET = 'Two clients of one server. They are not both live yet: below it says why.';
const HELLO_BY_HAND = 'Two clients of one server. Cut the cable, publish a message, and bring it back.';

export const stage = {
  caption: HELLO,
  step: 0, // of *Show me*
  running: /** @type {AbortController | undefined} */ (undefined), // *Show me*, while it plays
  isBusy: false, // with anything else
  addedIds: /** @type {number[]} */ (recall('added') ?? []), // *Tidy up* takes them away again
};

/** What is asked for can be done: it is no use to press a button while nobody answers. */
export function captionText() {
  if (stage.caption !== HELLO) return stage.caption;
  if (customers.isOff) return HELLO_BY_HAND;
  return canPlay() ? HELLO : NOT_YET;
}

/** @param {string} text @param {number} [step] */
export function tell(text, step = 0) {
  Object.assign(stage, { caption: text, step });
  paintSoon();
}

export const greet = () => tell(HELLO);

/** By the name of a function of `story.js`. @param {string} name @param {unknown} [about] */
export function tellStory(name, about) {
  const told = lazily('story').then((story) => story[name](about));
  told.catch((error) => tell(reasonOf(error)));
}

export const isRunning = () => stage.running !== undefined || stage.isBusy;
export const canPlay = () => isRunning() || areLive() || cable.isOut;

const hasList = () => loop.isFilled || customers.isOff;
export const areLive = () => connection.state === 'live' && loop.state === 'live' && hasList();
