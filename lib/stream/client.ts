// One client: a stream that somebody opened, and where it stands in the log. Its cursor is all that is owed to it:
// nothing is queued for a client, and one whose socket is full is simply not pushed to until it has drained.
import type { Writable } from 'node:stream';
import { type Cursor, eventId, type ResetReason } from '../event.ts';
import type { Filter } from '../filter.ts';
import type { Kind } from './chunks.ts';
import type { Conflation } from './conflation.ts';
import { PART_BYTES, type Transport } from './frames.ts';
import { Liveness } from './liveness.ts';
import type { Wish } from './start.ts';

const HIGH_WATER_BYTES = 256 * 1024; // unsent bytes above which a client lags
const NOTHING = Buffer.alloc(0);

/** An open connection, as its transport gives it to the hub. */
export interface Stream {
  readonly transport: Transport;
  readonly filter: Filter;
  /** Of several events of one source that wait for it, it wants the newest alone. */
  readonly isConflated: boolean;
  /** Where the frames go. */
  readonly out: Writable;
  isOpen(): boolean;
  /** Bytes that wait for the client, here and in the kernel's queue of this socket. */
  unsentBytes(): number;
  /** A farewell in the transport's own manner. */
  close(): void;
  /** The same, because its token has expired. */
  expire(): void;
  destroy(): void;
}

export class Client {
  readonly stream: Stream;
  /** The name that the server gave this stream. */
  readonly name: string;
  /** In milliseconds since 1970; a Date would take six times the memory. */
  readonly connectedAt = Date.now();
  /** Which bytes it gets, shared with all of its kind. */
  readonly kind: Kind;
  readonly liveness = new Liveness();
  /** The last event that was handed to it, or that its filter hid. */
  cursor: Cursor;
  /** Where it wants to begin, as long as the database couldn't be asked; it has no position until then. */
  wish: Wish | undefined;
  /** Why its cursor is good no longer: it is told so before it gets anything else. */
  dueReset: ResetReason | undefined;
  /** What it has read but not yet handed on, since newer events may replace it. */
  conflation: Conflation | undefined;
  /** The queue in which it waits for its turn. */
  queue: 'live' | 'behind' | undefined;
  isMuted = false;
  private isFull = false;
  /** What of a large event has yet to be written, part by part. */
  private rest: Buffer | undefined;
  /** Numbers the server's own frames, so that each has a `source` of its own. */
  private ownFrames = 0;
  private readonly onRoom: (client: Client) => void;

  /** @param onRoom is called when a client that lagged has drained */
  constructor(stream: Stream, name: string, cursor: Cursor, onRoom: (client: Client) => void) {
    const { transport, filter, isConflated } = stream;
    this.stream = stream;
    this.name = name;
    this.kind = { key: `${transport.name} ${isConflated} ${filter.key}`, transport, filter, isConflated };
    this.cursor = cursor;
    this.onRoom = onRoom;
  }

  /** Its socket is full: it is not pushed to until that has drained. */
  get isLagging(): boolean {
    return this.isFull;
  }

  get isReady(): boolean {
    return !this.isFull && !this.isMuted && !this.rest && this.stream.isOpen();
  }

  /** From where it reads on. */
  get readTo(): Cursor {
    return this.conflation?.end ?? this.cursor;
  }

  /** It goes on from here, whatever it had read before. */
  moveTo(cursor: Cursor): void {
    this.cursor = cursor;
    this.wish = undefined;
    this.conflation = undefined;
    this.dueReset = undefined;
  }

  /** Bytes first, then the cursor: a frame that can't be made must not be passed over. */
  deliver(bytes: Buffer, cursor: Cursor): void {
    if (bytes.length > 0) this.send(bytes);
    this.cursor = cursor;
    this.conflation = undefined;
  }

  /**
   * One of the server's own frames, which are never stored. Its id is the client's position: one that has none yet is
   * told nothing, nor is one in the middle of a large event.
   */
  tell(type: string, data: object): void {
    if (this.wish || this.rest) return;
    const { transport } = this.stream;
    this.ownFrames += 1;
    const id = eventId(this.cursor);
    const source = `${transport.source}/${this.name}/${this.ownFrames}`;
    const event = { specversion: '1.0', id, source, type, time: new Date().toISOString(), data };
    this.send(transport.encode([{ id, json: JSON.stringify(event) }]).bytes);
  }

  /** Keeps a connection open on which nothing can be said yet. */
  keepWaiting(): void {
    if (this.stream.transport.comment) this.write(this.stream.transport.comment);
  }

  /** Asks whether it reads what it is sent, where the transport has such a question. */
  ping(): void {
    const { transport } = this.stream;
    if (transport.ping) this.write(transport.ping(this.liveness.pingPayload()));
  }

  mute(): void {
    this.isMuted = true;
  }

  /** What was held back goes out. */
  unmute(): void {
    this.isMuted = false;
    this.liveness.heard(); // nobody asked it meanwhile
    this.sendRest();
    this.onRoom(this);
  }

  /** Nothing is pushed to it from now on; `onRoom` follows. */
  waitForDrain(): void {
    if (this.isFull) return;
    this.isFull = true;
    this.stream.out.write(NOTHING, () => {
      this.isFull = false;
      this.liveness.drained();
      this.sendRest();
      this.onRoom(this);
    });
  }

  private send(bytes: Buffer): void {
    this.rest = bytes;
    this.sendRest();
  }

  /** Part by part, so that what waits in its socket is bounded whatever the size of an event. */
  private sendRest(): void {
    const { transport } = this.stream;
    while (this.rest && !this.isFull && !this.isMuted && this.stream.isOpen()) {
      const { rest } = this;
      const end = rest.length <= PART_BYTES ? rest.length : transport.partEnd(rest, 0);
      this.rest = end < rest.length ? rest.subarray(end) : undefined;
      this.write(end < rest.length ? rest.subarray(0, end) : rest);
      if (this.liveness.isPingDue()) this.ping();
    }
  }

  private write(bytes: Buffer): void {
    const { out } = this.stream;
    out.write(bytes);
    this.liveness.sent(bytes.length);
    if (out.writableLength > HIGH_WATER_BYTES) this.waitForDrain();
  }
}
