// Stays connected: one connection after another, and in between the time to wait. It knows nothing of events
// and cursors; it only decides when a connection is dead, when the next is due, and when asking again is useless.
import { Silence } from './silence.js';
import { checkToken, openEventStream, openWebSocket } from './wire.js';

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 10_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1; // one that is longer fires at once
// A connection that was live for so long starts the waits anew. Were one frame enough, a server that lets everyone in and
// then falls over would be asked several times a second by all of them.
const STEADY_MS = 10_000;

/** @typedef {import('./types.js').Attempt} Attempt */
/**
 * Whose link it is. `address` may take its time; `mayGoWithoutCursor` is asked when the server calls the
 * question malformed; `change` tells of a new `state`.
 * @typedef {{ address: (attempt: Attempt) => Promise<URL>, hear: (text: string) => void, mayGoWithoutCursor: () => boolean, change: () => void }} Owner
 */

/** The states are those of a user, but for `open`, of which the owner makes `catching-up` and `live`. */
export class Link {
  state = /** @type {'connecting' | 'open' | 'waiting' | 'refused' | 'closed'} */ ('connecting');
  nextTryAt = /** @type {number | null} */ (null);
  tries = 0; // lost connections in a row
  lost = /** @type {import('./wire.js').Refusal | undefined} */ (undefined); // why the last connection ended
  isUnheard = false; // the last connection ended before its first frame

  #owner;
  #options;
  #token = /** @type {string | undefined} */ (undefined); // of a function: kept until it is refused or has expired
  #refusedTokens = 0; // in a row
  #liveAt = /** @type {number | undefined} */ (undefined); // since when this connection is live
  #wire = /** @type {import('./wire.js').Wire | undefined} */ (undefined);
  #attempt = new AbortController(); // what comes from an older one is ignored
  #retryTimer = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
  #silence;
  #end = new AbortController();

  /** @param {Pick<import('./types.js').Options, 'token' | 'heartbeatSeconds' | 'WebSocket'>} options @param {Owner} owner */
  constructor(options, owner) {
    this.#options = { ...options };
    this.#owner = owner;
    this.#silence = new Silence(options.heartbeatSeconds ?? 15, (why) => this.fail(why));
    const { signal } = this.#end;
    globalThis.addEventListener?.('online', () => this.#changeNetwork(), { signal });
    // Timers of a tab in the background, or of a computer that slept, come late: who looks at the page shall not wait.
    for (const type of ['visibilitychange', 'pageshow', 'focus'])
      globalThis.addEventListener?.(type, () => this.#wake(), { signal });
  }

  /** Now, instead of whatever is under way or due. */
  connect() {
    this.leave();
    this.#attempt = new AbortController();
    const { signal } = this.#attempt;
    this.isUnheard = true; // until it is heard
    this.#open(signal).catch((error) => signal.aborted || this.fail(error));
    // Last, since a listener may close the stream; so may `token` and `load`, which were called just now.
    if (!signal.aborted) this.#setState('connecting');
  }

  /** @param {AbortSignal} signal */
  async #open(signal) {
    const { token, WebSocket = globalThis.WebSocket } = this.#options;
    // Both may take long, and be overtaken by a newer try: after each it is asked whether this one still counts.
    const said = this.token ?? (typeof token === 'function' ? await token() : token);
    signal.throwIfAborted();
    checkToken(said);
    this.#token = said;
    const url = await this.#owner.address({ token: said, signal });
    signal.throwIfAborted();
    // The address decides: `ws:` or `/ws` is a WebSocket, all else a stream of server-sent events.
    const isSocket = WebSocket && /^ws|\/ws$/.test(url.protocol + url.pathname);
    this.#silence.listen();
    /** @type {import('./wire.js').Ear} */
    const ear = {
      signal,
      hear: (text) => signal.aborted || this.#hear(text),
      lose: (why) => signal.aborted || this.fail(why),
    };
    this.#wire = (isSocket ? openWebSocket : openEventStream)(url, said, ear, WebSocket);
  }

  /** Lets go of the connection; the state stays. */
  leave() {
    this.#attempt.abort();
    this.#silence.stop();
    clearTimeout(this.#retryTimer);
    this.nextTryAt = null;
    this.#wire?.close();
    this.#wire = undefined;
  }

  /** For good: no timer, no listener and no connection is left behind. */
  close() {
    this.leave();
    this.#end.abort();
    this.#setState('closed');
  }

  /** As if the line had ended: the next connection follows after a wait. */
  disconnect() {
    this.#wire?.close();
  }

  /** @param {string} text */
  send(text) {
    this.#wire?.send(text);
  }

  /** Ends the waiting or the refusal. @param {number} afterMs */
  retry(afterMs) {
    if (this.state === 'refused') this.renewToken();
    else if (this.state !== 'waiting') return;
    else if (afterMs > 0) return this.#tryIn(afterMs);
    this.connect();
  }

  /** The one that was said last; undefined where a function is to be asked. */
  get token() {
    const { token } = this.#options;
    return typeof token === 'function' ? this.#token : token;
  }

  /** A fresh one, or a function that gets one; ends a refusal, and a try with the one before. @param {import('./types.js').Token} token */
  setToken(token) {
    this.#options.token = token;
    this.renewToken();
    if (this.state === 'refused' || this.state === 'connecting') this.connect();
  }

  /** The next connection asks for a fresh one. */
  renewToken() {
    [this.#token, this.#refusedTokens] = [undefined, 0];
  }

  expireToken() {
    this.renewToken();
    this.fail('the token has expired');
  }

  /** The owner has caught up. */
  noteLive() {
    this.#liveAt ??= performance.now();
  }

  /** In milliseconds since 1970, for people. */
  get lastHeardAt() {
    return this.#silence.heardAt;
  }

  /** @param {number} seconds as the server tells */
  expectHeartbeats(seconds) {
    this.#silence.expect(seconds);
  }

  /** @param {any} why it ended, or could not begin: in words, or an Error, perhaps with what the server answered */
  fail(why) {
    // Nothing is under way that could fail: a snapshot whose line broke with the stream's would count, and wait, twice.
    if (this.state !== 'open' && this.state !== 'connecting') return;
    this.leave();
    if (this.#liveAt && performance.now() - this.#liveAt >= STEADY_MS) this.tries = 0;
    this.#liveAt = undefined;
    this.lost = why instanceof Error ? why : new Error(why);
    const { status = 0, retryAfterMs = 0 } = this.lost;
    // What lies between two refusals may have taken as long as a token lives.
    this.#refusedTokens = status === 401 ? this.#refusedTokens + 1 : 0;
    // No wait: the question is another one, so the server was not asked it yet.
    if (this.#mayAskAtOnce(status)) return this.connect();
    if (isFinal(status)) return this.#setState('refused');
    // Full jitter: after a restart the clients come back spread out, not all at once.
    const backoff = Math.random() * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.tries);
    this.tries += 1;
    this.#tryIn(retryAfterMs + backoff);
    this.#setState('waiting');
  }

  /** Once with a fresh token, once without a cursor: what is refused then stays refused. @param {number} status */
  #mayAskAtOnce(status) {
    if (status === 400) return this.#owner.mayGoWithoutCursor();
    if (status !== 401 || typeof this.#options.token !== 'function') return false;
    this.#token = undefined;
    return this.#refusedTokens === 1;
  }

  /** @param {number} wantedMs */
  #tryIn(wantedMs) {
    const ms = Math.min(wantedMs, LONGEST_TIMER_MS);
    clearTimeout(this.#retryTimer);
    this.nextTryAt = Date.now() + ms;
    this.#retryTimer = setTimeout(() => this.connect(), ms);
  }

  /** @param {string} text */
  #hear(text) {
    this.#silence.end();
    [this.isUnheard, this.#refusedTokens] = [false, 0];
    if (this.state === 'connecting') this.state = 'open'; // the owner says more, once it has read the frame
    this.#owner.hear(text);
  }

  /** The old connection went over the old network: nobody would tell us of its end. Node may call a listener that was taken back. */
  #changeNetwork() {
    if (this.state !== 'refused' && this.state !== 'closed') this.connect();
  }

  #wake() {
    if (globalThis.document?.hidden) return;
    if (this.state === 'waiting' || (this.state === 'open' && this.#silence.isOverdue())) this.connect();
  }

  /** @param {Link['state']} state */
  #setState(state) {
    this.state = state;
    this.#owner.change();
  }
}

/** The same question would get the same answer: not so where the server is slow, full, or has forgotten. @param {number} status */
const isFinal = (status) => status >= 400 && status < 500 && ![408, 410, 425, 429].includes(status);
