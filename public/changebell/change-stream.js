// A cursor that moves with the work: events come one after another, each waits until the one before it is
// done, and `lastEventId` is always that of the last one done. Whatever breaks, the stream goes on from there;
// and where the server can't, a fresh snapshot is loaded first, and what came meanwhile follows it.
import { eventsOf } from './events-of.js';
import { Inbox, parse, toEvent } from './inbox.js';
import { Link } from './link.js';
import { LinkedTarget } from './linked-target.js';
import { Snapshots } from './snapshots.js';
import { seqOf, Waiters } from './waiters.js';
import { parseAddress, withQuery } from './wire.js';

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
  #isDoubted = false; // our cursor was perhaps never an id: we ask without it
  #unheard = /** @type {string | undefined} */ (undefined); // where the events began that nobody listened to
  #checked = /** @type {string | undefined} */ (undefined); // the token that may see what we have loaded
  #waiters = new Waiters();
  #snapshots;

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
    this.#url = parseAddress(url);
    this.#options = options;
    this.#snapshots = new Snapshots(options.load, this.#waiters);
    this.lastEventId = /** @type {string | undefined} */ (options.lastEventId);
    link.connect();
  }

  /** Of the last event that was processed: to store, and to go on from. If you set it, the next connection goes on there. */
  get lastEventId() {
    return this.#lastEventId;
  }

  set lastEventId(id) {
    this.#lastEventId = this.#received = id || undefined; // a store that is empty gives `null`, or an empty text
    this.#forget();
  }

  /** Ends the stream for good. What is in work may still be finished, and then counts. */
  close() {
    this.#inbox.empty();
    this.#snapshots.abort();
    this.#link.close();
    this.#waiters.close();
  }

  /**
   * Resolves when everything up to this position is processed: the `Last-Event-ID` of a write's answer, from
   * whichever server. After a reset the new snapshot holds it, or it is gone. Of an id that a restored backup took away
   * before it was asked for, nobody here can know that: it resolves early, or not until as many events were written
   * anew. Who must know asks the server: `GET /api/events?lastEventId=` is 410 then.
   * @param {string} id
   * @returns {Promise<void>}
   */
  reached(id) {
    const passed = this.#waiters.add(id);
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
    const { load, check, types, sources, conflate, from } = this.#options;
    const isFirst = this.#received === undefined;
    if (load && (this.#isDoubted || (isFirst && !from)))
      this.lastEventId = await this.#snapshots.load(attempt);
    else if (attempt.token !== this.#checked) await check?.(attempt);
    this.#checked = attempt.token;
    const lastEventId = this.#isDoubted && !load ? undefined : this.#received;
    const query = { lastEventId, from: isFirst && !lastEventId && from, types, sources, conflate };
    return withQuery(this.#url, query);
  }

  /** Something in the question is malformed: if it is the cursor, it works without. */
  #doubtCursor() {
    if (this.#received === undefined || this.#isDoubted) return false;
    this.#isDoubted = true;
    return true;
  }

  // --- a frame comes
  /** @param {string} text */
  #hear(text) {
    const event = parse(text);
    if (!event) return this.#link.fail('what came is no event');
    const frame = { event, text, id: event.id, name: /^stream\.(.*)/.exec(event.type)?.[1] };
    const seq = seqOf(event.id);
    if (!frame.name && seq <= this.#storedSeq) return void this.repeats++;
    if (!frame.name) this.#storedSeq = seq;
    if (frame.name === 'ready') this.#begin(frame, seq);
    if (frame.name === 'reset') this.#beginAnew(seq);
    this.#received = event.id;
    this.#inbox.push(frame);
    if (frame.name === 'expired') this.#link.expireToken();
    // What we have no room for stays in the log, and the next connection goes on there.
    if (!this.#inbox.isFull()) return;
    this.#isPaused = true;
    this.#link.leave();
  }

  /** What was asked for comes: nothing up to there is new. Without the cursor that we had, it is as a reset is. @param {import('./inbox.js').Frame} ready @param {number} seq */
  #begin(ready, seq) {
    const { behind = 0, heartbeatSeconds } = ready.event.data;
    if (heartbeatSeconds) this.#link.expectHeartbeats(heartbeatSeconds);
    if (this.#isDoubted && !this.#options.load)
      [ready.name, ready.event.data] = ['reset', { reason: 'no-id' }];
    this.#storedSeq = Math.max(seq, seqOf(this.#received) || 0);
    [this.#isDoubted, this.#caughtUpAt] = [false, seq + behind];
  }

  /** Perhaps in another history, and a shorter one. @param {number} seq */
  #beginAnew(seq) {
    [this.#storedSeq, this.#caughtUpAt, this.#isDoubted] = [seq, seq, false];
    if (this.#snapshots.isLoading) this.#forget(); // that snapshot, and what was to follow it
  }

  /** What waits, what is in work, and what is being loaded. */
  #forget() {
    this.#snapshots.abort();
    this.#inbox.clear();
  }

  /** @param {import('./inbox.js').Frame} frame */
  #process(frame) {
    const { name, event } = frame;
    // What they wait for is in the snapshot that is read next, or is gone with the history that it was in.
    if (name === 'reset') [this.#unheard, frame.waiting] = [undefined, this.#waiters.all()];
    if (!name && !this.wasListenedTo('message')) this.#unheard ??= this.#lastEventId;
    const { load, loadsAfter } = this.#options;
    const isReload = load && (name === 'reset' || loadsAfter?.(event));
    this.dispatchAndWait(toEvent(frame), () => (isReload ? this.#reload(frame) : this.#finish(frame)));
  }

  /** @param {import('./inbox.js').Frame} frame */
  #finish(frame) {
    if (frame !== this.#inbox.current) return; // the stream goes on from elsewhere
    this.#inbox.current = undefined;
    this.#lastEventId = frame.id;
    if (this.state === 'closed') return;
    this.#showState();
    if (frame.waiting) this.#waiters.resolve(frame.waiting);
    this.#answerWaiters();
    this.#inbox.work();
    if (!this.#isPaused || !this.#inbox.isIdle()) return;
    this.#isPaused = false;
    if (this.#link.state === 'open') this.#link.connect();
  }

  /** What came meanwhile waits in the inbox. @param {import('./inbox.js').Frame} reset */
  async #reload(reset) {
    if (reset !== this.#inbox.current || this.state === 'closed') return;
    const loaded = this.#snapshots.reload(this.#link.token);
    this.#showState();
    try {
      const id = await loaded;
      if (id === undefined) return;
      // It holds everything up to this id. If that isn't here, the server shall find it in its log.
      if (this.#inbox.skipTo(id)) this.#finish(reset);
      else this.#goOnFrom(id);
    } catch (error) {
      this.lastEventId = undefined; // the next connection begins with a snapshot
      this.#link.fail(error);
    }
  }

  /** @param {string} id */
  #goOnFrom(id) {
    [this.lastEventId, this.#unheard] = [id, undefined];
    if (this.#link.state === 'open' || this.#link.state === 'connecting') this.#link.connect();
  }

  /** Seqs are compared only while the server goes on with our own history. */
  #answerWaiters() {
    if (/^(live|catching-up)$/.test(this.state) && !this.#snapshots.isLoading)
      this.#waiters.pass(seqOf(this.#lastEventId));
  }

  #showState() {
    // By what is processed, not by what has come: `live` says that nothing older is left to do.
    const isLive = !this.#snapshots.isLoading && seqOf(this.#lastEventId) >= this.#caughtUpAt;
    const open = isLive ? 'live' : 'catching-up';
    const shown = this.#link.state === 'open' ? open : this.#link.state;
    if (shown === 'live') this.#link.noteLive();
    if (shown === this.state) return;
    this.state = shown;
    this.dispatchEvent(new Event('state'));
  }
}
