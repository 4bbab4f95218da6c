// The page's own client, and the one place of the page that knows `changebell.js`. It stays away when its
// cable is cut, and gives a verdict after each outage.
import { askForToken, auth } from './api.js';
import { ChangeStream } from './changebell.js';
import { count, paintSoon, seqOf } from './dom.js';
import { Ledger } from './ledger.js';
import { learn, noteClients, noteHead, server } from './server.js';

const RESET_SHOWN_MS = 5000;
const AGAIN_MS = 1000; // a client that does not resume comes back after a second, as the loop does

class Connection {
  ledger = new Ledger();
  lastEventId = ''; // to go on from; of the last frame that came
  name = ''; // that the server gave us
  tries = 0; // in a row that did not lead to a frame
  isHeld = false; // away until it is brought back
  closeReason = '';
  refusal = /** @type {{ word: string, why: string } | undefined} */ (undefined);
  reset = { why: '', until: 0 };
  replay = { from: 0, behind: 0 };
  heardAt = Date.now(); // from the start: a page that was just opened is not silent yet
  mutedUntil = 0;
  isResuming = true;
  #stream = /** @type {ChangeStream | undefined} */ (undefined);
  #page = /** @type {Listeners | undefined} */ (undefined);
  #outage = /** @type {Outage | undefined} */ (undefined);
  #previousAt = 0;

  /** @param {Listeners} page @param {string | undefined} cursor from before a reload */
  start(page, cursor) {
    this.#page = page;
    this.#open(cursor);
    setInterval(paintSoon, 500); // something counts down, or is silent
  }

  get state() {
    return this.#stream?.state ?? 'connecting';
  }

  get nextTryAt() {
    return this.#stream?.nextTryAt ?? null;
  }

  isOpen() {
    return this.state === 'live' || this.state === 'catching-up';
  }

  /** Has it heard all that there is? Not while it is away, or hears nothing. */
  isCurrent() {
    return this.state === 'live' && Date.now() >= this.mutedUntil && !this.isSilent();
  }

  /** An open socket is no proof: only heartbeats that come are. */
  isSilent() {
    return this.isOpen() && Date.now() - this.heardAt > server.heartbeatSeconds * 1200 + 1000;
  }

  /** Over a WebSocket that is open, the server pulls the plug; where it has no lab, we hang up. */
  cut() {
    this.#goAway(() => (server.isLabOn ? this.#stream?.send('{"lab":"cut"}') : this.#stream?.disconnect()));
  }

  goodbye() {
    this.#goAway(() => this.#stream?.disconnect());
  }

  /** For so long that missing heartbeats tell; the server allows a minute. */
  mute() {
    const seconds = Math.min(60, Math.max(15, 3 * server.heartbeatSeconds));
    this.#stream?.send(`{"lab":"mute","seconds":${seconds}}`);
    this.mutedUntil = Date.now() + seconds * 1000;
    paintSoon();
  }

  bringBack() {
    if (this.isHeld) this.#open(this.isResuming ? this.lastEventId : undefined);
  }

  /** Now, instead of at the time that it chose. */
  retry() {
    this.#stream?.retry();
  }

  /** Anew, with whatever token there is now. */
  reopen() {
    this.#open(this.lastEventId || undefined);
  }

  /** @param {() => void} end of a connection: how it went is told when it has */
  #goAway(end) {
    [this.isHeld, this.mutedUntil] = [true, 0];
    if (this.isOpen()) end();
    else this.#stream?.close(); // it was only trying: there is no cable to cut
  }

  /** @param {string | undefined} cursor without one it goes on at the newest: what was missed stays missing */
  #open(cursor) {
    this.#stream?.close(); // one that was told to go, and is brought back before it has gone
    const stream = new ChangeStream('/ws', { token: auth.token, lastEventId: cursor });
    this.#stream = stream;
    [this.isHeld, this.mutedUntil, this.heardAt] = [false, 0, Date.now()];
    const handlers = /** @type {Handlers} */ ({
      ready: ({ detail }) => this.#ready(detail),
      reset: ({ detail }) => this.#reset(detail),
      message: (message) => this.#message(message),
      heartbeat: ({ detail }) => this.#heartbeat(detail),
      state: () => this.#changed(),
    });
    for (const [type, handle] of Object.entries(handlers)) {
      stream.addEventListener(type, (event) => {
        if (stream !== this.#stream) return; // an older one that tells of its end
        handle(event);
        paintSoon();
      });
    }
    paintSoon();
  }

  /** A frame came. @param {string} id */
  #heard(id) {
    this.lastEventId = id;
    this.heardAt = Date.now();
    this.refusal = undefined;
    noteHead(id);
  }

  /** @param {{ lastEventId: string, behind: number, client: string }} detail */
  #ready({ lastEventId, behind, client }) {
    this.#heard(lastEventId);
    this.name = client;
    this.replay = { from: seqOf(lastEventId), behind };
    this.mutedUntil = 0; // that was another connection
    if (this.ledger.isStarted) return this.ledger.reach(lastEventId);
    this.ledger.restart(lastEventId);
    this.#page?.onSnapshotNeeded();
  }

  /** @param {{ lastEventId: string, reason: string }} detail */
  #reset({ lastEventId, reason }) {
    const moved = `The log moved on without us (${reason})`;
    this.reset = { why: `${moved}: customers were loaded afresh.`, until: Date.now() + RESET_SHOWN_MS };
    this.replay = { from: seqOf(lastEventId), behind: 0 };
    [this.#outage, server.head] = [undefined, this.replay.from]; // of another history, perhaps
    this.#heard(lastEventId);
    this.ledger.restart(lastEventId);
    this.#page?.onBar(`${moved}.`, true);
    this.#page?.onSnapshotNeeded();
  }

  /** @param {{ data: ChangeEvent, text: string, lastEventId: string }} message */
  #message({ data, text, lastEventId }) {
    const at = performance.now();
    const seq = seqOf(lastEventId);
    // What was saved before we came; the server said how much of it there is.
    const fate = seq <= this.replay.from + this.replay.behind ? 'replayed' : 'live';
    this.#heard(lastEventId);
    this.ledger.record(lastEventId, fate);
    this.#page?.onEntry({ event: data, text, fate, gapMs: this.#previousAt && at - this.#previousAt });
    this.#previousAt = at;
  }

  /** @param {{ lastEventId: string, clients: number }} detail */
  #heartbeat({ lastEventId, clients }) {
    this.#heard(lastEventId);
    this.ledger.reach(lastEventId);
    noteClients(clients);
  }

  #changed() {
    if (this.state === 'waiting' || this.state === 'refused') this.#left();
    if (this.state !== 'live') return;
    this.tries = 0;
    if (this.#outage) this.#page?.onBar(...this.#verdict(this.#outage));
  }

  #left() {
    this.tries += 1;
    server.countedAt = 0; // a count from before is not one of now
    this.closeReason = this.#stream?.closeReason ?? '';
    const since = this.wasSilent() ? this.heardAt : Date.now(); // a silent line was dead from its last word on
    // One outage, however many tries fail in it.
    if (this.ledger.isStarted) this.#outage ??= { since, told: this.ledger.note() };
    if (this.isHeld) return this.#stream?.close();
    if (!this.isResuming) {
      this.isHeld = true;
      this.#stream?.close();
      setTimeout(() => this.bringBack(), AGAIN_MS);
    }
    this.refusal = this.#stream?.isRefused ? this.#whyRefused(this.#stream) : undefined;
  }

  /** It was not even let in. The library asked over HTTP for the reason. @param {ChangeStream} stream */
  #whyRefused({ status, detail, closeReason }) {
    // The library's words: where nothing answers there is no status to go by.
    if (closeReason.includes('did not answer'))
      return { word: 'Nobody answers', why: `No answer comes from ${location.host}.` };
    if (status === 401) void askForToken();
    const why = detail ?? `It seems that ${closeReason}.`; // a proxy, perhaps, that passes no WebSockets
    return { word: 'Refused', why: status === 401 ? 'The server wants its token.' : why };
  }

  wasSilent() {
    return this.closeReason.startsWith('no heartbeat');
  }

  /** @param {Outage} ended @returns {[text: string, isLoss: boolean]} */
  #verdict({ since, told }) {
    this.#outage = undefined;
    void learn(); // the server may have been started anew, with other settings
    const { replayed, lost } = told();
    const seconds = (Date.now() - since) / 1000;
    const away = `Offline ${seconds < 1 ? seconds.toFixed(1) : count(Math.round(seconds))} s`;
    return [`${away}, ${count(replayed, 'change')} replayed, ${count(lost)} lost`, lost > 0];
  }
}

export const connection = new Connection();
