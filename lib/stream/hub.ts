// The hub: a Set of clients, and what each is owed. Every client has a cursor, the last seq that was
// handed to it; whoever stands below the head and has room gets the next chunk of the log. That one
// rule is live delivery, resume, replay, and slow readers. Nothing is queued per client: the log is.
import type { Writable } from 'node:stream';
import { type Cursor, eventId, type TypeFilter } from '../event.ts';
import type { Store } from '../store/store.ts';
import { type Chunk, createChunks } from './chunks.ts';
import type { Transport } from './frames.ts';
import { createHeartbeats, type Liveness, newLiveness } from './heartbeats.ts';

const HIGH_WATER_BYTES = 256 * 1024; // unsent bytes above which a client lags: not pushed to until it drains
const SLICE_MS = 2; // then HTTP has its turn: a fan-out must not hold up a POST
const RETRY_MS = 250;
const NOTHING = Buffer.alloc(0);

/** An open connection, as its transport gives it to the hub. */
export interface Stream {
  readonly transport: Transport;
  readonly types: TypeFilter;
  /** Where the frames go. */
  readonly out: Writable;
  isOpen(): boolean;
  /** Bytes that wait for the client, here and in the kernel's queue of this socket. */
  unsentBytes(): number;
  /** A farewell in the transport's own manner. */
  close(): void;
  destroy(): void;
}

/** One stream, and where it stands. */
export type Client = {
  readonly stream: Stream;
  readonly number: number;
  readonly connectedAt: number;
  /** Equal for clients that get the same bytes. */
  readonly frameKey: string;
  /** The last seq that was handed to it. */
  cursor: number;
  isQueued: boolean;
  isLagging: boolean;
  isMuted: boolean;
  /** For `heartbeats.ts`. */
  readonly liveness: Liveness;
};

/** Where a stream begins; `reset` says why a cursor can't be continued. */
export type Start = { seq: number; behind: number; reset?: 'unknown-log' | 'expired' | 'ahead' };

export type Hub = ReturnType<typeof createHub>;

export function createHub(store: Store, config: { heartbeatMs: number; maxClients: number }) {
  const clients = new Set<Client>();
  const queue: Client[] = []; // those who may be owed something, each at most once
  const chunks = createChunks(store);
  let firstHead: number | undefined; // what the log held at the start was announced before
  let deliveries = 0;
  let head = 0; // the newest seq that was announced
  let isHeadStale = true;
  let isReadable = true;
  let isScheduled = false;
  let isClosed = false;
  let names = 0;

  // --- joining and leaving

  /** Judges a cursor against the database itself: it may be ahead of what was announced here. */
  async function locate(cursor: Cursor | undefined): Promise<Start> {
    const pruned = await readHead();
    if (!cursor) return { seq: head, behind: 0 };
    if (cursor.log !== store.log) return { seq: head, behind: 0, reset: 'unknown-log' };
    if (cursor.seq > head) return { seq: head, behind: 0, reset: 'ahead' };
    if (cursor.seq < pruned) return { seq: head, behind: 0, reset: 'expired' };
    return { seq: cursor.seq, behind: head - cursor.seq };
  }

  /** Adds a stream; its first frame says where it stands, and then it gets all that follows. */
  function add(stream: Stream, start: Start): Client {
    names += 1;
    const client: Client = {
      stream,
      number: names,
      connectedAt: Date.now(),
      frameKey: `${stream.transport.name} ${stream.types.key}`,
      cursor: start.seq,
      isQueued: false,
      isLagging: false,
      isMuted: false,
      liveness: newLiveness(),
    };
    clients.add(client);
    if (start.reset) reset(client, start.reset);
    else send(client, control(client, 'stream.ready', { behind: start.behind, client: nameOf(client) }));
    enqueue(client);
    heartbeats.announceCount();
    return client;
  }

  function remove(client: Client): void {
    if (clients.delete(client)) heartbeats.announceCount();
  }

  // --- the turn: one slice of work, then the event loop goes round

  function enqueue(client: Client): void {
    if (client.isQueued) return;
    client.isQueued = true;
    queue.push(client);
    schedule();
  }

  function schedule(): void {
    if (isScheduled || isClosed) return;
    isScheduled = true;
    setImmediate(turn);
  }

  async function turn(): Promise<void> {
    let served = 0;
    try {
      if (isHeadStale) await readHead();
      const sliceEnd = performance.now() + SLICE_MS;
      for (const client of queue) {
        served += 1;
        client.isQueued = false;
        const loading = serve(client);
        if (loading) await loading;
        if (performance.now() > sliceEnd) break;
      }
      isReadable = true;
    } catch (error) {
      if (isReadable && !isClosed)
        console.error(`The event log cannot be read, trying again: ${(error as Error).message}`);
      isReadable = false;
      for (const client of [...queue]) if (client.cursor === head) serve(client); // heartbeats: the stream is alive
    }
    queue.splice(0, served);
    isScheduled = false;
    if (!isReadable) setTimeout(schedule, RETRY_MS).unref();
    else if (queue.length > 0 || isHeadStale) schedule();
  }

  /** Returns the seq up to which events are no longer kept. */
  async function readHead(): Promise<number> {
    isHeadStale = false;
    try {
      const position = await store.position();
      firstHead ??= position.head;
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
    head = seq;
    for (const client of clients) enqueue(client);
  }

  /** Hands a client its next chunk. Returns a promise only if the log must be read first. */
  function serve(client: Client): Promise<void> | undefined {
    if (!isReady(client)) return undefined;
    if (client.cursor < head) {
      const chunk = chunks.find(client.cursor, head);
      if (!chunk) return load(client);
      deliver(client, chunk);
    }
    if (client.cursor < head)
      enqueue(client); // again, after the others
    else heartbeats.sendIfDue(client);
    return undefined;
  }

  function isReady(client: Client): boolean {
    return !client.isLagging && !client.isMuted && client.stream.isOpen();
  }

  /** What was read is delivered at once: until its next turn, a herd could have pushed it out of the cache. */
  async function load(client: Client): Promise<void> {
    enqueue(client); // also if this fails
    const chunk = await chunks.load(client.cursor, head);
    if (!isReady(client)) return; // it may have closed, or been muted, meanwhile
    if (chunk) deliver(client, chunk);
    else reset(client, 'expired');
  }

  function deliver(client: Client, chunk: Chunk): void {
    client.cursor = chunk.end;
    deliveries += chunk.events.length;
    const bytes = chunks.encode(chunk, client.stream, client.frameKey);
    if (bytes.length === 0) return;
    send(client, bytes);
    heartbeats.follow(client);
  }

  function send(client: Client, bytes: Buffer): void {
    const { out } = client.stream;
    out.write(bytes);
    client.liveness.sentBytes += bytes.length;
    if (out.writableLength > HIGH_WATER_BYTES) waitForDrain(client);
  }

  /** Nothing is pushed to a client that lags; once its socket has drained, it is served from the log. */
  function waitForDrain(client: Client): void {
    if (client.isLagging) return;
    client.isLagging = true;
    client.stream.out.write(NOTHING, () => {
      client.isLagging = false;
      heartbeats.drained(client);
      if (clients.has(client)) enqueue(client);
    });
  }

  // --- the server's own frames

  function control(client: Client, type: string, data: object): Buffer {
    const { transport } = client.stream;
    const id = eventId(store.log, client.cursor);
    const time = new Date().toISOString();
    const event = { specversion: '1.0', id, source: transport.source, type, time, data };
    return transport.encode([{ id, json: JSON.stringify(event) }]);
  }

  function reset(client: Client, reason: string): void {
    client.cursor = head;
    send(client, control(client, 'stream.reset', { reason }));
  }

  const heartbeats = createHeartbeats(clients, config.heartbeatMs, {
    control,
    send,
    enqueue,
    waitForDrain,
    position: () => head,
  });

  store.onCommit(() => {
    isHeadStale = true;
    schedule();
  });

  readHead().catch(() => {}); // /healthz shall know at once where the log stands; the first turn tries again

  return {
    clients,
    counters: () => ({ events: head - (firstHead ?? head), deliveries }),
    locate,
    add,
    remove,
    heard: heartbeats.heard,
    isFull: () => clients.size >= config.maxClients,
    head: () => head,

    /** Sends a client nothing for a while; then it is served from the log like any other that was away. */
    mute(client: Client, seconds: number): void {
      if (client.isMuted) return;
      client.isMuted = true;
      const unmute = () => {
        client.isMuted = false;
        heartbeats.heard(client); // nobody asked it meanwhile
        enqueue(client);
      };
      setTimeout(unmute, seconds * 1000).unref();
    },

    /** The lab's view of every stream. */
    list: () =>
      [...clients].map((client) => ({
        client: nameOf(client),
        transport: client.stream.transport.name,
        lastEventId: eventId(store.log, client.cursor),
        behind: head - client.cursor,
        bufferedBytes: client.stream.out.writableLength,
        connectedAt: new Date(client.connectedAt).toISOString(),
      })),

    /** Stops serving; says goodbye to every client, each in its transport's manner. */
    close(): void {
      isClosed = true;
      heartbeats.stop();
      for (const client of clients) client.stream.close();
    },
  };
}

function nameOf(client: Client): string {
  return `client-${client.number}`;
}
