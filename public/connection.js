// The page's own connection: its states as people see them, what the failure lab does to it, and after
// each outage a verdict. The client library knows nothing of this; it only reports.
import { api, token } from './api.js';
import { ChangeStream } from './changebell.js';
import { count, paintSoon, seqOf } from './dom.js';
import { createLedger } from './ledger.js';

const AWAY_MS = 8000; // a cable that was cut stays cut for so long: time to change something meanwhile
const RESET_SHOWN_MS = 5000;
const REFUSES = "The server refuses: not running, full, or this page's origin isn't allowed.";

/** @typedef {{ onEntry: (entry: Entry) => void, onBar: (text: string, isLoss: boolean) => void, onSnapshotNeeded: () => void }} Listeners */

/** @param {Listeners} listeners */
export function createConnection({ onEntry, onBar, onSnapshotNeeded }) {
  const ledger = createLedger();
  const server = { clients: 0, ownName: '', isLabOn: false, heartbeatSeconds: 15 };
  let stream = /** @type {ChangeStream | undefined} */ (undefined);
  let isResuming = true;
  let awayMs = 0; // how long the lab wants us to stay away
  let replay = { from: 0, behind: 0 };
  let reset = { reason: '', shownUntil: 0 };
  let refusal = '';
  let previousAt = 0;
  /** @type {{ since: number, repeats: number, told: ReturnType<typeof ledger.note> } | undefined} */
  let outage;

  /** Asks first how often heartbeats come: without them, silence could not be told from quiet. */
  async function start() {
    await learn();
    const url = new URL('/ws', location.href).href.replace('http', 'ws');
    const { heartbeatSeconds } = server;
    const opened = new ChangeStream(url, { heartbeatSeconds, ...(token ? { token } : {}) });
    stream = opened;
    const handlers = /** @type {Record<string, (event: any) => void>} */ ({
      ready: ({ detail }) => begin(detail),
      reset: ({ detail }) => startAfresh(detail),
      message: (message) => receive(opened, message),
      heartbeat({ detail }) {
        server.clients = detail.clients;
        ledger.reach(seqOf(detail.lastEventId));
      },
      state() {
        if (opened.state === 'waiting') leave(opened);
        if (opened.state === 'live' && outage) comeBack(opened, outage);
      },
    });
    for (const [type, handle] of Object.entries(handlers)) {
      opened.addEventListener(type, (event) => {
        handle(event);
        paintSoon();
      });
    }
    setInterval(paintSoon, 500); // something counts down, or is silent
  }

  async function learn() {
    try {
      const response = await fetch('/healthz');
      server.heartbeatSeconds = Number(response.headers.get('Heartbeat-Seconds')) || 15;
      server.isLabOn = (await response.json()).lab === true;
    } catch {} // that it does not answer, the stream will tell
    paintSoon();
  }

  /** @param {{ lastEventId: string, behind: number, client: string }} ready */
  function begin({ lastEventId, behind, client }) {
    const isFirst = server.ownName === '';
    server.ownName = client;
    replay = { from: seqOf(lastEventId), behind };
    ledger.reach(replay.from);
    if (!isFirst) return;
    ledger.restart(replay.from);
    onSnapshotNeeded();
  }

  /** @param {{ lastEventId: string, reason: string }} detail */
  function startAfresh({ lastEventId, reason }) {
    reset = { reason, shownUntil: Date.now() + RESET_SHOWN_MS };
    outage = undefined;
    ledger.restart(seqOf(lastEventId));
    onBar(`The log moved on without us (${reason}): customers were loaded afresh`, true);
    onSnapshotNeeded();
  }

  /** @param {ChangeStream} from @param {any} message */
  function receive({ state }, { data, text, lastEventId }) {
    const at = performance.now();
    const fate = state === 'catching-up' ? 'replayed' : 'live';
    ledger.record(seqOf(lastEventId), fate);
    onEntry({ event: data, text, fate, at, gapMs: previousAt && at - previousAt });
    previousAt = at;
  }

  /** @param {ChangeStream} lost */
  function leave(lost) {
    const since = wasSilent(lost) ? lost.lastHeardAt : Date.now();
    if (server.ownName) outage ??= { since, repeats: lost.repeats, told: ledger.note() };
    if (!isResuming) lost.lastEventId = undefined; // goes on at the newest: what was missed stays missing
    if (awayMs > 0) lost.retry(awayMs);
    awayMs = 0;
    refusal = '';
    if (lost.isRefused) void probe();
  }

  /** A browser does not say why, so ask over HTTP. A 401 brings up the form for the token. */
  async function probe() {
    const response = await api('/api/customers?limit=1').catch(() => undefined);
    const found =
      response?.status === 401 ? 'It wants its token.' : 'It answers over HTTP, so it is running.';
    refusal = response ? found : 'Nothing answers: start it with npx tsx server.ts.';
    paintSoon();
  }

  /** @param {ChangeStream} back @param {NonNullable<typeof outage>} ended */
  function comeBack(back, { since, repeats, told }) {
    outage = undefined;
    const { replayed, lost } = told();
    const ms = Date.now() - since;
    const away = ms < 1000 ? (ms / 1000).toFixed(1) : count(Math.round(ms / 1000));
    const again = count(back.repeats - repeats);
    onBar(
      `Offline ${away} s, ${count(replayed, 'change')} replayed, ${count(lost)} lost, ${again} repeated`,
      lost > 0,
    );
    void learn(); // it may have been started anew, with other settings
  }

  /** The state as people see it: its name, a word for the back row, and why. */
  function view() {
    if (!stream) return { state: 'connecting', word: 'Connecting…', why: '' };
    const { state, tries, nextTryAt, lastHeardAt, closeReason, isRefused, lastEventId = '' } = stream;
    const now = Date.now();
    const at = count(seqOf(lastEventId));
    const tryIn = `Next try in ${Math.max(0, Math.ceil(((nextTryAt ?? now) - now) / 1000))} s.`;
    const silence = `No heartbeat for ${Math.floor((now - lastHeardAt) / 1000)} s, though the socket says open.`;
    if (isOpen() && now - lastHeardAt > server.heartbeatSeconds * 1200 + 1000)
      return { state: 'silent', word: 'Silent', why: silence };
    if (state === 'live' && now < reset.shownUntil) {
      const why = `The log moved on without us (${reset.reason}): customers were loaded afresh.`;
      return { state: 'reset', word: `Reset at ${at}`, why };
    }
    if (state === 'live') return { state, word: `Live at ${at}`, why: '' };
    if (state === 'catching-up') {
      const done = seqOf(lastEventId) - replay.from;
      return { state, word: `Catching up: ${count(done)} of ${count(replay.behind)}`, why: '' };
    }
    if (state !== 'waiting')
      return { state, word: `Connecting…${tries > 0 ? `, try ${tries + 1}` : ''}`, why: '' };
    if (isRefused) return { state: 'refused', word: 'Refused', why: `${REFUSES} ${refusal} ${tryIn}` };
    if (wasSilent(stream)) return { state: 'silent', word: 'Silent', why: `${silence} ${tryIn}` };
    return { state, word: 'Waiting', why: `${closeReason}. ${tryIn}` };
  }

  const isOpen = () => stream?.state === 'live' || stream?.state === 'catching-up';

  /** @param {() => void} end */
  function goAway(end) {
    if (!isOpen()) return;
    awayMs = AWAY_MS;
    end();
  }

  return {
    ledger,
    server,
    start,
    view,
    isOpen,
    isAway: () => stream?.state === 'waiting',
    lastEventId: () => stream?.lastEventId ?? '',
    retry: () => stream?.retry(),
    goodbye: () => goAway(() => stream?.disconnect()),
    cut: () => goAway(() => stream?.send('{"lab":"cut"}')),
    mute: () => stream?.send(JSON.stringify({ lab: 'mute', seconds: muteSeconds(server.heartbeatSeconds) })),
    /** @param {boolean} isOn */
    setResuming(isOn) {
      isResuming = isOn;
    },
  };
}

/** @param {ChangeStream} stream */
const wasSilent = ({ closeReason }) => closeReason.startsWith('no heartbeat');

/** So long that missing heartbeats tell; the server allows a minute. @param {number} heartbeatSeconds */
export const muteSeconds = (heartbeatSeconds) => Math.min(60, Math.max(15, 3 * heartbeatSeconds));
