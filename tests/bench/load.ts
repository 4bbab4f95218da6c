// The load: HTTP and WebSocket spoken by hand over bare sockets, since ready-made clients cost more CPU
// than the servers they would measure. They check what they get: a status that isn't 201 ends the run.
import { connect, type Socket } from 'node:net';

/** One keep-alive connection. */
export class HttpConnection {
  #socket: Socket;
  #rest = '';
  #waiting: (() => void)[] = [];

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.setEncoding('latin1').on('data', (text: string) => this.#read(text));
    this.#socket.on('error', () => {});
  }

  /** Sends one request, or several at once (pipelined), and waits for all the answers. */
  post(bytes: string, count = 1): Promise<void> {
    return new Promise((resolve) => {
      let left = count;
      const answered = () => {
        left -= 1;
        if (left === 0) resolve();
      };
      for (let i = 0; i < count; i += 1) this.#waiting.push(answered);
      this.#socket.write(bytes);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(text: string): void {
    this.#rest += text;
    for (;;) {
      const headEnd = this.#rest.indexOf('\r\n\r\n');
      if (headEnd < 0) return;
      const head = this.#rest.slice(0, headEnd);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
      if (!head.startsWith('HTTP/1.1 201') || Number.isNaN(length)) throw new Error(`unexpected: ${head}`);
      const end = headEnd + 4 + length;
      if (this.#rest.length < end) return;
      this.#rest = this.#rest.slice(end);
      this.#waiting.shift()!();
    }
  }
}

/** The bytes of a POST of JSON. */
export function postBytes(path: string, body: object): string {
  const json = JSON.stringify(body);
  return (
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`
  );
}

/** Listeners that count the text frames that come, and tell when a number of them has come. */
export class Audience {
  /** Text frames received, over all listeners, less the greetings. */
  frames = 0;
  sockets: Socket[] = [];
  /** Called when the last listener has its n-th frame. */
  onLast: (nth: number) => void = () => {};
  /** By n: how many listeners have their n-th frame. */
  #heard: number[] = [];
  #target = Number.POSITIVE_INFINITY;
  #reached = () => {};

  /** Opens so many WebSockets; `isSocketIo` speaks Engine.IO's handshake as well. `path(i)` may carry a cursor. */
  async open(port: number, count: number, { isSocketIo = false, path = (_: number): string => '/ws' } = {}) {
    for (let i = 0; i < count; i += 250) {
      const wave = Array.from({ length: Math.min(250, count - i) }, (_, j) =>
        this.#join(port, isSocketIo ? '/socket.io/?EIO=4&transport=websocket' : path(i + j), isSocketIo),
      );
      await Promise.all(wave);
    }
    return this;
  }

  /** Resolves once so many more frames have come since the start. */
  reach(total: number): Promise<void> {
    if (this.frames >= total) return Promise.resolve();
    return new Promise((resolve) => {
      this.#target = total;
      this.#reached = resolve;
    });
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  #join(port: number, path: string, isSocketIo: boolean): Promise<void> {
    const socket = connect({ port, host: '127.0.0.1' });
    this.sockets.push(socket);
    socket.on('error', () => {});
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    return new Promise((resolve) => {
      // A greeting is not counted: Engine.IO's "open" and Socket.IO's "connected", or one frame of the peer's.
      let greetings = isSocketIo ? 2 : 1;
      let nth = 0;
      const count = createFrameCounter((payload) => {
        if (greetings > 0) {
          greetings -= 1;
          if (isSocketIo && greetings === 1) socket.write(maskedText('40')); // join the default namespace
          if (greetings === 0) resolve();
          return;
        }
        if (isSocketIo && payload === ENGINE_IO_PING) socket.write(maskedText('3'));
        if (payload === OTHER) this.#count(nth++);
      });
      socket.on('data', count);
    });
  }

  #count(nth: number): void {
    this.frames += 1;
    const heard = (this.#heard[nth] ?? 0) + 1;
    this.#heard[nth] = heard;
    if (heard === this.sockets.length) this.onLast(nth);
    if (this.frames < this.#target) return;
    this.#target = Number.POSITIVE_INFINITY;
    this.#reached();
  }
}

const ENGINE_IO_PING = 1;
const HEARTBEAT = 2;
const OTHER = 0;
const OUR_START = '{"specversion":"1.0","id":"';
const OWN_SOURCE = '","source":"/w'; // of /ws itself, so of heartbeats: the greeting was the first frame

/** Walks the headers of a server's frames (RFC 6455 §5.2) and tells of each text frame what it is. */
function createFrameCounter(onFrame: (kind: number) => void): (chunk: Buffer) => void {
  let rest: Buffer | undefined;
  let isOpen = false;
  return (chunk) => {
    let bytes = rest ? Buffer.concat([rest, chunk]) : chunk;
    rest = undefined;
    if (!isOpen) {
      const headEnd = bytes.indexOf('\r\n\r\n');
      if (headEnd < 0) {
        rest = bytes;
        return;
      }
      if (!bytes.toString('latin1', 0, 12).endsWith('101')) throw new Error(bytes.toString('latin1'));
      isOpen = true;
      bytes = bytes.subarray(headEnd + 4);
    }
    let at = 0;
    while (at + 2 <= bytes.length) {
      const short = bytes[at + 1]!;
      const header = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (at + header > bytes.length) break;
      const length =
        short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : bytes.readUInt32BE(at + 6);
      const end = at + header + length;
      if (end > bytes.length) break;
      if (bytes[at] === 0x81) onFrame(kindOf(bytes, at + header, end));
      at = end;
    }
    if (at < bytes.length) rest = bytes.subarray(at);
  };
}

function kindOf(bytes: Buffer, begin: number, end: number): number {
  if (end - begin === 1 && bytes[begin] === 0x32) return ENGINE_IO_PING; // "2"
  return isHeartbeat(bytes, begin, end) ? HEARTBEAT : OTHER;
}

/** Looks at no more bytes than it must: in some rows millions of frames come in a second. */
function isHeartbeat(bytes: Buffer, begin: number, end: number): boolean {
  let at = begin + OUR_START.length;
  while (at < end && bytes[at] !== 0x22) at += 1; // the quote that ends the id
  return (
    bytes[at + OWN_SOURCE.length - 1] === 0x77 &&
    bytes.toString('latin1', at, at + OWN_SOURCE.length) === OWN_SOURCE
  );
}

/** A client's frame must be masked (RFC 6455 §5.3); a mask of zeros leaves the text as it is. */
function maskedText(text: string): Buffer {
  return Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0, ...Buffer.from(text)]);
}

/** The middle of these values, and what lies at a share of them. */
export const quantile = (values: number[], share: number) =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!;
