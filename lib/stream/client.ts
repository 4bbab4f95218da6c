// One client: a stream that somebody opened, and where it stands in the log. Its cursor is all that is owed to it:
// nothing is queued for a client, and one whose socket is full is simply not pushed to until it has drained.
import type { Writable } from 'node:stream';
import { type Cursor, eventId, type ResetReason } from '../event.ts';
import type { Kind } from './chunks.ts';
import type { Conflation } from './conflation.ts';
import { Liveness } from './liveness.ts';
import type { Start, Wish } from './start.ts';

const HIGH_WATER_BYTES = 256 * 1024; // unsent bytes above which a client lags
const LOOK_MS = 10_000; // how late a stream may hear that its token has ended while the machine slept
const NOTHING = Buffer.alloc(0);

/** An open connection, as its transport gives it to the hub. */
export interface Stream {
  /** Which bytes it gets, shared with all of its kind. */
  readonly kind: Kind;
  /** Where the frames go. To destroy it ends the connection without a word. */
  readonly out: Writable;
  isOpen(): boolean;
  /** Bytes that wait for the client, here and in the kernel's queue of this socket. */
  unsentBytes(): number;
  /** A farewell in the transport's own manner: the server stops, or the client's token has expired. */
  end(why: 'stopping' | 'expired'): void;
}

export class Client {
  readonly stream: Stream;
  /** The name that the server gave this stream. */
  readonly name: string;
  /** In milliseconds since 1970; a Date would take six times the memory. */
  readonly connectedAt = Date.now();
  readonly liveness = new Liveness();
  /** The last event that was handed to it, or that its filter hid. */
  cursor: Cursor;
  /** Where it wants to begin, as long as the database couldn't be asked; it has no position until then. */
  wish: Wish | undefined;
  /** Why its cursor is good no longer: it is told so before it gets anything else. */
  dueReset: ResetReason | undefined;
  /** Which of the events that wait for it are the newest of their source. */
  conflation: Conflation | undefined;
  /** The queue in which it waits for its turn. */
  queue: 'live' | 'behind' | undefined;
  /** Its socket is full: it is not pushed to until that has drained. */
  isLagging = false;
  isMuted = false;
  /** What of a large event has yet to be written, part by part. */
  private rest: Buffer | undefined;
  /** Numbers the server's own frames, so that each has a `source` of its own. */
  private ownFrames = 0;
  private readonly onRoom: (client: Client) => void;

  /** @param onRoom is called when a client that lagged has drained */
  constructor(stream: Stream, name: string, cursor: Cursor, onRoom: (client: Client) => void) {
    this.stream = stream;
    this.name = name;
    this.cursor = cursor;
    this.onRoom = onRoom;
  }

  get isReady(): boolean {
    return !this.isLagging && !this.isMuted && !this.rest && this.stream.isOpen();
  }

  /** From where it reads on. */
  get readTo(): Cursor {
    return this.conflation && !this.conflation.isDone ? this.conflation.end : this.cursor;
  }

  /** Has it got everything up to there? */
  hasReached(head: Cursor): boolean {
    return this.wish === undefined && this.dueReset === undefined && this.cursor.seq >= head.seq;
  }

  /** The first frame of a stream, or of another beginning: from here it goes on, whatever it had read before. */
  begin({ cursor, behind, reset }: Start, heartbeatSeconds: number): void {
    this.cursor = cursor;
    this.wish = undefined;
    this.dueReset = undefined;
    this.conflation = undefined;
    if (reset) this.tell('stream.reset', { reason: reset });
    else this.tell('stream.ready', { behind, client: this.name, heartbeatSeconds });
  }

  /** Bytes first, then the cursor: a frame that can't be made must not be passed over. */
  deliver(bytes: Buffer, cursor: Cursor): void {
    if (bytes.length > 0) this.send(bytes);
    this.cursor = cursor;
    if (this.conflation && cursor.seq >= this.conflation.end.seq) this.conflation = undefined;
  }

  /**
   * One of the server's own frames, which are never stored. Its id is the client's position: one that has none yet is
   * told nothing, nor is one in the middle of a large event.
   */
  tell(type: string, data: object): void {
    if (this.wish || this.rest) return;
    const { transport } = this.stream.kind;
    this.ownFrames += 1;
    const id = eventId(this.cursor);
    const source = `${transport.source}/${this.name}/${this.ownFrames}`;
    const event = { specversion: '1.0', id, source, type, time: new Date().toISOString(), data };
    this.send(transport.encode([{ id, json: JSON.stringify(event) }]).bytes);
  }

  /** Keeps a connection open on which nothing can be said yet. */
  keepWaiting(): void {
    const { comment } = this.stream.kind.transport;
    if (comment) this.write(comment);
  }

  /** Asks whether it reads what it is sent, where the transport has such a question. */
  ping(): void {
    const { transport } = this.stream.kind;
    if (transport.ping) this.write(transport.ping(this.liveness.pingPayload()));
  }

  /** Is sent nothing for a while; then it is served from the log like any other that was away. */
  mute(seconds: number): void {
    if (this.isMuted) return; // a second order must not end the first one early
    this.isMuted = true;
    setTimeout(() => {
      this.isMuted = false;
      this.liveness.heard(); // nobody asked it meanwhile
      this.goOn();
    }, seconds * 1000).unref();
  }

  /**
   * Ends the stream when its token does, with a last frame that says so: a client comes back with a fresh token at its
   * cursor. In milliseconds since 1970; a moment that has passed already is the next turn.
   */
  endAt(expiresAt: number): void {
    // By the wall clock at each look, as tokens are: it may be set, and timers don't run while a machine sleeps.
    const look = () => {
      const left = expiresAt - Date.now();
      if (left > 0) timer = setTimeout(look, Math.min(left, LOOK_MS));
      else {
        this.tell('stream.expired', {});
        this.stream.end('expired');
      }
    };
    let timer = setTimeout(look, 0); // not at once: its first frame says where it stands
    this.stream.out.once('close', () => clearTimeout(timer));
  }

  /** It is left alone from now on; `onRoom` follows when all that waits for it has gone out. */
  waitForDrain(): void {
    if (this.isLagging) return;
    this.isLagging = true;
    // An empty write, since its callback comes when all before it has gone out.
    this.stream.out.write(NOTHING, () => {
      this.isLagging = false;
      this.liveness.drained();
      this.goOn();
    });
  }

  /** What was held back goes out first. */
  private goOn(): void {
    this.sendRest();
    this.onRoom(this);
  }

  private send(bytes: Buffer): void {
    this.rest = bytes;
    this.sendRest();
  }

  /** Part by part, so that what waits in its socket is bounded whatever the size of an event. */
  private sendRest(): void {
    const { transport } = this.stream.kind;
    while (this.rest && !this.isLagging && !this.isMuted && this.stream.isOpen()) {
      const { rest } = this;
      const end = transport.partEnd(rest);
      this.rest = end < rest.length ? rest.subarray(end) : undefined;
      this.write(end < rest.length ? rest.subarray(0, end) : rest); // no view is made where all of it goes at once
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
