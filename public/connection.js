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
await learn(); // how often heartbeats come: to tell silence from quiet
const url = new URL('/ws', location.href).href;
export const stream = new ChangeStream(url, { heartbeatSeconds: server.heartbeatSeconds, token });

let outage = /** @type {Outage | undefined} */ (undefined);
let isResuming = true;
let awayMs = 0; // how long the lab wants us to stay away
let replay = { from: 0, behind: 0 };
let reset = { why: '', until: 0 };
let previousAt = 0;

/** @param {Listeners} page */
export function listen({ onEntry, onBar, onSnapshotNeeded }) {
  const handlers = /** @type {Record<string, (event: any) => void>} */ ({
    ready({ detail: { lastEventId, behind, client } }) {
      const isFirst = !server.ownName;
      server.ownName = client;
      replay = { from: seqOf(lastEventId), behind };
      if (!isFirst) return ledger.reach(replay.from);
      ledger.restart(replay.from);
      onSnapshotNeeded();
    },
    reset({ detail: { lastEventId, reason } }) {
      const why = `The log moved on without us (${reason}): customers were loaded afresh`;
      reset = { why, until: Date.now() + RESET_SHOWN_MS };
      outage = undefined;
      ledger.restart(seqOf(lastEventId));
      onBar(why, true);
      onSnapshotNeeded();
    },
    message({ data, text, lastEventId }) {
      const at = performance.now();
      const fate = stream.state === 'catching-up' ? 'replayed' : 'live';
      ledger.record(seqOf(lastEventId), fate);
      onEntry({ event: data, text, fate, gapMs: previousAt && at - previousAt });
      previousAt = at;
    },
    heartbeat({ detail: { lastEventId, clients } }) {
      server.clients = clients;
      ledger.reach(seqOf(lastEventId));
    },
    state() {
      if (stream.state === 'waiting' || stream.state === 'refused') leave();
      if (stream.state === 'live' && outage) onBar(...verdict(outage));
    },
  });
  for (const [type, handle] of Object.entries(handlers)) {
    stream.addEventListener(type, (event) => {
      handle(event);
      paintSoon();
    });
  }
  setInterval(paintSoon, 500); // something counts down, or is silent
}

async function learn() {
  const response = await fetch('/healthz').catch(() => undefined);
  if (!response?.ok) return; // the stream will tell
  server.heartbeatSeconds = Number(response.headers.get('Heartbeat-Seconds')) || 15;
  server.isLabOn = (await response.json()).lab === true;
  paintSoon();
}

function leave() {
  const since = wasSilent() ? stream.lastHeardAt : Date.now();
  if (server.ownName) outage ??= { since, repeats: stream.repeats, told: ledger.note() };
  if (!isResuming) stream.lastEventId = undefined; // goes on at the newest: what was missed stays missing
  if (awayMs > 0) stream.retry(awayMs);
  awayMs = 0;
  // A browser does not say why; a 401, asked for over HTTP, brings up the form for the token.
  if (stream.isRefused) api('/api/customers?limit=1').catch(() => {});
}

/** @param {Outage} ended @returns {[text: string, isLoss: boolean]} */
function verdict({ since, repeats, told }) {
  outage = undefined;
  void learn(); // the server may have been started anew, with other settings
  const { replayed, lost } = told();
  const seconds = (Date.now() - since) / 1000;
  const away = `Offline ${seconds < 1 ? seconds.toFixed(1) : count(Math.round(seconds))} s`;
  const again = count(stream.repeats - repeats);
  return [`${away}, ${count(replayed, 'change')} replayed, ${count(lost)} lost, ${again} repeated`, lost > 0];
}

/** The state as people see it: its name, a word for the back row, and why. */
export function view() {
  const { state, tries, nextTryAt, lastHeardAt, closeReason, isRefused, lastEventId = '' } = stream;
  const now = Date.now();
  const seq = seqOf(lastEventId);
  const quiet = now - lastHeardAt;
  const tryIn = `Next try in ${Math.ceil(Math.max(0, (nextTryAt ?? now) - now) / 1000)} s.`;
  const silence = `No heartbeat for ${Math.floor(quiet / 1000)} s, though the socket says open.`;
  if (isOpen() && quiet > server.heartbeatSeconds * 1200 + 1000) return ['silent', 'Silent', silence];
  if (state === 'live' && now < reset.until) return ['reset', `Reset at ${count(seq)}`, `${reset.why}.`];
  if (state === 'live') {
    const after = isResuming ? `everything after ${lastEventId}` : 'nothing that it missed';
    return [state, `Live at ${count(seq)}`, `After a break, this page asks for ${after}.`];
  }
  if (state === 'catching-up')
    return [state, `Catching up: ${count(seq - replay.from)} of ${count(replay.behind)}`, ''];
  if (state === 'refused') return [state, 'Refused', stream.detail ?? REFUSES];
  if (state !== 'waiting') return [state, `Connecting…${tries ? `, try ${tries + 1}` : ''}`, ''];
  if (isRefused) return ['refused', 'Refused', `${REFUSES} ${tryIn}`];
  if (wasSilent()) return ['silent', 'Silent', `${silence} ${tryIn}`];
  return [state, 'Waiting', `${closeReason}. ${tryIn}`];
}

export const isOpen = () => stream.state === 'live' || stream.state === 'catching-up';
const wasSilent = () => stream.closeReason.startsWith('no heartbeat');

/** Ends the connection in one way or another, and stays away for a while. @param {() => void} end */
function goAway(end) {
  if (!isOpen()) return;
  awayMs = AWAY_MS;
  end();
}

export const goodbye = () => goAway(() => stream.disconnect());
export const cut = () => goAway(() => stream.send('{"lab":"cut"}'));

/** For so long that missing heartbeats tell; the server allows a minute. */
export function mute() {
  const seconds = Math.min(60, Math.max(15, 3 * server.heartbeatSeconds));
  stream.send(`{"lab":"mute","seconds":${seconds}}`);
}

/** @param {boolean} isOn */
export function resumeAfterReconnect(isOn) {
  isResuming = isOn;
}
