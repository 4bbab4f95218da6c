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
  /** How far one write may go in bytes that are too many for one: at most `PART_BYTES` on. */
  partEnd(bytes: Buffer, from: number): number;
  /** What a living client answers with the same payload, where the transport has such a thing. */
  ping?(payload: string): Buffer;
  /** Says nothing, and keeps the connection open, where the transport has such a thing. */
  readonly comment?: Buffer;
};

/** No single write is larger, so that what waits for a client stays bounded whatever the size of an event. */
export const PART_BYTES = 256 * 1024;

// RFC 6455 §5.2: the first byte is FIN, three reserved bits and the opcode.
const FIN = 0x80;
const TEXT = 0x1;
const CONTINUATION = 0x0;
const LONGEST_HEADER = 10; // two bytes, and eight of length; a server sends no mask

export const WEBSOCKET: Transport = {
  name: 'websocket',
  source: '/ws',
  encode: encodeWebSocket,
  partEnd: frameEnd,
  ping: (payload) => Buffer.from(`\x89${String.fromCharCode(payload.length)}${payload}`, 'latin1'), // RFC 6455 §5.5.2
};

/** Server-sent events have no ping: the kernel finds out about dead connections. */
export const EVENT_STREAM: Transport = {
  name: 'sse',
  source: '/api/events',
  encode: encodeEventStream,
  partEnd: (bytes, from) => Math.min(bytes.length, from + PART_BYTES),
  comment: Buffer.from(': waiting for the database\n\n'), // a line that begins with a colon (HTML Standard §9.2.6)
};

/** A text message for each event (RFC 6455 §5.2), in fragments where it is large. */
function encodeWebSocket(items: { json: string }[]): Encoded {
  // Measured first, then written in place: joining many small buffers would copy every byte twice.
  const lengths = items.map((item) => Buffer.byteLength(item.json));
  const total = lengths.reduce((sum, length) => sum + messageLength(length), 0);
  const bytes = Buffer.allocUnsafeSlow(total); // not from the pool: it would keep 8 KiB alive for each
  const ends: number[] = [];
  items.forEach(({ json }, index) => {
    const start = ends.at(-1) ?? 0;
    const length = lengths[index]!;
    ends.push(
      length <= PART_BYTES ? writeFrame(bytes, start, length, json) : writeFragments(bytes, start, json),
    );
  });
  return { bytes, ends };
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

/** The length stands in 7, 16 or 64 bits, in the fewest that hold it (RFC 6455 §5.2). */
function headerLength(payloadLength: number): number {
  return payloadLength < 126 ? 2 : payloadLength < 65_536 ? 4 : LONGEST_HEADER;
}

/** With all headers: one, or one for each fragment. */
function messageLength(length: number): number {
  if (length <= PART_BYTES) return headerLength(length) + length;
  return fragmentLengths(length).reduce((sum, part) => sum + headerLength(part) + part, 0);
}

/** Each fits into a part with its header; the last takes what is left. */
function fragmentLengths(length: number): number[] {
  const most = PART_BYTES - LONGEST_HEADER;
  const whole = Math.floor((length - 1) / most);
  return [...Array<number>(whole).fill(most), length - whole * most];
}

/** @returns where the frame ends */
function writeFrame(bytes: Buffer, start: number, length: number, json: string): number {
  const at = writeHeader(bytes, start, FIN | TEXT, length);
  return at + bytes.write(json, at);
}

/** Between two fragments a pong or a close may go out, so neither waits behind a large event (RFC 6455 §5.4). */
function writeFragments(bytes: Buffer, start: number, json: string): number {
  const text = Buffer.from(json); // a border may fall into a character: only the whole message is UTF-8 (RFC 6455 §5.6)
  let from = 0;
  let at = start;
  for (const length of fragmentLengths(text.length)) {
    const fin = from + length === text.length ? FIN : 0;
    at = writeHeader(bytes, at, fin | (from === 0 ? TEXT : CONTINUATION), length);
    at += text.copy(bytes, at, from, from + length);
    from += length;
  }
  return at;
}

/** @returns where the payload begins */
function writeHeader(bytes: Buffer, start: number, first: number, length: number): number {
  bytes[start] = first;
  if (length < 126) {
    bytes[start + 1] = length;
  } else if (length < 65_536) {
    bytes[start + 1] = 126;
    bytes.writeUInt16BE(length, start + 2);
  } else {
    bytes[start + 1] = 127;
    bytes.writeBigUInt64BE(BigInt(length), start + 2);
  }
  return start + headerLength(length);
}

/** The end of the last frame that a part has room for: a frame must not be torn, or a pong could land inside it. */
function frameEnd(bytes: Buffer, from: number): number {
  // The frames are our own, so their headers can be trusted, and the first one may be larger than a part.
  let end = from;
  while (end < bytes.length) {
    const short = bytes[end + 1]!;
    const length =
      short < 126
        ? short
        : short === 126
          ? bytes.readUInt16BE(end + 2)
          : Number(bytes.readBigUInt64BE(end + 2));
    const next = end + headerLength(length) + length;
    if (end > from && next - from > PART_BYTES) return end;
    end = next;
  }
  return end;
}
