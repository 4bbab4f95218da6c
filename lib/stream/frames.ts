// An event as bytes, ready for a transport. Encoded once and handed to every client: a server's
// WebSocket frame is not masked (RFC 6455 §5.1), so the same bytes are right for all of them.

/** Turns the JSON texts of CloudEvents, with their ids, into bytes. */
type Encode = (items: { id: string; json: string }[]) => Buffer;

/** How a transport writes. */
export type Transport = {
  name: 'websocket' | 'sse';
  /** The events' `source` for the server's own frames. */
  source: '/ws' | '/api/events';
  encode: Encode;
  /** What a living client answers with the same payload, where the transport has such a thing. */
  ping?: (payload: string) => Buffer;
};

const FIN_TEXT = 0x81;

/** One text frame for each event: a header of 2, 4 or 10 bytes, then the JSON (RFC 6455 §5.2). */
const encodeWebSocket: Encode = (items) => {
  const lengths = items.map((item) => Buffer.byteLength(item.json));
  const total = lengths.reduce((sum, length) => sum + headerLength(length) + length, 0);
  const bytes = Buffer.allocUnsafeSlow(total); // not from the pool: it would keep 8 KiB alive for each
  let offset = 0;
  items.forEach((item, index) => {
    offset = writeHeader(bytes, offset, lengths[index]!);
    offset += bytes.write(item.json, offset);
  });
  return bytes;
};

/** One block for each event: `id:` and `data:`, ended by an empty line (HTML Standard §9.2.6). */
const encodeEventStream: Encode = (items) =>
  Buffer.from(items.map((item) => `id: ${item.id}\ndata: ${item.json}\n\n`).join(''));

export const WEBSOCKET: Transport = {
  name: 'websocket',
  source: '/ws',
  encode: encodeWebSocket,
  ping: (payload) => Buffer.from(`\x89${String.fromCharCode(payload.length)}${payload}`, 'latin1'), // RFC 6455 §5.5.2
};

/** Server-sent events have no ping: the kernel finds out about dead connections. */
export const EVENT_STREAM: Transport = { name: 'sse', source: '/api/events', encode: encodeEventStream };

function headerLength(payloadLength: number): number {
  return payloadLength < 126 ? 2 : payloadLength < 65_536 ? 4 : 10;
}

function writeHeader(bytes: Buffer, offset: number, length: number): number {
  bytes[offset] = FIN_TEXT;
  if (length < 126) {
    bytes[offset + 1] = length;
  } else if (length < 65_536) {
    bytes[offset + 1] = 126;
    bytes.writeUInt16BE(length, offset + 2);
  } else {
    bytes[offset + 1] = 127;
    bytes.writeBigUInt64BE(BigInt(length), offset + 2);
  }
  return offset + headerLength(length);
}
