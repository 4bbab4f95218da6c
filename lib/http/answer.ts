// An answer of `node:http` that counts the bytes which it keeps in our memory. The server makes all of its answers
// this way, so whoever writes one can ask first whether there is room for it.
import { ServerResponse } from 'node:http';
import type { UnsentBytes } from './unsent-bytes.ts';

/** By name. */
export type Headers = Record<string, string | number>;

/** `ServerResponse`, with an account for its bytes and the headers that hang on the path alone. */
export class Answer extends ServerResponse {
  /** The sum over all connections. Set while a connection works on this one. */
  unsent: UnsentBytes | undefined;
  /** Of a write: its place among those that wait for a commit is certain. */
  isQueued = false;
  /** Called when that becomes true. Set while a connection works on this one. */
  onQueued: (() => void) | undefined;
  /** Of an event stream: it ends when the server stops, and not before. */
  isEndless = false;
  /** Its part of that: the body before it, and itself. */
  private held = 0;
  /** Headers that hang on where the request went, if at all, and not on what came of it: a refusal has them as well. */
  readonly common: Headers = { 'X-Content-Type-Options': 'nosniff' };

  /**
   * Begins the answer. Of a header that several parts name, the first counts, and the common ones come last. Node gets
   * one flat list: to merge the parts into one object at each answer would take longer than all else that we do for it.
   */
  begin(status: number, ...parts: Headers[]): this {
    const list: string[] = [];
    for (const part of [...parts, this.common]) {
      for (const name in part) if (!list.includes(name)) list.push(name, String(part[name]));
    }
    return this.writeHead(status, list);
  }

  /**
   * To be called before a body is written.
   * @throws {Problem} 503 if there is no room; never for a write, whose answer tells what was done
   */
  reserve(bytes: number): void {
    const isRead = this.req.method === 'GET' || this.req.method === 'HEAD';
    if (isRead) this.unsent?.check(bytes);
    this.count(bytes);
  }

  /** Counts bytes of the request's body that have come. @throws {Problem} 503 if there is no room */
  hold(bytes: number): void {
    this.unsent?.check(bytes, this.held); // with what came before: a long body may come in many small pieces
    this.count(bytes);
  }

  /** Gives some back before the rest: a body that has become an order is counted where orders wait. */
  giveBack(bytes: number): void {
    this.count(-bytes);
  }

  /** To be called by whoever has given an order to the store: another write may come in behind it. */
  queued(): void {
    this.isQueued = true;
    this.onQueued?.();
  }

  /** It was taken, or its connection has ended: all is given back. */
  settle(): void {
    this.count(-this.held);
    this.unsent = undefined;
  }

  private count(bytes: number): void {
    if (!this.unsent) return;
    this.unsent.total += bytes;
    this.held += bytes;
  }
}
