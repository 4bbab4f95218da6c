// What happens on the stage is told while it happens: an outage by hand, or *Show me*. Fetched when first wanted.
import { reasonOf } from './api.js';
import { cable } from './cable.js';
import { areLive, canPlay, greet, stage, tell } from './caption.js';
import { connection } from './connection.js';
import { customers } from './customers.js';
import { count, lazily, paintSoon } from './dom.js';
import { loop } from './loop.js';

/**
 * The two modules that tell a story, with what they need of others. They are handed it, and don't import it: a module
 * that could not be fetched at first has another name here than there.
 */
async function fetchStories() {
  const names = ['show-me', 'people', 'editor'];
  const [showMe, people, { save }] = await Promise.all(names.map((name) => lazily(name)));
  return { showMe, people, story: { pause, areEven, verdict, save } };
}

const BEAT_MS = 200;
const PATIENCE_MS = 15_000; // longer than the longest wait between two tries of the page's client

/** Waits at least so long, and until this holds. @param {number} ms @param {() => boolean} holds */
async function pause(ms, holds = () => true) {
  const began = Date.now();
  // Asked again and again: what it waits for are two connections, and no one event tells of both.
  while (Date.now() - began < ms || !holds()) {
    if (stage.running?.signal.aborted) throw new DOMException('', 'AbortError');
    if (Date.now() - began > PATIENCE_MS) throw new Error('The server does not answer as it should.');
    await new Promise((resolve) => setTimeout(resolve, BEAT_MS));
  }
}

/** Do both stand at one place? */
function areEven() {
  return areLive() && connection.ledger.head === loop.ledger.head;
}

/** By hand: what happens meanwhile is up to whoever looks. */
export function tellCut() {
  if (!cable.isOut) return; // back already, before this was fetched
  const what = customers.isOff ? 'Publish a message' : 'Add a customer';
  tell(`Both cables are cut. ${what}: it is saved, and neither of them knows.`);
}

/** @param {(() => Told)[]} told of either client */
export async function tellBack(told) {
  if (stage.running) return; // *Show me* has words of its own
  tell('Both come back…');
  // Until both stand at one place: what has not come by then never will. Cut anew meanwhile, there is nothing to tell.
  await pause(0, areEven).then(() => cable.isOut || tell(verdict(told)), greet);
}

/** @param {(() => Told)[]} told */
function verdict(told) {
  const [left, right] = /** @type {[Told, Told]} */ (told.map((tellIt) => tellIt()));
  if (left.replayed === 0 && left.lost === 0 && right.lost === 0 && !left.isReset)
    return 'Nothing was saved meanwhile, so there was nothing to miss.';
  const page = left.isReset
    ? 'told of the gap, it began afresh'
    : `${count(left.replayed, 'change')} replayed, ${count(left.lost)} lost`;
  // Where the log itself is another one, what the loop has missed can't be counted.
  const other = right.isReset ? 'goes on with what it had' : `${count(right.lost, 'change')} lost`;
  return `Left: ${page}. Right: ${other}${right.lost > 0 || right.isReset ? ', and it does not know' : ''}.`;
}

/** Plays it, or stops it: then both clients come back. */
export async function showMe() {
  if (stage.running) return stage.running.abort();
  if (stage.isBusy || !canPlay()) return;
  stage.running = new AbortController(); // before the first await: a second press stops it
  await fetchStories()
    .then(({ showMe, people, story }) => showMe.play(people, story))
    .catch((error) => (error.name === 'AbortError' ? greet() : tell(`It stopped. ${reasonOf(error)}`)));
  if (cable.isOut) cable.bringBack(); // stopped, or failed, in the middle: nobody is left cut off
  stage.running = undefined;
  paintSoon();
}

/** What the words and numbers of the page mean. */
export const explain = () => lazily('words').then(({ open }) => open());

/** By the name of the function in `people.js`; one at a time. @param {'addSomeone' | 'tidyUp'} name */
export async function act(name) {
  if (stage.isBusy || stage.running) return;
  stage.isBusy = true;
  await fetchStories()
    .then(({ people, story }) => people[name](story))
    .catch((error) => tell(reasonOf(error)));
  stage.isBusy = false;
  paintSoon();
}
