// What is told above the two clients while one tries things out: by hand, or by *Show me*.
import { api } from './api.js';
import { cable } from './cable.js';
import { connection } from './connection.js';
import { customers } from './customers.js';
import { count, paintSoon } from './dom.js';
import { loop } from './loop.js';
import { recall, remember } from './memory.js';

const BEAT_MS = 200;
const PATIENCE_MS = 15_000;
const PEOPLE = [
  'Ada Lovelace',
  'Grace Hopper',
  'Edsger Dijkstra',
  'Barbara Liskov',
  'Alan Turing',
  'Joan Clarke',
];
const HELLO = 'Two clients of one server. Whose cable may be cut without harm? Press “Show me”.';
const HELLO_BY_HAND = 'Two clients of one server. Cut the cable, publish a message, and bring it back.';

let added = /** @type {number[]} */ (recall('added') ?? []); // customers that *Tidy up* takes away again
let running = /** @type {AbortController | undefined} */ (undefined);
let step = 0;
let caption = HELLO;
let isBusy = false;

export const captionText = () => (caption === HELLO && customers.isOff ? HELLO_BY_HAND : caption);
export const stepsDone = () => step;
export const isRunning = () => running !== undefined || isBusy;
export const hasAdded = () => added.length > 0;

/** @param {string} text @param {number} [number] of the step */
export function tell(text, number = 0) {
  [caption, step] = [text, number];
  paintSoon();
}

/** @param {string} name @returns {Promise<number>} its id */
export async function addPerson(name) {
  const response = await api('/api/customers', 'POST', { name });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  added.push(answer.id);
  remember('added', added);
  return answer.id;
}

/** Waits at least so long, and until this holds. @param {number} ms @param {() => boolean} holds */
export async function pause(ms, holds = () => true) {
  const began = Date.now();
  while (Date.now() - began < ms || !holds()) {
    if (running?.signal.aborted) throw new DOMException('', 'AbortError');
    if (Date.now() - began > PATIENCE_MS) throw new Error('The server does not answer as it should.');
    await new Promise((resolve) => setTimeout(resolve, BEAT_MS));
  }
}

const hasList = () => loop.isFilled || customers.isOff;
export const areLive = () => connection.state === 'live' && loop.state === 'live' && hasList();
export const areEven = () => areLive() && connection.ledger.head === loop.ledger.head;

let told = () => ''; // what became of the outage that someone made by hand

/** The same by hand: what happens meanwhile is up to whoever looks. */
export function cutBoth() {
  const [left, right] = [connection.ledger.note(), loop.ledger.note()];
  told = () => verdict(left(), right());
  cable.cut();
  const what = customers.isOff ? 'Publish a message' : 'Add a customer';
  tell(`Both cables are cut. ${what} now: it is saved, and neither of them knows.`);
}

cable.onBack = async () => {
  const sayIt = told;
  told = () => '';
  if (running || sayIt() === '') return;
  tell('Both come back…');
  await pause(0, areEven).then(
    () => cable.isOut || tell(sayIt()),
    () => tell(HELLO),
  );
};

/** @param {Told} left @param {Told} right */
export function verdict(left, right) {
  if (left.replayed === 0 && left.lost === 0 && right.lost === 0 && !left.isReset)
    return 'Nothing was saved meanwhile, so there was nothing to miss.';
  const page = left.isReset
    ? 'was told that it was away for too long, and loaded everything afresh'
    : `${count(left.replayed, 'change')} replayed, ${count(left.lost)} lost`;
  return `Left: ${page}. Right: ${count(right.lost, 'change')} lost${right.lost > 0 ? ', and nobody told it' : ''}.`;
}

/** Plays it, or stops it: then both clients come back. */
export async function showMe() {
  if (running) return running.abort();
  if (isBusy) return;
  running = new AbortController();
  await import('./show-me.js')
    .then(({ play }) => play())
    .catch((error) => tell(error.name === 'AbortError' ? HELLO : `It stopped: ${error.message}`));
  if (cable.isOut) cable.bringBack();
  running = undefined;
  paintSoon();
}

/** Of those who are not there yet, so that names don't repeat until all are. */
export async function addSomeone() {
  const names = new Set([...customers.roster.rows.values()].map(({ name }) => name));
  const name = PEOPLE.find((person) => !names.has(person)) ?? `Customer ${added.length + 1}`;
  const where =
    connection.state === 'live'
      ? 'Who is connected hears of it.'
      : 'It is saved; who is cut off does not know.';
  await whileBusy(async () => {
    await addPerson(name);
    tell(`${name} is added. ${where}`);
  });
}

/** What the stage added goes; the loop begins anew, since it can't know that its list was wrong. */
export async function tidyUp() {
  await whileBusy(async () => {
    for (const id of [...added]) {
      const { status } = await api(`/api/customers/${id}`, 'DELETE');
      if (status === 204 || status === 404) added = added.filter((other) => other !== id);
      remember('added', added);
    }
    if (cable.isOut) cable.bringBack();
    await pause(0, areEven);
    loop.startAfresh();
    tell(HELLO);
  });
}

/** One at a time. @param {() => Promise<void>} work */
async function whileBusy(work) {
  if (isBusy || running) return;
  isBusy = true;
  await work().catch((error) => tell(error.message));
  isBusy = false;
  paintSoon();
}
