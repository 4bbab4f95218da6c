// A cursor that moves with the work: events come one after another, each waits until the one before it is
// done, and `lastEventId` is always that of the last one done. Whatever breaks, the stream goes on from there;
// and where the server can't, a fresh snapshot is loaded first, and what came meanwhile follows it.

import { eventsOf } from './events-of.js';
import { Inbox } from './inbox.js';
import { Link } from './link.js';
import { LinkedTarget } from './linked-target.js';
import { seqOf, Waiters } from './waiters.js';

/**
 * A stream of changes that survives its connections. Dispatches `message` once for each event; `ready`, `reset`,
 * `heartbeat` and `expired`, with what the server said in `detail`; and `state`. A listener may be async. Or:
 * `for await (const event of stream)`, where an event is done when the loop asks for the next.
 * @extends {LinkedTarget<import('./types.js').StreamEvents>}
 */
export class ChangeStream extends LinkedTarget {
  state = /** @type {import('./types.js').State} */ ('connecting');
  repeats = 0; // events that came again, and were dropped

  #url;
  #options;
  #link;
  #lastEventId = /** @type {string | undefined} */ (undefined); // of what is done
  #received = /** @type {string | undefined} */ (undefined); // of what has come: the next connection goes on there
  #storedSeq = 0; // of the newest event on this connection: the server's own frames may carry the same id
  #caughtUpAt = 0; // the seq at which we are live
  #inbox = new Inbox((frame) => this.#process(frame));
  #isPaused = false; // the inbox was full, and we have let go of the connection until it is empty
  #loading = /** @type {AbortController | undefined} */ (undefined); // a snapshot, after a reset
  #isDoubted = false; // our cursor was perhaps never an id: we ask without it
  #unheard = /** @type {string | undefined} */ (undefined); // where the events began that nobody listened to
  #waiters = new Waiters();

  /** @param {string | URL} url `ws://host/ws` or `http://host/api/events` @param {import('./types.js').Options} options */
  constructor(url, options = {}) {
    const link = new Link(options, {
      address: (attempt) => this.#address(attempt),
      hear: (text) => this.#hear(text),
      mayGoWithoutCursor: () => this.#doubtCursor(),
      change: () => this.#showState(),
    });
    super(link);
    this.#link = link;
    this.#url = new URL(url, globalThis.location?.href);
    this.#options = options;
    this.lastEventId = options.lastEventId;
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

  /** Ends the stream for good. What is in work may still be finished, and then counts. */
  close() {
    this.#inbox.empty();
    this.#loading?.abort();
    this.#link.close();
    this.#waiters.rejectAll();
  }

  /**
   * Resolves when everything up to this position is processed: the `Last-Event-ID` of a write's answer, from
   * whichever server. After a reset the new snapshot holds it, or it is gone.
   * @param {string} id
   * @returns {Promise<void>}
   */
  reached(id) {
    const passed = this.#waiters.add(id);
    if (this.state === 'closed') this.#waiters.rejectAll();
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
    const waiting = this.#waiters.all(); // these positions were written before the snapshot is read
    const id = await load(attempt);
    attempt.signal.throwIfAborted();
    if (typeof id !== 'string') throw new TypeError('load() must return the lastEventId of its snapshot');
    this.#waiters.resolve(waiting);
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
    if (event.type === 'stream.expired') this.#link.expireToken();
    if (!this.#inbox.isFull()) return;
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
    this.#loading = undefined;
    this.#inbox.clear();
  }

  // --- the work, one frame after another

  /** @param {import('./inbox.js').Frame} frame */
  #process(frame) {
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

  /** @param {import('./inbox.js').Frame} frame */
  #finish(frame) {
    if (frame !== this.#inbox.current) return; // the stream goes on from elsewhere
    this.#inbox.current = undefined;
    this.#lastEventId = frame.id;
    if (this.state === 'closed') return;
    this.#showState();
    if (frame.event.type === 'stream.reset') this.#waiters.resolve(this.#waiters.all());
    this.#answerWaiters();
    this.#inbox.work();
    if (!this.#isPaused || !this.#inbox.isIdle()) return;
    this.#isPaused = false;
    if (this.#link.state === 'open') this.#link.connect();
  }

  /** What came meanwhile waits in the inbox. @param {import('./types.js').Load} load @param {import('./inbox.js').Frame} reset */
  async #reload(load, reset) {
    if (reset !== this.#inbox.current || this.state === 'closed') return;
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

  /** The snapshot holds everything up to this id. If that isn't here, the server shall find it in its log. @param {string} id @param {import('./inbox.js').Frame} reset */
  #skipTo(id, reset) {
    if (this.#inbox.skipTo(id)) this.#finish(reset);
    else this.#goOnFrom(id);
  }

  /** @param {string} id */
  #goOnFrom(id) {
    this.lastEventId = id;
    this.#unheard = undefined;
    if (this.#link.state === 'open' || this.#link.state === 'connecting') this.#link.connect();
  }

  // --- what others want to know

  /** Seqs are compared only while the server goes on with our own history. */
  #answerWaiters() {
    const isOpen = this.state === 'live' || this.state === 'catching-up';
    if (isOpen && !this.#loading) this.#waiters.pass(seqOf(this.#lastEventId));
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
