// A cursor that moves with the work: events come one after another, each waits until the one before it is
// done, and `lastEventId` is always that of the last one done. Whatever breaks, the stream goes on from there;
// and where the server can't, a fresh snapshot is loaded first, and what came meanwhile follows it.

import { eventsOf } from './events-of.js';
import { Link } from './link.js';
import { WaitingTarget } from './waiting-target.js';

const MAX_HELD = 8_000_000; // characters that wait for their turn; with more, the rest is left in the log for a while

/**
 * A stream of changes that survives its connections. Dispatches `message` once for each event; `ready`, `reset`,
 * `heartbeat` and `expired`, with what the server said in `detail`; and `state`. A listener may be async. Or:
 * `for await (const event of stream)`, where an event is done when the loop asks for the next.
 * @extends {WaitingTarget<import('./types.js').StreamEvents>}
 */
export class ChangeStream extends WaitingTarget {
  state = /** @type {import('./types.js').State} */ ('connecting');
  repeats = 0; // events that came again, and were dropped

  #url;
  #options;
  #link;
  #lastEventId = /** @type {string | undefined} */ (undefined); // of what is done
  #received = /** @type {string | undefined} */ (undefined); // of what has come: the next connection goes on there
  #storedSeq = 0; // of the newest event on this connection: the server's own frames may carry the same id
  #caughtUpAt = 0; // the seq at which we are live
  #inbox = /** @type {Frame[]} */ ([]); // waits for its turn
  #heldLength = 0; // of the inbox, in characters
  #current = /** @type {Frame | undefined} */ (undefined); // in work; what is done with any other is stale
  #isWorking = false;
  #isPaused = false; // the inbox was full, and we have let go of the connection until it is empty
  #loading = /** @type {AbortController | undefined} */ (undefined); // a snapshot, after a reset
  #isDoubted = false; // our cursor was perhaps never an id: we ask without it
  #unheard = /** @type {string | undefined} */ (undefined); // where the events began that nobody listened to
  #waiters = /** @type {Waiter[]} */ ([]);

  /** @param {string | URL} url `ws://host/ws` or `http://host/api/events` @param {import('./types.js').Options} options */
  constructor(url, options = {}) {
    super();
    this.#url = new URL(url, globalThis.location?.href);
    this.#options = { ...options };
    this.lastEventId = options.lastEventId;
    this.#link = new Link(this.#options, {
      address: (attempt) => this.#address(attempt),
      hear: (text) => this.#hear(text),
      mayGoWithoutCursor: () => this.#doubtCursor(),
      change: () => this.#showState(),
    });
    this.#link.connect();
  }

  /** Of the last event that was processed: to store, and to go on from. If you set it, the next connection goes on there. */
  get lastEventId() {
    return this.#lastEventId;
  }

  set lastEventId(id) {
    [this.#lastEventId, this.#received] = [id, id];
    this.#forget();
  }

  /** When the next try is due, in milliseconds since 1970, while it is `waiting`; else null. */
  get nextTryAt() {
    return this.#link.nextTryAt;
  }

  /** Connections in a row that were lost before they had been live for 10 s. */
  get tries() {
    return this.#link.tries;
  }

  /** Why the last connection ended, in words. */
  get closeReason() {
    return this.#link.lost?.message ?? '';
  }

  /** Of the server's answer, where it refused the last connection. */
  get status() {
    return this.#link.lost?.status;
  }

  /** What the server said when it refused. */
  get detail() {
    return this.#link.lost?.detail;
  }

  /** Did the last connection end before its first frame? */
  get isRefused() {
    return this.#link.isUnheard;
  }

  /** When the last frame came, in milliseconds since 1970. */
  get lastHeardAt() {
    return this.#link.lastHeardAt;
  }

  /** A fresh one, or a function that gets one; ends a refusal. @param {import('./types.js').Token} token */
  set token(token) {
    this.#options.token = token;
    this.#link.renewToken();
    if (this.state === 'refused') this.retry();
  }

  /** When it is waiting or refused: tries now, or after so many milliseconds instead of those it chose. */
  retry(afterMs = 0) {
    this.#link.retry(afterMs);
  }

  /** Says goodbye to this connection; the stream goes on with the next. */
  disconnect() {
    this.#link.disconnect();
  }

  /** Over a WebSocket that is open. @param {string} text */
  send(text) {
    this.#link.send(text);
  }

  /** Ends the stream for good. What is in work may still be finished, and then counts. */
  close() {
    [this.#inbox, this.#heldLength] = [[], 0];
    this.#loading?.abort();
    this.#link.close();
    for (const { reject } of this.#waiters.splice(0)) reject(new Error('the stream was closed'));
  }

  /**
   * Resolves when everything up to this position is processed: the `Last-Event-ID` of a write's answer, from
   * whichever server. After a reset the new snapshot holds it, or it is gone.
   * @param {string} id
   * @returns {Promise<void>}
   */
  reached(id) {
    const passed = new Promise((/** @type {(value: void) => void} */ resolve, reject) => {
      if (Number.isNaN(seqOf(id))) return reject(new TypeError(`reached() wants an id, not ${id}`));
      if (this.state === 'closed') return reject(new Error('the stream was closed'));
      this.#waiters.push({ id, resolve, reject });
    });
    passed.catch(() => {}); // who doesn't wait for it any more need not be told
    this.#answerWaiters();
    return passed;
  }

  /** To leave the loop closes the stream. What came before it began, and nobody listened to, comes again. */
  [Symbol.asyncIterator]() {
    return eventsOf(this, () => {
      if (this.wasListenedTo('message') || this.#unheard === undefined || this.state === 'closed') return;
      this.#goOnFrom(this.#unheard);
    });
  }

  // --- a connection begins

  /** With the snapshot first, where there is nothing to go on from. @param {import('./types.js').Attempt} attempt */
  async #address(attempt) {
    const { load, types, sources, conflate, from } = this.#options;
    const isFirst = this.#received === undefined;
    if (load && (this.#isDoubted || (isFirst && !from))) this.lastEventId = await this.#load(load, attempt);
    const lastEventId = this.#isDoubted && !load ? undefined : this.#received;
    const query = { lastEventId, from: isFirst && !lastEventId && from, types, sources, conflate };
    const url = new URL(this.#url);
    for (const [name, value] of Object.entries(query))
      if (`${value || ''}`) url.searchParams.set(name, `${value}`);
    return url;
  }

  /** Something in the question is malformed: if it is the cursor, it works without. */
  #doubtCursor() {
    const isNew = this.#received !== undefined && !this.#isDoubted;
    this.#isDoubted ||= isNew;
    return isNew;
  }

  /** @param {import('./types.js').Load} load @param {import('./types.js').Attempt} attempt */
  async #load(load, attempt) {
    const waiting = [...this.#waiters]; // these positions were written before the snapshot is read
    const id = await load(attempt);
    attempt.signal.throwIfAborted();
    if (typeof id !== 'string') throw new TypeError('load() must return the lastEventId of its snapshot');
    this.#answerWaiters(waiting);
    return id;
  }

  // --- a frame comes

  /** @param {string} text */
  #hear(text) {
    const event = parse(text);
    if (!event) return this.#link.fail(new Error('what came is no event'));
    const seq = seqOf(event.id);
    const isStored = !event.type.startsWith('stream.');
    if (isStored && seq <= this.#storedSeq) return void this.repeats++;
    if (isStored) this.#storedSeq = seq;
    if (event.type === 'stream.ready') this.#begin(event, seq);
    if (event.type === 'stream.reset') this.#beginAnew(seq);
    this.#received = event.id;
    this.#inbox.push({ event, text, id: event.id });
    this.#heldLength += text.length;
    this.#work();
    if (event.type === 'stream.expired') this.#link.expireToken();
    if (this.#heldLength <= MAX_HELD) return;
    this.#isPaused = true;
    this.#link.leave();
  }

  /** What was asked for comes: nothing up to there is new. @param {import('./types.js').ChangeEvent} ready @param {number} seq */
  #begin(ready, seq) {
    const { behind = 0, heartbeatSeconds } = ready.data;
    if (heartbeatSeconds) this.#link.expectHeartbeats(heartbeatSeconds);
    if (this.#isDoubted && !this.#options.load) {
      Object.assign(ready, { type: 'stream.reset', data: { reason: 'no-id' } });
      return this.#beginAnew(seq);
    }
    this.#isDoubted = false;
    this.#storedSeq = Math.max(seq, this.#received === undefined ? 0 : seqOf(this.#received));
    this.#caughtUpAt = seq + behind;
  }

  /** Perhaps in another history, and a shorter one. @param {number} seq */
  #beginAnew(seq) {
    [this.#storedSeq, this.#caughtUpAt, this.#isDoubted] = [seq, seq, false];
    if (this.#loading) this.#forget(); // that snapshot, and what was to follow it
  }

  /** What waits, what is in work, and what is being loaded. */
  #forget() {
    this.#loading?.abort();
    [this.#inbox, this.#heldLength, this.#current, this.#loading] = [[], 0, undefined, undefined];
  }

  // --- the work, one frame after another

  #work() {
    if (this.#isWorking) return;
    this.#isWorking = true;
    while (!this.#current && this.#inbox.length > 0)
      this.#process(/** @type {Frame} */ (this.#inbox.shift()));
    this.#isWorking = false;
    if (!this.#isPaused || this.#current) return;
    this.#isPaused = false;
    if (this.#link.state === 'open') this.#link.connect();
  }

  /** @param {Frame} frame */
  #process(frame) {
    this.#current = frame;
    this.#heldLength -= frame.text.length;
    const { event, text, id } = frame;
    const name = /^stream\.(.*)/.exec(event.type)?.[1];
    if (name === 'reset') this.#unheard = undefined;
    if (!name && !this.wasListenedTo('message')) this.#unheard ??= this.#lastEventId;
    const told = name
      ? new CustomEvent(name, { detail: { ...event.data, lastEventId: id } })
      : new MessageEvent('message', { data: event, lastEventId: id });
    const { load } = this.#options;
    const done = () => (name === 'reset' && load ? this.#reload(load, frame) : this.#finish(frame));
    this.dispatchAndWait(Object.assign(told, { text }), done);
  }

  /** @param {Frame} frame */
  #finish(frame) {
    if (frame !== this.#current) return; // the stream goes on from elsewhere
    this.#current = undefined;
    this.#lastEventId = frame.id;
    if (this.state === 'closed') return;
    this.#showState();
    this.#answerWaiters(frame.event.type === 'stream.reset' ? [...this.#waiters] : []);
    this.#work();
  }

  /** What came meanwhile waits in the inbox. @param {import('./types.js').Load} load @param {Frame} reset */
  async #reload(load, reset) {
    if (reset !== this.#current || this.state === 'closed') return;
    const loading = new AbortController();
    this.#loading = loading;
    this.#showState();
    try {
      const id = await this.#load(load, { token: this.#link.token, signal: loading.signal });
      this.#loading = undefined;
      this.#skipTo(id, reset);
    } catch (error) {
      if (loading.signal.aborted) return;
      this.lastEventId = undefined; // the next connection begins with a snapshot
      this.#link.fail(error);
    }
  }

  /** The snapshot holds everything up to this id. If that isn't here, the server shall find it in its log. @param {string} id @param {Frame} reset */
  #skipTo(id, reset) {
    const index = [reset, ...this.#inbox].findLastIndex((frame) => frame.id === id);
    if (index < 0) return this.#goOnFrom(id);
    for (const { text } of this.#inbox.splice(0, index)) this.#heldLength -= text.length;
    reset.id = id;
    this.#finish(reset);
  }

  /** @param {string} id */
  #goOnFrom(id) {
    this.lastEventId = id;
    this.#unheard = undefined;
    if (this.#link.state === 'open' || this.#link.state === 'connecting') this.#link.connect();
  }

  // --- what others want to know

  /** Seqs are compared only while the server goes on with our own history. @param {Waiter[]} passed */
  #answerWaiters(passed = []) {
    const isOpen = this.state === 'live' || this.state === 'catching-up';
    const seq = isOpen && !this.#loading ? seqOf(this.#lastEventId) : -1;
    const isPassed = (/** @type {Waiter} */ waiter) => passed.includes(waiter) || seqOf(waiter.id) <= seq;
    const done = this.#waiters.filter(isPassed);
    this.#waiters = this.#waiters.filter((waiter) => !done.includes(waiter));
    for (const { resolve } of done) resolve();
  }

  #showState() {
    const isLive = !this.#loading && seqOf(this.#lastEventId) >= this.#caughtUpAt;
    const { state } = this.#link;
    const shown = state !== 'open' ? state : isLive ? 'live' : 'catching-up';
    if (shown === 'live') this.#link.noteLive();
    if (shown === this.state) return;
    this.state = shown;
    this.dispatchEvent(new Event('state'));
  }
}

/** A frame must be a CloudEvent with an id. @param {string} text @returns {import('./types.js').ChangeEvent | undefined} */
function parse(text) {
  try {
    const event = JSON.parse(text);
    return typeof event.id === 'string' && typeof event.type === 'string' ? event : undefined;
  } catch {
    return undefined;
  }
}

/** The position in an id. @param {string | undefined} id */
const seqOf = (id) => Number(/-(\d+)$/.exec(id ?? '')?.[1] ?? Number.NaN);

/** @typedef {{ event: import('./types.js').ChangeEvent, text: string, id: string }} Frame `id`: where the stream stands when it is done */
/** @typedef {{ id: string, resolve: () => void, reject: (error: Error) => void }} Waiter */
