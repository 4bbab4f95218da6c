// The other client on the stage, as the usual tutorial writes it: a socket, what comes over it, and a new
// socket when it is closed. It is a fair loop: nothing is lost while it is connected. It only never asks
// what it missed. `ledger` and `missing` are for the spectators: the loop itself could not know.
import { auth } from './api.js';
import { connection } from './connection.js';
import { paintSoon, seqOf } from './dom.js';
import { Ledger } from './ledger.js';
import { Roster } from './roster.js';
import { noteHead, server } from './server.js';

const AGAIN_MS = 1000; // as the tutorials have it
const SOON_MS = 50;

class Loop {
  ledger = new Ledger();
  roster = new Roster();
  state = 'connecting';
  name = ''; // that the server gave it
  isHeld = false; // its cable is cut, until it is brought back
  isFilled = false; // does it have its first list of customers?
  #socket = /** @type {WebSocket | undefined} */ (undefined);
  #timer = /** @type {Timer} */ (undefined);

  /** What everyone writes. */
  connect() {
    clearTimeout(this.#timer);
    if (this.isHeld) return;
    if (!connection.isOpen()) return this.#again(SOON_MS); // the page comes first where places are few
    const url = new URL('/ws', location.href); // without `lastEventId`: that is all it does wrong
    if (auth.token) url.searchParams.set('access_token', auth.token);
    const socket = new WebSocket(url, 'cloudevents.json');
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = () => socket === this.#socket && this.#closed(); // else it was brought back before it had gone
    this.#socket = socket;
    this.#become('connecting');
  }

  #closed() {
    this.#become('waiting');
    if (!this.isHeld) this.#again(AGAIN_MS);
  }

  /** @param {number} ms */
  #again(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.connect(), ms);
  }

  /** @param {ChangeEvent} event */
  #hear(event) {
    if (event.type.startsWith('stream.')) this.#stand(event);
    else {
      this.ledger.record(event.id, 'live');
      this.roster.apply(event);
    }
    noteHead(event.id); // it may hear of an event before the page does
    this.#become('live');
  }

  /** The server's own frames say where it stands. @param {ChangeEvent} frame */
  #stand({ type, data, id }) {
    if (type === 'stream.ready') this.name = data.client;
    if (!this.ledger.isStarted || seqOf(id) < this.ledger.head) this.ledger.restart(id);
    else this.ledger.reach(id);
  }

  /** @param {string} state */
  #become(state) {
    this.state = state;
    paintSoon();
  }

  /** Takes over the page's list, once the page has heard of all that the loop has. @param {Roster} roster */
  fill(roster) {
    // A later list would mend what it has lost: it gets one, as a page does that is opened once.
    if (this.isFilled || this.state !== 'live' || connection.ledger.head < this.ledger.head) return;
    this.roster.rows = new Map(roster.rows);
    this.isFilled = true;
  }

  cut() {
    this.isHeld = true;
    if (server.isLabOn && this.state === 'live') this.#socket?.send('{"lab":"cut"}');
    else this.#socket?.close(); // nobody pulls the plug for us there
    this.#become('waiting');
  }

  bringBack() {
    if (!this.isHeld) return;
    this.isHeld = false;
    this.connect();
  }
}

export const loop = new Loop();
