// What a user sees of the connection, and may do to it.
import { WaitingTarget } from './waiting-target.js';

/**
 * @template {Record<string, any>} Events
 * @extends {WaitingTarget<Events>}
 */
export class LinkedTarget extends WaitingTarget {
  #link;

  /** @param {import('./types.js').LinkLike} link */
  constructor(link) {
    super();
    this.#link = link;
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

  /** Of the server's answer, where it refused the last connection; undefined once it lets one in. */
  get status() {
    return this.#refusal?.status;
  }

  /** What the server said when it refused. */
  get detail() {
    return this.#refusal?.detail;
  }

  /** Over with the first frame of a connection: who is let in is not refused any more. */
  get #refusal() {
    return this.#link.isUnheard ? this.#link.lost : undefined;
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
    this.#link.setToken(token);
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
}
