// What is told above the two clients while one tries things out: by hand, or by *Show me*.
import { reasonOf } from './api.js';
import { cable } from './cable.js';
import { connection } from './connection.js';
import { customers } from './customers.js';
import { count, lazily, paintSoon } from './dom.js';
import { loop } from './loop.js';
import { recall } from './memory.js';

const BEAT_MS = 200;
const PATIENCE_MS = 15_000;
const HELLO = 'Two clients of one server. What does a cut cable do to each? Press “Show\u00a0me”.';
const NOT_YET = 'Two clients of one server. They are not both live yet: below it says why.';
const HELLO_BY_HAND = 'Two clients of one server. Cut the cable, publish a message, and bring it back.';

export const added = { ids: /** @type {number[]} */ (recall('added') ?? []) }; // *Tidy up* takes them away again
let running = /** @type {AbortController | undefined} */ (undefined);
let step = 0;
let caption = HELLO;
let isBusy = false;

/** What is asked for can be done: it is no use to press a button while nobody answers. */
export function captionText() {
  if (caption !== HELLO) return caption;
  if (customers.isOff) return HELLO_BY_HAND;
  return canPlay() ? HELLO : NOT_YET;
}
export const canPlay = () => isRunning() || areLive() || cable.isOut;
export const stepsDone = () => step;
export const isRunning = () => running !== undefined || isBusy;
export const hasAdded = () => added.ids.length > 0;

/** @param {string} text @param {number} [number] of the step */
export function tell(text, number = 0) {
  [caption, step] = [text, number];
  paintSoon();
}

/** Waits at least so long, and until this holds. @param {number} ms @param {() => boolean} holds */
export async function pause(ms, holds = () => true) {
  const began = Date.now();
  // Asked again and again: what it waits for are two connections, and no one event tells of both.
  while (Date.now() - began < ms || !holds()) {
    if (running?.signal.aborted) throw new DOMException('', 'AbortError');
    if (Date.now() - began > PATIENCE_MS) throw new Error('The server does not answer as it should.');
    await new Promise((resolve) => setTimeout(resolve, BEAT_MS));
  }
}

const hasList = () => loop.isFilled || customers.isOff;
export const areLive = () => connection.state === 'live' && loop.state === 'live' && hasList();
export const areEven = () => areLive() && connection.ledger.head === loop.ledger.head;

export const greet = () => tell(HELLO);

let told = () => ''; // what became of the outage that someone made by hand

/** The same by hand: what happens meanwhile is up to whoever looks. */
export function cutBoth() {
  const [left, right] = [connection.ledger.note(), loop.ledger.note()];
  told = () => verdict(left(), right());
  cable.cut();
  const what = customers.isOff ? 'Publish a message' : 'Add a customer';
  tell(`Both cables are cut. ${what}: it is saved, and neither of them knows.`);
}

cable.onBack = async () => {
  const sayIt = told;
  told = () => '';
  if (running || sayIt() === '') return;
  tell('Both come back…');
  await pause(0, areEven).then(() => cable.isOut || tell(sayIt()), greet);
};

/** @param {Told} left @param {Told} right */
export function verdict(left, right) {
  if (left.replayed === 0 && left.lost === 0 && right.lost === 0 && !left.isReset)
    return 'Nothing was saved meanwhile, so there was nothing to miss.';
  const page = left.isReset
    ? 'told of the gap, it loaded everything afresh'
    : `${count(left.replayed, 'change')} replayed, ${count(left.lost)} lost`;
  // Where the log itself is another one, what the loop has missed can't be counted.
  const other = right.isReset ? 'goes on with what it had' : `${count(right.lost, 'change')} lost`;
  return `Left: ${page}. Right: ${other}${right.lost > 0 || right.isReset ? ', and it does not know' : ''}.`;
}

/** Plays it, or stops it: then both clients come back. */
export async function showMe() {
  if (running) return running.abort();
  if (isBusy || !canPlay()) return;
  running = new AbortController();
  await lazily('show-me')
    .then(({ play }) => play())
    .catch((error) => (error.name === 'AbortError' ? greet() : tell(`It stopped. ${reasonOf(error)}`)));
  if (cable.isOut) cable.bringBack();
  running = undefined;
  paintSoon();
}

/** By the name of the function in `people.js`; one at a time. @param {'addSomeone' | 'tidyUp'} name */
export async function act(name) {
  if (isBusy || running) return;
  isBusy = true;
  await lazily('people')
    .then((people) => people[name]())
    .catch((error) => tell(reasonOf(error)));
  isBusy = false;
  paintSoon();
}
