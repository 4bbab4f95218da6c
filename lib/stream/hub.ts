// The hub: a Set of clients, and what each is owed. Every client has a cursor, the last event that was handed to
// it; whoever stands below the head and has room gets the next chunk of the log. That one rule is live delivery,
// resume, replay, and slow readers. Nothing is queued per client: the log is.
import { randomBytes } from 'node:crypto';
import type { Config } from '../config.ts';
import { eventId, type ResetReason } from '../event.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';
import { type Chunk, Chunks } from './chunks.ts';
import { Client, type Stream } from './client.ts';
import { Conflation } from './conflation.ts';
import { Head } from './head.ts';
import { Heartbeats } from './heartbeats.ts';
import { Rounds } from './rounds.ts';
import { locate, type Start, type Wish } from './start.ts';

const RETRY_MS = 250;
const LOOK_MS = 500; // how often the log is looked at though nobody said that it has changed

type Settings = Pick<Config, 'heartbeatMs' | 'maxClients'>;

/** A place in the log, and the history in which it was found. */
export type Located = Start & { history: number };

export class Hub {
  readonly clients = new Set<Client>();
  private readonly store: Store;
  private readonly settings: Settings;
  private readonly head: Head;
  private readonly chunks: Chunks;
  private readonly heartbeats: Heartbeats;
  private readonly rounds: Rounds;
  /** Events announced since the start, and those handed to clients, over all clients. */
  private events = 0;
  private deliveries = 0;
  private isScheduled = false;
  private isClosed = false;
  /** Names of streams differ also between servers and runs: `source` and `id` of a frame are unique together. */
  private readonly run = randomBytes(3).toString('hex');
  private names = 0;
  private readonly looking: NodeJS.Timeout;
  /** One function for all clients. */
  private readonly onRoom = (client: Client) => {
    if (this.clients.has(client)) this.enqueue(client);
  };

  /** What the log holds now was announced before. @throws {Problem} 503 if it can't be read */
  static async open(store: Store, settings: Settings): Promise<Hub> {
    const { head } = await store.position();
    return new Hub(store, settings, new Head(store, head));
  }

  private constructor(store: Store, settings: Settings, head: Head) {
    this.head = head;
    this.store = store;
    this.settings = settings;
    this.chunks = new Chunks(store);
    this.rounds = new Rounds({
      serve: (client) => this.serve(client),
      isOwed: (client) => client.isReady && this.isOwed(client),
    });
    const isAtHead = (client: Client) => !this.isOwed(client);
    this.heartbeats = new Heartbeats(settings.heartbeatMs, { clients: this.clients, isAtHead });
    store.onCommit(() => this.lookAgain());
    this.looking = setInterval(() => this.lookAgain(), LOOK_MS); // a history may be replaced without a commit
    this.lookAgain();
  }

  get isFull(): boolean {
    return this.clients.size >= this.settings.maxClients;
  }

  /** Events announced and events handed to clients since the start, and what the hub keeps in memory of the log. */
  get counters(): { events: number; deliveries: number; cachedBytes: number } {
    return { events: this.events, deliveries: this.deliveries, cachedBytes: this.chunks.bytes };
  }

  /** The id of the newest event that was announced. */
  get lastEventId(): string {
    return eventId(this.head.cursor);
  }

  // --- joining and leaving

  /** Is there a place for one more? @throws {Problem} 503 */
  checkRoom(): void {
    if (!this.isFull) return;
    const headers = { 'Retry-After': '5' };
    throw new Problem(503, 'Too many clients are connected: try again later.', { headers });
  }

  /** Where a stream with this wish begins. @throws {Problem} 503 */
  async locate(wish: Wish): Promise<Located> {
    const { histories: history } = this.head; // as it was before the log was asked
    return { ...(await locate(this.store, wish)), history };
  }

  /**
   * Adds a stream; its first frame says where it stands, and then it gets all that follows.
   * @param start a wish where the log can't be read: then the first frame comes as soon as it can
   */
  add(stream: Stream, start: Located | { wish: Wish }): Client {
    this.names += 1;
    const client = new Client(stream, `client-${this.names}-${this.run}`, this.head.cursor, this.onRoom);
    this.clients.add(client);
    if ('wish' in start) client.wish = start.wish;
    else this.begin(client, start);
    this.enqueue(client);
    this.heartbeats.announceCount();
    return client;
  }

  remove(client: Client): void {
    if (this.clients.delete(client)) this.heartbeats.announceCount();
  }

  /** Sends a client nothing for a while; then it is served from the log like any other that was away. */
  mute(client: Client, seconds: number): void {
    if (client.isMuted) return;
    client.mute();
    setTimeout(() => client.unmute(), seconds * 1000).unref();
  }

  /** How many events of the log a client has yet to pass. */
  distance(client: Client): number {
    return Math.max(0, this.head.cursor.seq - client.cursor.seq);
  }

  /** Stops serving; says goodbye to every client, each in its transport's manner. */
  close(): void {
    this.isClosed = true;
    clearInterval(this.looking);
    this.heartbeats.stop();
    this.head.silence();
    for (const client of this.clients) client.stream.close();
  }

  // --- the turn: one slice of work, then the event loop goes round

  private lookAgain(): void {
    this.head.isStale = true;
    this.schedule();
  }

  private enqueue(client: Client, isLive = false): void {
    this.rounds.add(client, isLive);
    this.schedule();
  }

  private schedule(): void {
    if (this.isScheduled || this.isClosed) return;
    this.isScheduled = true;
    const { restMs } = this.rounds;
    if (this.rounds.isEmpty && restMs > 0) setTimeout(() => this.turn(), restMs);
    else setImmediate(() => this.turn());
  }

  /** A round is finished before the head moves: everyone who is live gets the same bytes. */
  private async turn(): Promise<void> {
    const { head, rounds } = this;
    if (rounds.isOver) this.store.announced(head.cursor.seq);
    const mayLook = rounds.isOver && rounds.restMs === 0;
    if (!head.isReadable || (mayLook && head.isStale)) await this.look();
    await rounds.serveSlice(() => head.isStale);
    this.isScheduled = false;
    if (!head.isReadable) setTimeout(() => this.schedule(), RETRY_MS).unref();
    else if (!rounds.isEmpty || head.isStale) this.schedule();
  }

  private async look(): Promise<void> {
    const old = this.head.cursor;
    const found = await this.head.look();
    if (found === 'moved') this.announce(old.seq);
    if (found === 'replaced') this.startOver();
  }

  private announce(oldSeq: number): void {
    this.events += this.head.cursor.seq - oldSeq;
    this.rounds.start();
    for (const client of this.clients) this.enqueue(client, client.cursor.seq === oldSeq);
  }

  /** The newest event that was announced is no longer in the log: another history took its place. */
  private startOver(): void {
    console.error('The history of the event log was replaced: every stream is told to load afresh.');
    this.chunks.clear();
    for (const client of this.clients) {
      client.dueReset = 'unknown-log';
      this.enqueue(client);
    }
  }

  // --- one client's turn

  /** Is there something that a client has yet to get? */
  private isOwed({ wish, dueReset, readTo }: Client): boolean {
    return wish !== undefined || dueReset !== undefined || readTo.seq < this.head.cursor.seq;
  }

  /** Hands a client what comes next for it. Returns a promise only if the log must be read first. */
  private serve(client: Client): Promise<void> | undefined {
    if (!client.isReady) return undefined;
    const { head } = this;
    if (client.wish) return head.isReadable ? this.place(client, client.wish) : undefined;
    if (client.dueReset) this.begin(client, this.resetFor(client.dueReset));
    if (client.readTo.seq < head.cursor.seq && head.isReadable) {
      const chunk = this.chunks.find(client.readTo, head.cursor);
      if (!chunk) return this.load(client);
      this.deliver(client, chunk);
    }
    this.heartbeats.sendIfDue(client); // it was due while there was no room
    return undefined;
  }

  /** The log could not be read when it came. */
  private async place(client: Client, wish: Wish): Promise<void> {
    const start = await this.head.read(this.locate(wish));
    if (start && client.isReady) this.begin(client, start);
  }

  /** What was read is delivered at once: until its next turn, a herd could have pushed it out of the cache. */
  private async load(client: Client): Promise<void> {
    const found = await this.head.read(this.chunks.load(client.readTo, this.head.cursor));
    if (found === undefined || !client.isReady) return; // it may have closed, or been muted, meanwhile
    if (typeof found === 'object') return this.deliver(client, found);
    client.dueReset = found;
    if (found !== 'expired') this.head.isStale = true; // then the head itself may be of a lost history
  }

  /** A frame that can't be made is our bug: it is logged whole, and ends this stream alone, its cursor unmoved. */
  private deliver(client: Client, chunk: Chunk): void {
    try {
      if (!this.isKeptBack(client, chunk)) client.deliver(this.encode(client, chunk), chunk.end);
      this.deliveries += chunk.events.length;
      // One chunk in flight: what a herd has in its sockets is written at once when they drain, and delays the live.
      if (client.readTo.seq < this.head.cursor.seq && client.stream.out.writableLength > 0)
        client.waitForDrain();
    } catch (error) {
      console.error(error);
      client.stream.destroy();
    }
  }

  /** One that conflates reads on to the head before it gets anything: what waits there may replace what it has read. */
  private isKeptBack(client: Client, chunk: Chunk): boolean {
    if (!client.kind.isConflated) return false;
    const isLast = chunk.end.seq >= this.head.cursor.seq;
    if (isLast && !client.conflation) return false; // live: it shares its frames with all of its kind
    client.conflation ??= new Conflation(client.cursor);
    client.conflation.add(chunk, client.kind.filter);
    return !isLast && !client.conflation.isFull;
  }

  private encode({ conflation, kind }: Client, chunk: Chunk): Buffer {
    return conflation ? conflation.encode(kind.transport) : this.chunks.encode(chunk, kind);
  }

  // --- the server's own frames

  private begin(client: Client, { cursor, behind, reset, history }: Located): void {
    client.moveTo(cursor);
    if (reset) return client.tell('stream.reset', { reason: reset });
    if (history !== this.head.histories) {
      client.dueReset = 'unknown-log'; // the log was replaced after it was asked: its first frame says so
      return;
    }
    const heartbeatSeconds = this.settings.heartbeatMs / 1000;
    client.tell('stream.ready', { behind, client: client.name, heartbeatSeconds });
  }

  private resetFor(reset: ResetReason): Located {
    return { cursor: this.head.cursor, behind: 0, reset, history: this.head.histories };
  }
}
