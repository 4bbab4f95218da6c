// The hub: a Set of clients, and what each is owed. Every client has a cursor, the last event that was handed to
// it; whoever stands below the head and has room gets the next chunk of the log. That one rule is live delivery,
// resume, replay, and slow readers. Nothing is queued per client: the log is.
import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { type Cursor, eventId, type ResetReason } from '../event.ts';
import { Problem } from '../problem.ts';
import { EVERYTHING, type Scope } from '../scope.ts';
import type { Store } from '../store/store.ts';
import { type Chunk, Chunks } from './chunks.ts';
import { Client, type Start, type Stream } from './client.ts';
import { Heartbeats } from './heartbeats.ts';
import { Rounds } from './rounds.ts';

const RETRY_MS = 250;
const COUNT_STEP = 500;
const COUNT_BYTES = 256 * 1024;
const LOOK_MS = 500; // how often the log is looked at though nobody said that it has changed

export class Hub {
  readonly clients = new Set<Client>();
  private readonly store: Store;
  private readonly config: Pick<Config, 'heartbeatMs' | 'maxClients'>;
  private readonly chunks: Chunks;
  private readonly heartbeats: Heartbeats;
  private readonly rounds: Rounds;
  /** The newest event that was announced. */
  private head: Cursor;
  /** Events announced since the start, and those handed to clients, over all clients. */
  private events = 0;
  private deliveries = 0;
  /** Somebody committed since the head was read. */
  private isHeadStale = true;
  private isReadable = true;
  private isScheduled = false;
  private isClosed = false;
  /** Names of streams differ also between servers and runs: `source` and `id` of a frame are unique together. */
  private readonly run = randomBytes(3).toString('hex');
  private names = 0;
  private readonly looking: NodeJS.Timeout;

  /** What the log holds now was announced before. @throws {Problem} 503 if it can't be read */
  static async open(store: Store, config: Pick<Config, 'heartbeatMs' | 'maxClients'>): Promise<Hub> {
    return new Hub(store, config, (await store.position()).head);
  }

  private constructor(store: Store, config: Pick<Config, 'heartbeatMs' | 'maxClients'>, head: Cursor) {
    this.head = head;
    this.store = store;
    this.config = config;
    this.chunks = new Chunks(store);
    this.rounds = new Rounds({
      serve: (client) => this.serve(client),
      isOwed: (client) => client.isReady && (client.dueReset !== undefined || this.isBehind(client)),
    });
    this.heartbeats = new Heartbeats(config.heartbeatMs, {
      clients: this.clients,
      enqueue: (client) => this.enqueue(client),
      isAtHead: (client) => !this.isBehind(client),
    });
    store.onCommit(() => this.lookAgain());
    this.looking = setInterval(() => this.lookAgain(), LOOK_MS); // a history may be replaced without a commit
    this.lookAgain();
  }

  get isFull(): boolean {
    return this.clients.size >= this.config.maxClients;
  }

  /** Events announced and events handed to clients since the start. */
  get counters(): { events: number; deliveries: number } {
    return { events: this.events, deliveries: this.deliveries };
  }

  /** The id of the newest event that was announced. */
  get lastEventId(): string {
    return eventId(this.head);
  }

  // --- joining and leaving

  /** Judges a cursor against the database itself: it may be ahead of what was announced here. @throws {Problem} 503 */
  async locate(cursor: Cursor | undefined, scope = EVERYTHING): Promise<Start> {
    const { head, resets } = await this.store.position(cursor ? [cursor] : []);
    if (head.seq !== this.head.seq) this.lookAgain();
    if (!cursor) return { cursor: head, behind: 0 };
    if (resets[0]) return { cursor: head, behind: 0, reset: resets[0] };
    if (!scope.seesAll) return { cursor, behind: await this.countBehind(cursor, head, scope) };
    return { cursor, behind: head.seq - cursor.seq };
  }

  /** Who may not see an event may not count it either. */
  private async countBehind(cursor: Cursor, head: Cursor, scope: Scope): Promise<number> {
    let behind = 0;
    for (let at = cursor; at.seq < head.seq; ) {
      const { events, end, reset } = await this.store.readEvents(at, head.seq, COUNT_STEP, COUNT_BYTES);
      if (reset || events.length === 0) break; // its first turn finds out
      behind += events.filter((event) => scope.maySee(event)).length;
      at = end;
      await nextTurn(); // a long count gives way to everyone else
    }
    return behind;
  }

  /** Adds a stream; its first frame says where it stands, and then it gets all that follows. */
  add(stream: Stream, start: Start): Client {
    this.names += 1;
    const name = `client-${this.names}-${this.run}`;
    const client = new Client(
      stream,
      name,
      start,
      (drained) => this.clients.has(drained) && this.enqueue(drained),
    );
    this.clients.add(client);
    if (start.reset) this.reset(client, start.cursor, start.reset);
    else this.welcome(client, start.behind);
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
    client.isMuted = true;
    const unmute = () => {
      client.isMuted = false;
      client.liveness.heard(); // nobody asked it meanwhile
      this.enqueue(client);
    };
    setTimeout(unmute, seconds * 1000).unref();
  }

  /** How many events of the log a client has yet to pass. */
  distance(client: Client): number {
    return Math.max(0, this.head.seq - client.cursor.seq);
  }

  /** Stops serving; says goodbye to every client, each in its transport's manner. */
  close(): void {
    this.isClosed = true;
    clearInterval(this.looking);
    this.heartbeats.stop();
    for (const client of this.clients) client.stream.close();
  }

  // --- the turn: one slice of work, then the event loop goes round

  private lookAgain(): void {
    this.isHeadStale = true;
    this.schedule();
  }

  private enqueue(client: Client, isLive = false): void {
    this.rounds.add(client, isLive);
    this.schedule();
  }

  private schedule(): void {
    if (this.isScheduled || this.isClosed) return;
    this.isScheduled = true;
    setImmediate(() => this.turn());
  }

  /** A round is finished before the head moves: everyone who is live gets the same bytes. */
  private async turn(): Promise<void> {
    if (this.rounds.isOver) this.store.announced(this.head.seq);
    if (!this.isReadable || (this.rounds.isOver && this.isHeadStale)) await this.readHead();
    await this.rounds.serveSlice();
    this.isScheduled = false;
    if (!this.isReadable) setTimeout(() => this.schedule(), RETRY_MS).unref();
    else if (!this.rounds.isEmpty || this.isHeadStale) this.schedule();
  }

  /** Hands a client its next chunk. Returns a promise only if the log must be read first. */
  private serve(client: Client): Promise<void> | undefined {
    if (!client.isReady) return undefined;
    if (client.dueReset) this.reset(client, this.head, client.dueReset);
    if (this.isBehind(client) && this.isReadable) {
      const chunk = this.chunks.find(client.cursor, this.head);
      if (!chunk) return this.load(client);
      this.deliver(client, chunk);
    }
    this.heartbeats.sendIfDue(client); // also while the log can't be read: the stream is alive
    return undefined;
  }

  private isBehind(client: Client): boolean {
    return client.cursor.seq < this.head.seq;
  }

  /** What was read is delivered at once: until its next turn, a herd could have pushed it out of the cache. */
  private async load(client: Client): Promise<void> {
    const found = await this.reading(this.chunks.load(client.cursor, this.head));
    if (found === undefined || !client.isReady) return; // it may have closed, or been muted, meanwhile
    if (typeof found === 'object') return this.deliver(client, found);
    client.dueReset = found;
    if (found !== 'expired') this.isHeadStale = true; // then the head itself may be of a lost history
  }

  /** A frame that can't be made is our bug: it is logged whole, and ends this stream alone, its cursor unmoved. */
  private deliver(client: Client, chunk: Chunk): void {
    try {
      client.deliver(this.chunks.encode(chunk, client), chunk.end);
      this.deliveries += chunk.events.length;
    } catch (error) {
      console.error(error);
      client.stream.destroy();
    }
  }

  // --- the head

  private async readHead(): Promise<void> {
    this.isHeadStale = false; // whoever commits from now on sets it again
    const position = await this.reading(this.store.position([this.head]));
    if (!position) {
      this.isHeadStale = true;
      return;
    }
    const [verdict] = position.resets;
    if (verdict === undefined || verdict === 'expired') this.moveHead(position.head);
    else this.startOver(position.head);
  }

  private moveHead(head: Cursor): void {
    const old = this.head;
    if (head.seq === old.seq) return;
    this.head = head;
    this.events += head.seq - old.seq;
    for (const client of this.clients) this.enqueue(client, client.cursor.seq === old.seq);
  }

  /** The newest event that was announced is no longer in the log: another history took its place. */
  private startOver(head: Cursor): void {
    console.error('The history of the event log was replaced: every stream is told to load afresh.');
    this.chunks.clear();
    this.head = head;
    for (const client of this.clients) {
      client.dueReset = 'unknown-log';
      this.enqueue(client);
    }
  }

  /** Undefined while the database is away, which is said once; the next turn tries again. */
  private async reading<T>(answer: Promise<T>): Promise<T | undefined> {
    try {
      const value = await answer;
      this.isReadable = true;
      return value;
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // our bug, and not the database's fault
      if (this.isReadable && !this.isClosed) {
        console.error(`The event log cannot be read, trying again: ${error.message}`);
      }
      this.isReadable = false;
      return undefined;
    }
  }

  // --- the server's own frames

  private welcome(client: Client, behind: number): void {
    const heartbeatSeconds = this.config.heartbeatMs / 1000;
    client.tell('stream.ready', { behind, client: client.name, heartbeatSeconds });
  }

  private reset(client: Client, head: Cursor, reason: ResetReason): void {
    client.dueReset = undefined;
    client.cursor = head;
    client.tell('stream.reset', { reason });
  }
}
