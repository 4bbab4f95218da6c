// An answer of `node:http` that knows on whose account its bytes are. The server makes all of its answers this
// way, so whoever writes one can ask first whether there is room for it.
import { ServerResponse } from 'node:http';
import type { Account } from './unsent-bytes.ts';

export class Answer extends ServerResponse {
  /** Set while a connection works on it. */
  account: Account | undefined;

  /**
   * To be called before a body is written.
   * @throws {Problem} 503 if there is no room; never for a write, whose answer tells what was done
   */
  reserve(bytes: number): void {
    const isRead = this.req.method === 'GET' || this.req.method === 'HEAD';
    if (isRead) this.account?.reserve(bytes);
    else this.account?.count(bytes);
  }
}
