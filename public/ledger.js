// What came of the log's positions for one client, and what never did. Whatever the page says of it
// ("3 changes replayed, 0 lost") is computed here, from ids; nothing is assumed.
import { seqOf } from './dom.js';

export const WINDOW = 60;

export class Ledger {
  isStarted = false; // has the client ever been told where it stands?
  start = 0; // what lies before is not ours to judge
  head = 0; // where the server says that the client stands
  headId = '';
  knownId = ''; // of the last event that came, or of the list that the client began with: all that it can know of
  live = 0;
  replayed = 0;
  /** Of the last positions only. */
  #fates = /** @type {Map<number, Fate>} */ (new Map());

  /** At the first frame, or where the log moved on without us. @param {string} id */
  restart(id) {
    const seq = seqOf(id);
    this.#fates.clear();
    Object.assign(this, { isStarted: true, start: seq, head: seq, live: 0, replayed: 0 });
    [this.headId, this.knownId] = [id, id];
  }

  /** The client stands here: what did not come by now is missing. @param {string} id */
  reach(id, seq = seqOf(id)) {
    if (seq > this.head) [this.head, this.headId] = [seq, id];
  }

  /** A list that is true at this position tells as much as all events up to it. @param {string} id */
  know(id) {
    if (seqOf(id) > seqOf(this.knownId)) this.knownId = id;
  }

  /** @param {string} id @param {'live' | 'replayed'} fate */
  record(id, fate) {
    const seq = seqOf(id);
    this.reach(id, seq);
    this.knownId = id; // they come in order
    this[fate] += 1;
    this.#fates.set(seq, fate);
    this.#fates.delete(seq - WINDOW);
  }

  missing() {
    return this.head - this.start - this.live - this.replayed;
  }

  /** @param {number} seq @returns {Fate} */
  fateOf(seq) {
    if (seq > this.head && this.isStarted) return 'pending';
    return seq <= this.start || !this.isStarted ? 'before' : (this.#fates.get(seq) ?? 'missing');
  }

  /** How many changes are saved that the client has not heard of yet. @param {number} serverHead */
  behind(serverHead) {
    return this.isStarted ? Math.max(0, serverHead - this.head) : 0;
  }

  /** Returns a function that tells what happened since; `isReset`: the log moved on, and nothing can be counted. */
  note() {
    const [start, replayed, missing] = [this.start, this.replayed, this.missing()];
    return () => ({
      replayed: this.replayed - replayed,
      lost: this.missing() - missing,
      isReset: this.start !== start,
    });
  }
}
