// What was read of a socket and is not parsed yet, at most what one read brings, and where the request in work ends in
// it. A client may send many requests in one segment (RFC 9112 §9.3.2); nothing tells the parser of `node:http` to
// stop after the first, so it is given no more than that one.
import type { IncomingMessage } from 'node:http';
import type { UnsentBytes } from './unsent-bytes.ts';

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const MAX_PIECE_BYTES = 4096; // of a body in chunks, which may be a byte each: hundreds of them take a millisecond
const NOTHING = Buffer.alloc(0);
const HEAD_END = Buffer.from('\r\n\r\n');

/** The bytes of one connection that wait to be parsed. They count in `UnsentBytes` for as long as they are held. */
export class ReadAhead {
  /** What is to come of the body in work, in bytes, where its head says how long it is. */
  bodyLeft = 0;
  private held: Buffer = NOTHING;
  /** How much memory that takes: the whole of what was read, until the last byte is handed on. */
  private heldBytes = 0;
  /** Since the last line feed nothing but a carriage return has come: the next one ends a head. */
  private isLineEmpty = false;
  /** The account of all connections: what each of them holds back is little, and together it is not. */
  private readonly bytes: UnsentBytes;

  constructor(bytes: UnsentBytes) {
    this.bytes = bytes;
  }

  get isEmpty(): boolean {
    return this.held.length === 0;
  }

  /** Puts what was read behind what is there. */
  add(chunk: Buffer): void {
    this.hold(this.isEmpty ? chunk : Buffer.concat([this.held, chunk]));
  }

  /** Puts this before all that is there. */
  putFirst(head: Buffer): void {
    this.hold(Buffer.concat([head, this.held]));
  }

  /** Has the whole head of a request come, and is it this one, but for the length of its body? */
  isNext(head: string): boolean {
    const end = this.held.indexOf(HEAD_END) + HEAD_END.length;
    if (end < HEAD_END.length || end > MAX_PIECE_BYTES) return false;
    const next = this.held.toString('latin1', 0, end);
    return next === head || withoutLength(next) === withoutLength(head);
  }

  /** Takes no more than what belongs to one request, and nothing behind it. */
  take(): Buffer {
    const { held } = this;
    // Views of what was read, and no copies: a body of a megabyte comes in many pieces.
    const end = this.endOfPiece();
    if (end === held.length) this.drop();
    else this.held = held.subarray(end);
    return held.subarray(0, end);
  }

  /** Takes all of it, or throws it away. */
  drop(): Buffer {
    const { held } = this;
    this.hold(NOTHING);
    return held;
  }

  private hold(held: Buffer): void {
    this.bytes.total += held.length - this.heldBytes;
    this.held = held;
    this.heldBytes = held.length;
  }

  /** The rest of the body, or all up to an empty line: there a head ends, and a body in chunks (RFC 9112 §7.1). */
  private endOfPiece(): number {
    const { held, bodyLeft } = this;
    // Inside a body of known length an empty line means nothing, so nobody looks for one.
    if (bodyLeft > 0) {
      const length = Math.min(bodyLeft, held.length);
      this.bodyLeft -= length;
      return length;
    }
    // What is known of the last line stays known: a read may end anywhere, also between the two bytes of a line's end.
    const most = Math.min(held.length, MAX_PIECE_BYTES);
    for (let i = 0; i < most; i++) {
      const byte = held[i];
      if (byte === LINE_FEED && this.isLineEmpty) {
        this.isLineEmpty = false;
        return i + 1;
      }
      this.isLineEmpty = byte === LINE_FEED || (this.isLineEmpty && byte === CARRIAGE_RETURN);
    }
    return most;
  }
}

/** The head of a request, as it came where it was written as usual; without the headers of these names. */
export function headOf({ method, url, httpVersion, rawHeaders }: IncomingMessage, without?: RegExp): string {
  let lines = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name, value] = rawHeaders.slice(i, i + 2) as [string, string];
    if (!without?.test(name)) lines += `${name}: ${value}\r\n`;
  }
  return `${lines}\r\n`;
}

/** The length that a head tells is left out, if it is a good one. */
function withoutLength(head: string): string {
  return head.replace(/(\ncontent-length: )\d{1,9}\r/i, '$1');
}
