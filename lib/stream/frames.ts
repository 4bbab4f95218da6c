// An event as bytes, ready for a transport. Encoded once and handed to every client: a server's
// WebSocket frame is not masked (RFC 6455 §5.1), so the same bytes are right for all of them.

/** The events one behind the other; `ends[i]` is where the bytes of the i-th end. */
export type Encoded = { bytes: Buffer; ends: number[] };

/** How a transport writes. */
export type Transport = {
  readonly name: 'websocket' | 'sse';
  /** The events' `source` for the server's own frames. */
  readonly source: '/ws' | '/api/events';
  /** Turns the JSON texts of CloudEvents, with their ids, into bytes. */
  encode(items: { id: string; json: string }[]): Encoded;
  /** How far one write goes in these bytes: to their end, or `PART_BYTES` where an event is larger than that. */
  partEnd(bytes: Buffer): number;
  /** What a living client answers with the same payload, where the transport has such a thing. */
  ping?(payload: string): Buffer;
  /** Says nothing, and keeps the connection open, where the transport has such a thing. */
  readonly comment?: Buffer;
};

/** An event that is larger is written in such parts, so that what waits for a client is bounded whatever its size. */
export const PART_BYTES = 256 * 1024;

// RFC 6455 §5.2: the first byte is FIN, three reserved bits and the opcode.
const FIN = 0x80;
const TEXT = 0x1;
const CONTINUATION = 0x0;
const LONGEST_HEADER = 10; // two bytes, and eight of length; a server sends no mask
const MAX_PAYLOAD = PART_BYTES - LONGEST_HEADER; // a larger message goes in fragments, each of which fills a part, but for the last

export const WEBSOCKET: Transport = {
  name: 'websocket',
  source: '/ws',
  encode: encodeWebSocket,
  // Between two frames, or a pong could land inside of one. A large message begins with a fragment that fills a part; what
  // begins with a whole frame is a chunk of small ones.
  partEnd: (bytes) => (bytes[0]! & FIN ? bytes.length : PART_BYTES),
  ping: (payload) => Buffer.from(`\x89${String.fromCharCode(payload.length)}${payload}`, 'latin1'), // RFC 6455 §5.5.2
};

/** Server-sent events have no ping: the kernel finds out about dead connections. */
export const EVENT_STREAM: Transport = {
  name: 'sse',
  source: '/api/events',
  encode: encodeEventStream,
  partEnd: (bytes) => Math.min(bytes.length, PART_BYTES),
  comment: Buffer.from(': waiting for the database\n\n'), // a line that begins with a colon (HTML Standard §9.2.6)
};

/** A text message for each event (RFC 6455 §5.2), in fragments where it is large. */
function encodeWebSocket(items: { json: string }[]): Encoded {
  // Measured first, then written in place: joining many small buffers would copy every byte twice.
  const lengths = items.map((item) => Buffer.byteLength(item.json));
  const most = lengths.reduce((sum, length) => sum + mostBytes(length), 0);
  const bytes = Buffer.allocUnsafeSlow(most); // not from the pool: it would keep 8 KiB alive for each
  let end = 0;
  const ends = items.map(({ json }, i) => {
    end = writeMessage(bytes, end, lengths[i]!, json);
    return end;
  });
  return { bytes: bytes.subarray(0, end), ends };
}

/** One block for each event: `id:` and `data:`, ended by an empty line (HTML Standard §9.2.6). */
function encodeEventStream(items: { id: string; json: string }[]): Encoded {
  const blocks = items.map((item) => `id: ${item.id}\ndata: ${item.json}\n\n`);
  let end = 0;
  const ends = blocks.map((block) => {
    end += Buffer.byteLength(block);
    return end;
  });
  return { bytes: Buffer.from(blocks.join('')), ends };
}

/** What a text of this length takes at most: each frame has a header, and only a large text has more than one frame. */
function mostBytes(length: number): number {
  return length + LONGEST_HEADER * Math.ceil(length / MAX_PAYLOAD);
}

/** @returns where the message ends */
function writeMessage(bytes: Buffer, start: number, length: number, json: string): number {
  if (length > MAX_PAYLOAD) return writeFragments(bytes, start, Buffer.from(json));
  const at = writeHeader(bytes, start, FIN | TEXT, length);
  return at + bytes.write(json, at);
}

/** Between two fragments a pong or a close may go out, so neither waits behind a large event (RFC 6455 §5.4). */
function writeFragments(bytes: Buffer, start: number, text: Buffer): number {
  let at = start;
  // A border may fall into a character: only the whole message is UTF-8 (RFC 6455 §5.6).
  for (let from = 0; from < text.length; from += MAX_PAYLOAD) {
    const part = text.subarray(from, from + MAX_PAYLOAD);
    const fin = from + part.length === text.length ? FIN : 0;
    at = writeHeader(bytes, at, fin | (from === 0 ? TEXT : CONTINUATION), part.length);
    at += part.copy(bytes, at);
  }
  return at;
}

/** The length stands in 7, 16 or 64 bits, in the fewest that hold it (RFC 6455 §5.2). @returns where the payload begins */
function writeHeader(bytes: Buffer, start: number, first: number, length: number): number {
  bytes[start] = first;
  if (length < 126) {
    bytes[start + 1] = length;
    return start + 2;
  }
  if (length < 65_536) {
    bytes[start + 1] = 126;
    bytes.writeUInt16BE(length, start + 2);
    return start + 4;
  }
  bytes[start + 1] = 127;
  bytes.writeBigUInt64BE(BigInt(length), start + 2);
  return start + LONGEST_HEADER;
}
