// How much a client of the WebSocket sends. It is counted by the headers of its frames alone (RFC 6455 §5.2), before
// anything is done with them: a fragment or an empty ping costs the server as much as a message.

const WINDOW_MS = 10_000; // it slides: any ten seconds
const MAX_MESSAGES = 50;
const MAX_CONTROLS = 200; // more than messages: some libraries ping every second
const FIRST_CONTROL_OPCODE = 8; // RFC 6455 §5.5: the most significant bit of the opcode is set
const PONG_OPCODE = 10;
const MAX_FRAMES_AFTER_FLOOD = 100; // its answer to our close may be among them
const MASK_BYTES = 4; // every frame of a client has a mask (RFC 6455 §5.3)

/** What is said in the close frame to one that sends too much. */
export const FLOOD_REASON = `At most ${MAX_MESSAGES} messages and ${MAX_CONTROLS} pings and pongs in 10 s.`;

/** Follows the bytes of one connection. Nothing is kept of a payload, so a frame of any length costs the same. */
export class FrameCounter {
  /** When the last frames came, oldest first: messages with their fragments, and pings, pongs and closes. */
  private readonly messages: number[] = [];
  private readonly controls: number[] = [];
  /** The bytes of a header that has come in part. */
  private header: number[] = [];
  /** Pongs that came: as many as it was sent pings are answers, and no flood. */
  private pongs = 0;
  /** Frames that were too many so far. */
  tooMany = 0;
  /** Bytes of mask and payload until the next header. */
  private toSkip = 0;

  /**
   * Counts the frames in these bytes, of one that was sent so many pings since the stream began.
   * @returns how many of the bytes may be worked on: all, until there was far too much
   */
  count(bytes: Uint8Array, now: number, pings: number): number {
    // One read may bring ten thousand frames: what is behind the last of them is not even looked at.
    if (this.tooMany > MAX_FRAMES_AFTER_FLOOD) return 0;
    // Borders of frames and of reads have nothing to do with each other: a header may come byte by byte.
    for (let at = 0; at < bytes.length; at += 1) {
      const skipped = Math.min(this.toSkip, bytes.length - at);
      this.toSkip -= skipped;
      at += skipped;
      if (at === bytes.length) break;
      this.header.push(bytes[at]!);
      if (this.isHeaderWhole() && this.isTooMany(now, pings)) this.tooMany += 1;
      if (this.tooMany > MAX_FRAMES_AFTER_FLOOD) return at;
    }
    return bytes.length;
  }

  /** Two bytes, and two or eight more of length where the second says so. */
  private isHeaderWhole(): boolean {
    const [, second] = this.header;
    if (second === undefined) return false;
    const short = second & 0x7f;
    const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
    return this.header.length === 2 + lengthBytes;
  }

  /** Takes the header that is whole now. */
  private isTooMany(now: number, pings: number): boolean {
    const [first = 0, second = 0, ...long] = this.header;
    const length = long.length === 0 ? second & 0x7f : long.reduce((sum, byte) => sum * 256 + byte, 0);
    // A length that no number holds exactly is above the limit of ws by far, which closes with 1009.
    this.toSkip = length + (second & 0x80 ? MASK_BYTES : 0);
    this.header = [];
    const opcode = first & 0x0f;
    if (opcode === PONG_OPCODE && ++this.pongs <= pings) return false;
    const isControl = opcode >= FIRST_CONTROL_OPCODE;
    return isControl ? exceeds(this.controls, MAX_CONTROLS, now) : exceeds(this.messages, MAX_MESSAGES, now);
  }
}

/** One more at `now`: are these more than `most` within the window? */
function exceeds(times: number[], most: number, now: number): boolean {
  times.push(now);
  return times.length > most && now - times.shift()! < WINDOW_MS;
}
