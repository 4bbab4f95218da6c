// What is known of a client's side: bytes that it was sent, took and read, and heartbeats that it left unanswered.
// Nothing here writes or waits: it only counts, and judges. Kernels hold megabytes for a slow client, so a socket
// that takes bytes says little; a ping carries the number of bytes before it, and its pong tells that they were read.
const SILENT_BEATS = 2; // unanswered heartbeats after which a connection is dead
const PATIENCE_BEATS = 10; // so many where it has yet to take, or to read, what it was sent
const PING_BYTES = 64 * 1024; // behind so many bytes goes a ping
const MUCH_UNREAD_BYTES = 16 * 1024;

/** Bytes are counted from the beginning of the stream. */
export class Liveness {
  /** A heartbeat is owed, and goes out as soon as there is room. */
  isHeartbeatDue = false;
  /** How often it was asked whether it reads. */
  pings = 0;
  /** Heartbeats since it was heard last. */
  private silentBeats = 0;
  /** Heartbeats since it took a byte, while it lags. */
  private stuckBeats = 0;
  /** Handed to its socket. */
  private sentBytes = 0;
  /** Those that were sent before its last ping. */
  private pingedBytes = 0;
  /** Those that it has read, as its pongs tell. */
  private readBytes = 0;
  /** Those that its side has taken, as the socket tells. */
  private takenBytes = 0;

  sent(bytes: number): void {
    this.sentBytes += bytes;
  }

  /** A sign of life, perhaps a pong with the payload of a ping of ours. */
  heard(pong = ''): void {
    this.silentBeats = 0;
    const bytes = Number(pong);
    if (bytes > this.readBytes && bytes <= this.sentBytes) this.readBytes = bytes;
  }

  /** It lagged, and has taken all that waited for it. */
  drained(): void {
    this.silentBeats = 0;
    this.stuckBeats = 0;
  }

  /** Was so much sent that it must be asked whether it reads? */
  isPingDue(): boolean {
    return this.sentBytes - this.pingedBytes >= PING_BYTES;
  }

  /** The payload of a ping: how many bytes stand before it. */
  pingPayload(): string {
    this.pings += 1;
    this.pingedBytes = this.sentBytes;
    return String(this.sentBytes);
  }

  /** One heartbeat more without a word from a client that has taken everything. True if it is dead. */
  countSilentBeat(): boolean {
    const isReading = this.sentBytes - this.readBytes > MUCH_UNREAD_BYTES; // it can't answer before it has read
    const isDead = this.silentBeats >= (isReading ? PATIENCE_BEATS : SILENT_BEATS);
    this.silentBeats += 1;
    return isDead;
  }

  /** One heartbeat more for a client that lags. True if it takes nothing, whatever it sends us. */
  countStuckBeat(unsentBytes: number): boolean {
    const taken = this.sentBytes - unsentBytes;
    if (taken > this.takenBytes) this.stuckBeats = 0;
    this.takenBytes = Math.max(taken, this.takenBytes);
    const isStuck = this.stuckBeats >= PATIENCE_BEATS;
    this.stuckBeats += 1;
    return isStuck;
  }
}
