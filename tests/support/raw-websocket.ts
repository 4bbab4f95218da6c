// WebSocket and server-sent events by hand, byte for byte: what a library would not send, and readers that
// are cheap enough to have by the hundred, or that do not read at all.
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { closeAfterTest } from './cleanup.ts';
import { type Frame, within } from './helpers.ts';

/** The request that opens a WebSocket. */
export const handshake = (query = '') =>
  `GET /ws${query} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  // The key of the example in RFC 6455 §1.3: any 16 bytes will do.
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

/** The request that opens a stream of server-sent events. */
export const eventStream = (query = '') =>
  `GET /api/events${query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n`;

/** A client's frame, masked with zeros (RFC 6455 §5.2); `first` is FIN, the reserved bits and the opcode. */
export function clientFrame(first: number, payload: string | Uint8Array = ''): Buffer {
  const bytes = Buffer.from(payload as string);
  // Up to 65,535 bytes: nobody here sends more.
  const isShort = bytes.length < 126;
  const length = isShort ? [0x80 | bytes.length] : [0x80 | 126, bytes.length >> 8, bytes.length & 255];
  return Buffer.concat([Buffer.from([first, ...length, 0, 0, 0, 0]), bytes]);
}

/** The text frames of a server, which are never masked, behind the head of its answer. */
export function parseFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = bytes.indexOf('\r\n\r\n') + 4; at + 2 <= bytes.length; ) {
    const short = bytes[at + 1]!;
    // 7 bits for the length, or 16 or 64 behind them (RFC 6455 §5.2).
    const header = short < 126 ? 2 : short === 126 ? 4 : 10;
    // The rest of a frame that is not all here yet.
    if (at + header > bytes.length) break;
    const length =
      short < 126
        ? short
        : short === 126
          ? bytes.readUInt16BE(at + 2)
          : Number(bytes.readBigUInt64BE(at + 2));
    if (at + header + length > bytes.length) break;
    // FIN and text: pings and close frames are passed over.
    if (bytes[at] === 0x81)
      frames.push(JSON.parse(bytes.toString('utf8', at + header, at + header + length)));
    at += header + length;
  }
  return frames;
}

/** Sends an opening request and waits for the first frame; `received` is all that came. It ends with its test. */
export async function openRaw(port: number, request: string) {
  const socket = connectTcp({ port, host: '127.0.0.1' });
  closeAfterTest(() => socket.destroy());
  const received: Buffer[] = [];
  // To be cut off is what some tests are about.
  socket.on('error', () => {});
  socket.on('data', (part: Buffer) => received.push(part));
  socket.write(request);
  // Either of the two is the first frame of a stream, in both transports.
  while (!/"stream\.(ready|reset)"/.test(Buffer.concat(received).toString('latin1')))
    await within(once(socket, 'data'), 'the first frame');
  return { socket, received };
}
