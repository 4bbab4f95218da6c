// One client: a stream that somebody opened, and where it stands in the log. Its cursor is all that is owed to it:
// nothing is queued for a client, and one whose socket is full is simply not pushed to until it has drained.
import type { Writable } from 'node:stream';
import { type Cursor, eventId, type ResetReason } from '../event.ts';
import type { Filter } from '../filter.ts';
import type { Transport } from './frames.ts';
import { Liveness } from './liveness.ts';

const HIGH_WATER_BYTES = 256 * 1024; // unsent bytes above which a client lags
const NOTHING = Buffer.alloc(0);

/** An open connection, as its transport gives it to the hub. */
export interface Stream {
  readonly transport: Transport;
  readonly filter: Filter;
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

/** Where a stream begins; `reset` says why its cursor can't be continued. */
export type Start = { cursor: Cursor; behind: number; reset?: ResetReason | undefined };

export class Client {
  readonly stream: Stream;
  /** The name that the server gave this stream. */
  readonly name: string;
  readonly connectedAt = new Date();
  /** Equal for clients that get the same bytes. */
  readonly frameKey: string;
  readonly liveness = new Liveness();
  /** The last event that was handed to it, or that its filter hid. */
  cursor: Cursor;
  /** Why its cursor is good no longer: it is told so before it gets anything else. */
  dueReset: ResetReason | undefined;
  isQueued = false;
  isMuted = false;
  private isFull = false;
  /** Numbers the server's own frames, so that each has a `source` of its own. */
  private ownFrames = 0;
  private readonly onRoom: (client: Client) => void;

  /** @param onRoom is called when a client that lagged has drained */
  constructor(stream: Stream, name: string, { cursor, reset }: Start, onRoom: (client: Client) => void) {
    this.stream = stream;
    this.name = name;
    this.frameKey = `${stream.transport.name} ${stream.filter.key}`;
    this.cursor = cursor;
    this.dueReset = reset;
    this.onRoom = onRoom;
  }

  /** Its socket is full: it is not pushed to until that has drained. */
  get isLagging(): boolean {
    return this.isFull;
  }

  get isReady(): boolean {
    return !this.isFull && !this.isMuted && this.stream.isOpen();
  }

  /** Bytes first, then the cursor: a frame that can't be made must not be passed over. */
  deliver(bytes: Buffer, cursor: Cursor): void {
    if (bytes.length > 0) this.send(bytes);
    this.cursor = cursor;
    if (this.liveness.isPingDue()) this.ping();
  }

  /** One of the server's own frames, which are never stored. Its id is the client's position. */
  tell(type: string, data: object): void {
    const { transport } = this.stream;
    this.ownFrames += 1;
    const id = eventId(this.cursor);
    const source = `${transport.source}/${this.name}/${this.ownFrames}`;
    const event = { specversion: '1.0', id, source, type, time: new Date().toISOString(), data };
    this.send(transport.encode([{ id, json: JSON.stringify(event) }]));
  }

  /** Asks whether it reads what it is sent, where the transport has such a question. */
  ping(): void {
    const { transport } = this.stream;
    if (transport.ping) this.send(transport.ping(this.liveness.pingPayload()));
  }

  /** Nothing is pushed to it from now on; `onRoom` follows. */
  waitForDrain(): void {
    if (this.isFull) return;
    this.isFull = true;
    this.stream.out.write(NOTHING, () => {
      this.isFull = false;
      this.liveness.drained();
      this.onRoom(this);
    });
  }

  private send(bytes: Buffer): void {
    const { out } = this.stream;
    out.write(bytes);
    this.liveness.sent(bytes.length);
    if (out.writableLength > HIGH_WATER_BYTES) this.waitForDrain();
  }
}
