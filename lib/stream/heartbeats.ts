// Heartbeats: how a client knows that it is live although nothing happens, and how the server finds out
// that a client is gone. A frame and a ping go together: a browser's page can't see pings, and a dead
// connection can't answer them.
import type { Client } from './hub.ts';

const SILENT_BEATS = 2; // unanswered heartbeats after which a connection is dead
const PATIENCE_BEATS = 10; // so many where it has yet to take, or to read, what it was sent
const PING_BYTES = 64 * 1024; // behind so many bytes goes a ping: its answer tells that they were read
const MUCH_UNREAD_BYTES = 16 * 1024;
const COUNT_INTERVAL_MS = 1000;

/** What is known of a client's side. Bytes are counted from the beginning of the stream. */
export type Liveness = {
  isHeartbeatDue: boolean;
  /** Heartbeats since it was heard last. */
  silentBeats: number;
  /** Heartbeats since it took a byte, while it lags. */
  stuckBeats: number;
  /** Handed to its socket, */
  sentBytes: number;
  /** of these before its last ping, */
  pingedBytes: number;
  /** read, as its pongs tell, */
  readBytes: number;
  /** and taken by its side, as the socket tells. */
  takenBytes: number;
};

export function newLiveness(): Liveness {
  return {
    isHeartbeatDue: false,
    silentBeats: 0,
    stuckBeats: 0,
    sentBytes: 0,
    pingedBytes: 0,
    readBytes: 0,
    takenBytes: 0,
  };
}

/** What the hub lends: its frames, its way to a client, and where the log stands. */
type Hub = {
  control: (client: Client, type: string, data: object) => Buffer;
  send: (client: Client, bytes: Buffer) => void;
  enqueue: (client: Client) => void;
  waitForDrain: (client: Client) => void;
  position: () => number;
};

export function createHeartbeats(clients: ReadonlySet<Client>, intervalMs: number, hub: Hub) {
  const frames = new Map<string, Buffer>(); // the same bytes for all who stand at the head
  let countTimer: NodeJS.Timeout | undefined;
  let countedAt = 0;

  const timer = setInterval(() => {
    for (const client of clients) findDead(client);
    beat();
  }, intervalMs);

  /** Everyone gets one as soon as it has caught up. */
  function beat(): void {
    frames.clear();
    for (const client of clients) {
      client.liveness.isHeartbeatDue = true;
      hub.enqueue(client);
    }
  }

  function findDead(client: Client): void {
    const { stream, liveness } = client;
    if (client.isMuted) return;
    if (client.isLagging) return findStuck(client);
    if (stream.out.writableLength > 0) return hub.waitForDrain(client); // from now on it is watched
    if (!stream.transport.ping || client.cursor < hub.position()) return;
    if (liveness.silentBeats >= (isReading(liveness) ? PATIENCE_BEATS : SILENT_BEATS)) stream.destroy();
    liveness.silentBeats += 1;
  }

  /** It may send us what it likes: who takes no byte for so long is cut off. */
  function findStuck({ stream, liveness }: Client): void {
    const taken = liveness.sentBytes - stream.unsentBytes();
    if (taken > liveness.takenBytes) liveness.stuckBeats = 0;
    liveness.takenBytes = Math.max(taken, liveness.takenBytes);
    if (liveness.stuckBeats >= PATIENCE_BEATS) stream.destroy();
    liveness.stuckBeats += 1;
  }

  /** Kernels hold megabytes for a slow client: it can't answer a ping before it has read what stands before it. */
  function isReading({ sentBytes, readBytes }: Liveness): boolean {
    return sentBytes - readBytes > MUCH_UNREAD_BYTES;
  }

  /** Its payload is how many bytes stand before it; a pong brings it back. */
  function pingOf({ stream, liveness }: Client): Buffer | undefined {
    liveness.pingedBytes = liveness.sentBytes;
    return stream.transport.ping?.(String(liveness.sentBytes));
  }

  return {
    /** To a client that has caught up. */
    sendIfDue(client: Client): void {
      if (!client.liveness.isHeartbeatDue) return;
      client.liveness.isHeartbeatDue = false;
      const key = `${client.stream.transport.name} ${client.cursor} ${clients.size}`;
      const frame = frames.get(key) ?? hub.control(client, 'stream.heartbeat', { clients: clients.size });
      frames.set(key, frame);
      const ping = pingOf(client);
      hub.send(client, ping ? Buffer.concat([ping, frame]) : frame);
    },

    /** Asks a client that gets much, again and again, whether it has read it. */
    follow(client: Client): void {
      const { sentBytes, pingedBytes } = client.liveness;
      if (sentBytes - pingedBytes < PING_BYTES) return;
      const ping = pingOf(client);
      if (ping) hub.send(client, ping);
    },

    /** A sign of life, perhaps a pong. */
    heard({ liveness }: Client, pong = ''): void {
      liveness.silentBeats = 0;
      const bytes = Number(pong);
      if (bytes > liveness.readBytes && bytes <= liveness.sentBytes) liveness.readBytes = bytes;
    },

    /** It lagged, and has taken all that waited for it. */
    drained({ liveness }: Client): void {
      liveness.silentBeats = 0;
      liveness.stuckBeats = 0;
    },

    /** Tells everyone how many clients there are, at most once a second. */
    announceCount(): void {
      if (countTimer) return;
      const wait = Math.max(0, countedAt + COUNT_INTERVAL_MS - performance.now());
      countTimer = setTimeout(() => {
        countTimer = undefined;
        countedAt = performance.now();
        beat();
      }, wait);
    },

    stop(): void {
      clearInterval(timer);
      clearTimeout(countTimer);
    },
  };
}
