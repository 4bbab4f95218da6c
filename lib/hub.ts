// The hub: a Set of clients, and what each is owed. Every client has a cursor, the last seq that was
// handed to it; whoever stands below the head and has room gets the next chunk of the log. That one
// rule is live delivery, resume, replay, and slow readers. Nothing is queued per client: the log is.
import type { Writable } from 'node:stream';
import { type Cursor, eventId, type StoredEvent, type TypeFilter, toCloudEvent } from './event.ts';
import { type Encode, PING_FRAME } from './frames.ts';
import type { Store } from './store.ts';

const HIGH_WATER_BYTES = 256 * 1024; // unsent bytes above which a client lags: not pushed to until it drains
const CHUNK_BYTES = 128 * 1024;
const CHUNK_EVENTS = 256;
const MAX_CHUNKS = 128;
const SLICE_MS = 2; // then HTTP has its turn: a fan-out must not hold up a POST
const RETRY_MS = 250;
const PATIENCE_HEARTBEATS = 10;

/** What a transport gives to the hub. */
export type Stream = {
  transport: 'websocket' | 'event-stream';
  /** The events' `source` for the server's own frames. */
  source: '/ws' | '/api/events';
  out: Writable;
  encode: Encode;
  types: TypeFilter;
  isOpen: () => boolean;
  /** Calls back when nothing was read from or sent to the socket for so long; 0 turns it off. */
  onStall: (milliseconds: number, callback: () => void) => void;
  /** A farewell in the transport's own manner. */
  close: () => void;
  destroy: () => void;
};

/** One stream, and where it stands. */
export type Client = Stream & {
  name: string;
  connectedAt: string;
  cursor: number;
  isLagging: boolean;
  isMuted: boolean;
  isHeartbeatDue: boolean;
  unansweredPings: number;
};

/** Where a stream begins; `reset` says why a cursor can't be continued. */
export type Start = { seq: number; behind: number; reset?: 'unknown-log' | 'expired' | 'ahead' };

/** A stretch of the log, encoded at most once for each transport and filter. */
type Chunk = { end: number; isFull: boolean; events: StoredEvent[]; frames: Map<string, Buffer> };

export type Hub = ReturnType<typeof createHub>;

export function createHub(
  store: Store,
  { heartbeatMs, maxClients }: { heartbeatMs: number; maxClients: number },
) {
  const clients = new Set<Client>();
  const due = new Set<Client>(); // those who may be owed something
  const chunks = new Map<number, Chunk>(); // by the cursor they follow; any prefix of the log stays right
  const heartbeatFrames = new Map<string, Buffer>();
  const counters = { events: 0, deliveries: 0 };
  let head = 0; // the newest seq that was announced
  let isHeadStale = true;
  let isReadable = true;
  let isScheduled = false;
  let isClosed = false;
  let names = 0;

  // --- the turn: one slice of work, then the event loop goes round

  function schedule(): void {
    if (isScheduled || isClosed) return;
    isScheduled = true;
    setImmediate(turn);
  }

  async function turn(): Promise<void> {
    try {
      if (isHeadStale) await readHead();
      const sliceEnd = performance.now() + SLICE_MS;
      for (const client of due) {
        due.delete(client);
        const loading = serve(client);
        if (loading) await loading;
        if (performance.now() > sliceEnd) break;
      }
      isReadable = true;
    } catch (error) {
      if (isReadable && !isClosed)
        console.error(`The event log cannot be read, trying again: ${(error as Error).message}`);
      isReadable = false;
      for (const client of due) if (client.cursor === head) serve(client); // heartbeats: the stream is alive
    }
    isScheduled = false;
    if (!isReadable) setTimeout(schedule, RETRY_MS).unref();
    else if (due.size > 0 || isHeadStale) schedule();
  }

  async function readHead(): Promise<number> {
    isHeadStale = false;
    try {
      const position = await store.position();
      moveHead(position.head);
      return position.pruned;
    } catch (error) {
      isHeadStale = true;
      setTimeout(schedule, RETRY_MS).unref(); // a handshake may have asked: no turn knows that it failed
      throw error;
    }
  }

  function moveHead(seq: number): void {
    if (seq <= head) return;
    counters.events += seq - head;
    head = seq;
    for (const client of clients) due.add(client);
    schedule();
  }

  /** Hands a client its next chunk. Returns a promise only if the log must be read first. */
  function serve(client: Client): Promise<void> | undefined {
    if (!isReady(client)) return undefined;
    if (client.cursor < head) {
      const chunk = chunks.get(client.cursor);
      due.add(client); // again, after the others
      if (!chunk || (!chunk.isFull && chunk.end !== head)) return load(client);
      deliver(client, chunk);
    }
    if (client.cursor === head) {
      due.delete(client);
      if (client.isHeartbeatDue) sendHeartbeat(client);
    }
    return undefined;
  }

  function isReady(client: Client): boolean {
    return !client.isLagging && !client.isMuted && client.isOpen();
  }

  async function load(client: Client): Promise<void> {
    const { cursor } = client;
    // Chunks end at multiples of 256 positions: the cursors of a herd that differ a little meet there,
    // and then share every chunk. Near the head a chunk ends at the head: one write for a whole turn.
    const boundary = (Math.floor(cursor / CHUNK_EVENTS) + 1) * CHUNK_EVENTS;
    const wanted = head - cursor <= CHUNK_EVENTS ? head : boundary;
    const stretch = await store.readEvents(cursor, wanted, CHUNK_EVENTS, CHUNK_BYTES);
    if (cursor < stretch.pruned) {
      if (isReady(client)) reset(client, 'expired'); // it may have closed, or been muted, meanwhile
      return;
    }
    const end = stretch.upTo;
    chunks.delete(cursor);
    chunks.set(cursor, { end, isFull: end < head, events: stretch.events, frames: new Map() });
    if (chunks.size > MAX_CHUNKS) chunks.delete(chunks.keys().next().value!);
  }

  function deliver(client: Client, chunk: Chunk): void {
    client.cursor = chunk.end;
    const key = client.transport + client.types.key;
    let bytes = chunk.frames.get(key);
    if (!bytes) {
      const wanted = chunk.events.filter((event) => client.types.matches(event.type));
      bytes = client.encode(
        wanted.map((event) => ({ id: eventId(store.log, event.seq), json: toCloudEvent(store.log, event) })),
      );
      chunk.frames.set(key, bytes);
    }
    counters.deliveries += chunk.events.length;
    if (bytes.length > 0) send(client, bytes);
  }

  function send(client: Client, bytes: Buffer): void {
    client.out.write(bytes);
    if (client.out.writableLength <= HIGH_WATER_BYTES) return;
    client.isLagging = true;
    client.onStall(PATIENCE_HEARTBEATS * heartbeatMs, () => client.destroy());
    client.out.once('drain', () => {
      client.isLagging = false;
      client.onStall(0, () => client.destroy());
      wakeClient(client);
    });
  }

  function wakeClient(client: Client): void {
    if (!clients.has(client)) return;
    due.add(client);
    schedule();
  }

  // --- the server's own frames

  function control(client: Client, type: string, data: object): Buffer {
    const id = eventId(store.log, client.cursor);
    const event = {
      specversion: '1.0',
      id,
      source: client.source,
      type,
      time: new Date().toISOString(),
      data,
    };
    return client.encode([{ id, json: JSON.stringify(event) }]);
  }

  function reset(client: Client, reason: string): void {
    client.cursor = head;
    send(client, control(client, 'stream.reset', { reason }));
  }

  /** A ping goes with it: a browser can't see pings, and a dead connection can't answer them. */
  function sendHeartbeat(client: Client): void {
    client.isHeartbeatDue = false;
    const key = `${client.transport} ${head} ${clients.size}`;
    let bytes = heartbeatFrames.get(key);
    if (!bytes) {
      bytes = control(client, 'stream.heartbeat', { clients: clients.size });
      if (client.transport === 'websocket') bytes = Buffer.concat([PING_FRAME, bytes]);
      heartbeatFrames.set(key, bytes);
    }
    send(client, bytes);
  }

  function beat(): void {
    heartbeatFrames.clear();
    for (const client of clients) {
      client.isHeartbeatDue = true;
      due.add(client);
    }
    schedule();
  }

  const heartbeat = setInterval(() => {
    for (const client of clients) {
      if (client.isMuted || client.transport !== 'websocket') continue;
      if (client.unansweredPings >= 2 && client.out.writableLength === 0) client.destroy();
      client.unansweredPings += 1;
    }
    beat();
  }, heartbeatMs);

  let countTimer: NodeJS.Timeout | undefined;
  let lastCount = 0;

  /** Tells everyone how many clients there are, at most once a second. */
  function announceCount(): void {
    if (countTimer || isClosed) return;
    countTimer = setTimeout(
      () => {
        countTimer = undefined;
        lastCount = performance.now();
        beat();
      },
      Math.max(0, lastCount + 1000 - performance.now()),
    );
  }

  store.onCommit(() => {
    isHeadStale = true;
    schedule();
  });

  return {
    clients,
    counters,

    /** Judges a cursor against the database itself: it may be ahead of what was announced here. */
    async locate(cursor: Cursor | undefined): Promise<Start> {
      const pruned = await readHead();
      if (!cursor) return { seq: head, behind: 0 };
      if (cursor.log !== store.log) return { seq: head, behind: 0, reset: 'unknown-log' };
      if (cursor.seq > head) return { seq: head, behind: 0, reset: 'ahead' };
      if (cursor.seq < pruned) return { seq: head, behind: 0, reset: 'expired' };
      return { seq: cursor.seq, behind: head - cursor.seq };
    },

    isFull: () => clients.size >= maxClients,

    /** Adds a stream; its first frame says where it stands, and then it gets all that follows. */
    add(stream: Stream, start: Start): Client {
      names += 1;
      const client: Client = {
        ...stream,
        name: `client-${names}`,
        connectedAt: new Date().toISOString(),
        cursor: start.seq,
        isLagging: false,
        isMuted: false,
        isHeartbeatDue: false,
        unansweredPings: 0,
      };
      clients.add(client);
      if (start.reset) reset(client, start.reset);
      else send(client, control(client, 'stream.ready', { behind: start.behind, client: client.name }));
      wakeClient(client);
      announceCount();
      return client;
    },

    remove(client: Client): void {
      due.delete(client);
      if (clients.delete(client)) announceCount();
    },

    /** Sends a client nothing for a while; then it is served from the log like any other that was away. */
    mute(client: Client, seconds: number): void {
      if (client.isMuted) return;
      client.isMuted = true;
      const unmute = () => {
        client.isMuted = false;
        client.unansweredPings = 0;
        wakeClient(client);
      };
      setTimeout(unmute, seconds * 1000).unref();
    },

    head: () => head,

    /** The lab's view of every stream. */
    list: () =>
      [...clients].map((client) => ({
        client: client.name,
        transport: client.transport === 'websocket' ? 'websocket' : 'sse',
        lastEventId: eventId(store.log, client.cursor),
        behind: head - client.cursor,
        bufferedBytes: client.out.writableLength,
        connectedAt: client.connectedAt,
      })),

    /** Stops serving; says goodbye to every client, each in its transport's manner. */
    close(): void {
      isClosed = true;
      clearInterval(heartbeat);
      clearTimeout(countTimer);
      for (const client of clients) client.close();
    },
  };
}
