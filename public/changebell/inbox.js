// What has come and waits for its turn: one frame is in work at a time. A new life begins with `clear`: what was
// in work then is stale, and nobody is told when it is done.

const MAX_HELD = 8_000_000; // characters: what is more is left in the log for a while

/** @typedef {{ event: import('./types.js').ChangeEvent, text: string, id: string }} Frame `id`: where the stream stands when it is done */

export class Inbox {
  #frames = /** @type {Frame[]} */ ([]);
  #heldLength = 0;
  #isWorking = false; // so that a thousand frames that need no time are a loop, and no recursion
  #process;

  /** @type {Frame | undefined} */
  current;

  /** @param {(frame: Frame) => void} process begins the work on a frame; `done` tells of its end */
  constructor(process) {
    this.#process = process;
  }

  isFull() {
    return this.#heldLength > MAX_HELD;
  }

  isIdle() {
    return !this.current && this.#frames.length === 0;
  }

  /** @param {Frame} frame */
  push(frame) {
    this.#frames.push(frame);
    this.#heldLength += frame.text.length;
    this.work();
  }

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

  /** Drops what waits, up to this id: false if neither the current frame nor any other has it. @param {string} id */
  skipTo(id) {
    const frames = this.current ? [this.current, ...this.#frames] : this.#frames;
    const index = frames.findLastIndex((frame) => frame.id === id);
    if (index < 0 || !this.current) return false;
    for (const { text } of this.#frames.splice(0, index)) this.#heldLength -= text.length;
    this.current.id = id;
    return true;
  }

  /** What waits is dropped; what is in work may still be finished. */
  empty() {
    [this.#frames, this.#heldLength] = [[], 0];
  }

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

/** What its listeners get. @param {Frame} frame @param {string | undefined} name of a frame of the server's own */
export function toEvent({ event, text, id }, name) {
  const told = name
    ? new CustomEvent(name, { detail: { ...event.data, lastEventId: id } })
    : new MessageEvent('message', { data: event, lastEventId: id });
  return Object.assign(told, { text });
}
