// The page's own connection: its states as people see them, what the failure lab does to it, and after
// each outage a verdict. The client library knows nothing of this; it only reports.
import { api, token } from './api.js';
import { ChangeStream } from './changebell.js';
import { count, paintSoon, seqOf } from './dom.js';
import { createLedger } from './ledger.js';

const AWAY_MS = 8000; // a cable that was cut stays cut for so long: time to change something meanwhile
const RESET_SHOWN_MS = 5000;
const REFUSES = "The server refuses: not running, full, or this page's origin isn't allowed.";

export const ledger = createLedger();
export const server = { clients: 1, ownName: '', isLabOn: false, heartbeatSeconds: 15 };
let listeners = /** @type {Listeners} */ ({ onEntry() {}, onBar() {}, onSnapshotNeeded() {} });
let stream = /** @type {ChangeStream | undefined} */ (undefined);
let outage = /** @type {Outage | undefined} */ (undefined);
let isResuming = true;
let awayMs = 0; // how long the lab wants us to stay away
let replay = { from: 0, behind: 0 };
let reset = { why: '', until: 0 };
let refusal = '';
let previousAt = 0;

/** Asks first how often heartbeats come, to tell silence from quiet. @param {Listeners} page */
export async function start(page) {
  listeners = page;
  await learn();
  const url = new URL('/ws', location.href).href;
  const opened = new ChangeStream(url, { heartbeatSeconds: server.heartbeatSeconds, token });
  const handlers = { ready, reset: startAfresh, message: receive, heartbeat, state: changeState };
  for (const [type, handle] of Object.entries(handlers)) {
    opened.addEventListener(type, (event) => {
      handle(/** @type {any} */ (event), opened);
      paintSoon();
    });
  }
  stream = opened;
  setInterval(paintSoon, 500); // something counts down, or is silent
}

async function learn() {
  const response = await fetch('/healthz').catch(() => undefined);
  if (!response?.ok) return; // the stream will tell
  server.heartbeatSeconds = Number(response.headers.get('Heartbeat-Seconds')) || 15;
  server.isLabOn = (await response.json()).lab === true;
  paintSoon();
}

/** @param {CustomEvent} event */
function ready({ detail: { lastEventId, behind, client } }) {
  const isFirst = !server.ownName;
  server.ownName = client;
  replay = { from: seqOf(lastEventId), behind };
  if (!isFirst) return ledger.reach(replay.from);
  ledger.restart(replay.from);
  listeners.onSnapshotNeeded();
}

/** @param {CustomEvent} event */
function startAfresh({ detail: { lastEventId, reason } }) {
  const why = `The log moved on without us (${reason}): customers were loaded afresh`;
  reset = { why, until: Date.now() + RESET_SHOWN_MS };
  outage = undefined;
  ledger.restart(seqOf(lastEventId));
  listeners.onBar(why, true);
  listeners.onSnapshotNeeded();
}

/** @param {any} message @param {ChangeStream} stream */
function receive({ data, text, lastEventId }, { state }) {
  const at = performance.now();
  const fate = state === 'catching-up' ? 'replayed' : 'live';
  ledger.record(seqOf(lastEventId), fate);
  listeners.onEntry({ event: data, text, fate, gapMs: previousAt && at - previousAt });
  previousAt = at;
}

/** @param {CustomEvent} event */
function heartbeat({ detail: { lastEventId, clients } }) {
  server.clients = clients;
  ledger.reach(seqOf(lastEventId));
}

/** @param {Event} _ @param {ChangeStream} stream */
function changeState(_, stream) {
  if (stream.state === 'waiting') leave(stream);
  if (stream.state === 'live' && outage) comeBack(stream, outage);
}

/** @param {ChangeStream} stream */
function leave(stream) {
  const since = wasSilent(stream) ? stream.lastHeardAt : Date.now();
  if (server.ownName) outage ??= { since, repeats: stream.repeats, told: ledger.note() };
  if (!isResuming) stream.lastEventId = undefined; // goes on at the newest: what was missed stays missing
  if (awayMs > 0) stream.retry(awayMs);
  awayMs = 0;
  refusal = '';
  if (stream.isRefused) void probe();
}

/** A browser does not say why, so ask over HTTP. A 401 brings up the form for the token. */
async function probe() {
  const response = await api('/api/customers?limit=1').catch(() => undefined);
  refusal = response ? 'It does answer over HTTP.' : 'Nothing answers: start it with npx tsx server.ts.';
  paintSoon();
}

/** @param {ChangeStream} stream @param {Outage} ended */
function comeBack(stream, { since, repeats, told }) {
  outage = undefined;
  const { replayed, lost } = told();
  const seconds = (Date.now() - since) / 1000;
  const away = `Offline ${seconds < 1 ? seconds.toFixed(1) : count(Math.round(seconds))} s`;
  const again = count(stream.repeats - repeats);
  listeners.onBar(
    `${away}, ${count(replayed, 'change')} replayed, ${count(lost)} lost, ${again} repeated`,
    lost > 0,
  );
  void learn(); // it may have been started anew, with other settings
}

/** The state as people see it: its name, a word for the back row, and why. */
export function view() {
  if (!stream) return { state: 'connecting', word: 'Connecting…', why: '' };
  const { state, tries, nextTryAt, lastHeardAt, closeReason, isRefused, lastEventId = '' } = stream;
  const now = Date.now();
  const seq = seqOf(lastEventId);
  const tryIn = `Next try in ${Math.ceil(Math.max(0, (nextTryAt ?? now) - now) / 1000)} s.`;
  const quiet = now - lastHeardAt;
  const silence = `No heartbeat for ${Math.floor(quiet / 1000)} s, though the socket says open.`;
  if (isOpen() && quiet > server.heartbeatSeconds * 1200 + 1000)
    return { state: 'silent', word: 'Silent', why: silence };
  if (state === 'live' && now < reset.until)
    return { state: 'reset', word: `Reset at ${count(seq)}`, why: `${reset.why}.` };
  if (state === 'live') {
    const after = isResuming ? `everything after ${lastEventId}` : 'nothing that it missed';
    return { state, word: `Live at ${count(seq)}`, why: `After a break, this page asks for ${after}.` };
  }
  if (state === 'catching-up') {
    const done = `${count(seq - replay.from)} of ${count(replay.behind)}`;
    return { state, word: `Catching up: ${done}`, why: '' };
  }
  if (state !== 'waiting') return { state, word: `Connecting…${tries ? `, try ${tries + 1}` : ''}`, why: '' };
  if (isRefused) return { state: 'refused', word: 'Refused', why: `${REFUSES} ${refusal} ${tryIn}` };
  if (wasSilent(stream)) return { state: 'silent', word: 'Silent', why: `${silence} ${tryIn}` };
  return { state, word: 'Waiting', why: `${closeReason}. ${tryIn}` };
}

/** @param {(stream: ChangeStream) => void} end */
function goAway(end) {
  if (!stream || !isOpen()) return;
  awayMs = AWAY_MS;
  end(stream);
}

export const isOpen = () => stream?.state === 'live' || stream?.state === 'catching-up';
export const isAway = () => stream?.state === 'waiting';
export const lastEventId = () => stream?.lastEventId ?? '';
export const retry = () => stream?.retry();
export const goodbye = () => goAway((stream) => stream.disconnect());
export const cut = () => goAway((stream) => stream.send('{"lab":"cut"}'));
export const mute = () => stream?.send(`{"lab":"mute","seconds":${muteSeconds()}}`);

/** So long that missing heartbeats tell; the server allows a minute. */
export const muteSeconds = () => Math.min(60, Math.max(15, 3 * server.heartbeatSeconds));

/** @param {boolean} isOn */
export function resumeAfterReconnect(isOn) {
  isResuming = isOn;
}

/** @param {ChangeStream} stream */
const wasSilent = ({ closeReason }) => closeReason.startsWith('no heartbeat');
