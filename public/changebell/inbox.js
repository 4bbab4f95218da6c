// What has come and waits for its turn: one frame is in work at a time, so that `lastEventId` moves in order even where
// listeners take their time. A new life begins with `clear`: what was in work then is stale, and nobody is told when it is
// done.

const MAX_HELD = 8_000_000; // characters: what is more is left in the log for a while

/** @typedef {import('./waiters.js').Waiter} Waiter */
/** @typedef {{ event: import('./types.js').ChangeEvent, text: string, id: string, name: string | undefined, waiting?: Waiter[] }} Frame `id`: where the stream stands when it is done; `name`: of a frame of the server's own; `waiting`: who need not wait any longer then */

/** Frames in the order in which they came. */
export class Inbox {
  #frames = /** @type {Frame[]} */ ([]);
  #heldLength = 0; // characters of what waits: many small frames and a few large ones cost memory alike
  #isWorking = false; // so that a thousand frames that need no time are a loop, and no recursion
  #process;

  /** The one that is in work. Whoever is done with a frame looks here whether it still counts. @type {Frame | undefined} */
  current;

  /** @param {(frame: Frame) => void} process begins the work on a frame; `done` tells of its end */
  constructor(process) {
    this.#process = process;
  }

  /** Then the owner lets go of its connection: what is left in the log costs nobody memory. */
  isFull() {
    return this.#heldLength > MAX_HELD;
  }

  /** Everything that came is done: what was left in the log may come now. */
  isIdle() {
    return !this.current && this.#frames.length === 0;
  }

  /** Begins at once, where nothing is in work. @param {Frame} frame */
  push(frame) {
    this.#frames.push(frame);
    this.#heldLength += frame.text.length;
    this.work();
  }

  /** Goes on as long as frames are done at once; one that takes time calls back here by way of its owner. */
  work() {
    if (this.#isWorking) return;
    this.#isWorking = true;
    while (!this.current && this.#frames.length > 0) {
      this.current = /** @type {Frame} */ (this.#frames.shift());
      this.#heldLength -= this.current.text.length;
      this.#process(this.current);
    }
    this.#isWorking = false;
  }

  /**
   * Drops what waits, up to this id: a snapshot was loaded that holds all of it. False if neither the current frame nor
   * any other has it. @param {string} id
   */
  skipTo(id) {
    const index = [this.current, ...this.#frames].findLastIndex((frame) => frame?.id === id);
    if (index < 0 || !this.current) return false;
    for (const { text } of this.#frames.splice(0, index)) this.#heldLength -= text.length;
    this.current.id = id;
    return true;
  }

  /** What waits is dropped; what is in work may still be finished. */
  empty() {
    [this.#frames, this.#heldLength] = [[], 0];
  }

  /** Also what is in work: its end will be nobody's, since `current` is another by then. */
  clear() {
    this.empty();
    this.current = undefined;
  }
}

/** A frame must be a CloudEvent with an id. @param {string} text @returns {import('./types.js').ChangeEvent | undefined} */
export function parse(text) {
  try {
    const event = JSON.parse(text);
    return typeof event.id === 'string' && typeof event.type === 'string' ? event : undefined;
  } catch {
    return undefined;
  }
}

/** What its listeners get. @param {Frame} frame */
export function toEvent({ event, text, id, name }) {
  const told = name
    ? new CustomEvent(name, { detail: { ...event.data, lastEventId: id } })
    : new MessageEvent('message', { data: event, lastEventId: id });
  return Object.assign(told, { text });
}
