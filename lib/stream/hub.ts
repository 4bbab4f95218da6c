// The hub: a Set of clients, and what each is owed. Every client has a cursor, the last event that was handed to
// it; whoever stands below the head and has room gets the next chunk of the log. That one rule is live delivery,
// resume, replay, and slow readers. Nothing is queued per client: the log is.
import { randomBytes } from 'node:crypto';
import type { Config } from '../config.ts';
import { type Cursor, eventId, type ResetReason } from '../event.ts';
import { Problem, unavailable } from '../problem.ts';
import type { Store } from '../store/store.ts';
import { Client, type Stream } from './client.ts';
import { Head } from './head.ts';
import { Heartbeats } from './heartbeats.ts';
import { Rounds } from './rounds.ts';
import { Serving } from './serving.ts';
import { locate, type Start, type Wish } from './start.ts';

const LOOK_MS = 500; // how often the log is looked at though nobody said that it has changed, or it can't be read
const UNHEARD_REST_MS = 20; // while nobody listens: a look is a round trip to the database, and each batch would have one

type Settings = Pick<Config, 'heartbeatMs' | 'maxClients'>;

export class Hub {
  /** All streams, in the order in which they came. A Set may be changed while it is gone through. */
  readonly clients = new Set<Client>();
  private readonly store: Store;
  private readonly maxClients: number;
  private readonly head: Head;
  private readonly heartbeats: Heartbeats;
  private readonly serving: Serving;
  private readonly rounds: Rounds;
  /** Where the head stood before it moved. Whoever stands there is live, and the same chunk is next for all of them. */
  private liveSeq = 0;
  private events = 0; // announced since the start
  /** A turn is due or under way: there is never a second one beside it. */
  private isScheduled = false;
  /** Ends the rest before the next turn, when nobody who comes meanwhile ends it. One alone: each brings a turn, and that the next. */
  private restTimer: NodeJS.Timeout | undefined;
  /** Names of streams differ also between servers and runs: `source` and `id` of a frame are unique together. */
  private readonly run = randomBytes(3).toString('hex');
  private names = 0; // as many streams had one
  private readonly looking: NodeJS.Timeout;

  /** What the log holds now was announced before. @throws {Problem} 503 if it can't be read */
  static async open(store: Store, settings: Settings): Promise<Hub> {
    const { head } = await store.position();
    return new Hub(store, settings, head);
  }

  private constructor(store: Store, { heartbeatMs, maxClients }: Settings, head: Cursor) {
    this.store = store;
    this.maxClients = maxClients;
    this.head = new Head(store, head);
    this.heartbeats = new Heartbeats(heartbeatMs, this.clients, this.head);
    this.serving = new Serving(store, this.head, this.heartbeats);
    this.rounds = new Rounds(this.serving);
    store.onCommit(() => this.lookAgain());
    this.looking = setInterval(() => {
      this.lookAgain(); // a history may be replaced without a commit
      this.judgeThoseAhead();
    }, LOOK_MS);
    this.lookAgain();
  }

  /** Is MAX_CLIENTS reached? */
  get isFull(): boolean {
    return this.clients.size >= this.maxClients;
  }

  /** Events announced and events handed to clients since the start, and what the hub keeps in memory of the log. */
  get counters(): { events: number; deliveries: number; cachedBytes: number } {
    const { deliveries, chunks } = this.serving;
    return { events: this.events, deliveries, cachedBytes: chunks.bytes };
  }

  /** The id of the newest event that was announced. */
  get lastEventId(): string {
    return eventId(this.head.cursor);
  }

  // --- joining and leaving

  /**
   * Where a stream with this wish begins, if there is a place for one more.
   * @param mayWait undefined is an answer too: the log can't be read just now
   * @throws {Problem} 503
   */
  async locate(wish: Wish, mayWait = false): Promise<Start | undefined> {
    this.checkRoom();
    const start = await locate(this.store, wish).catch((error) => {
      if (mayWait && error instanceof Problem && error.status === 503) return undefined;
      throw error;
    });
    this.checkRoom(); // others may have come meanwhile
    return start;
  }

  /**
   * Adds a stream; its first frame says where it stands, and then it gets all that follows.
   * @param wish where there is no start yet, its place is found, and told, as soon as the log can be read
   */
  add(stream: Stream, start: Start | undefined, wish: Wish = {}): Client {
    this.names += 1;
    const client = new Client(stream, `client-${this.names}-${this.run}`, this.head.cursor, this.enqueue);
    this.clients.add(client);
    if (start) client.begin(start, this.heartbeats.seconds);
    else client.wish = wish;
    if (wish.scope?.expiresAt !== undefined) client.endAt(wish.scope.expiresAt);
    this.enqueue(client);
    this.heartbeats.announceCount();
    return client;
  }

  /** Its connection has closed. What it was owed is owed to nobody: the log keeps it for when it comes back. */
  remove(client: Client): void {
    if (this.clients.delete(client)) this.heartbeats.announceCount();
  }

  /** How many events of the log a client has yet to pass. */
  distance(client: Client): number {
    return Math.max(0, this.head.cursor.seq - client.cursor.seq);
  }

  /** Stops serving; says goodbye to every client, each in its transport's manner. */
  close(): void {
    this.head.isClosed = true; // a read under way will fail: the store is closed next
    clearInterval(this.looking);
    this.heartbeats.stop();
    for (const client of this.clients) client.stream.end('stopping');
  }

  private checkRoom(): void {
    if (this.isFull) throw unavailable('Too many clients are connected: try again later.', 5);
  }

  // --- the turn: one slice of work, then the event loop goes round

  /** Gives a client a turn; one that is live goes before all who are not. One function for all clients. */
  private readonly enqueue = (client: Client): void => {
    const isLive = client.cursor.seq === this.liveSeq;
    this.rounds.add(client, isLive);
    this.schedule();
  };

  /** By `setImmediate`: sockets are read, and requests answered, between two turns. */
  private schedule(): void {
    if (this.isScheduled || this.head.isClosed) return;
    clearTimeout(this.restTimer);
    const { restMs, isEmpty } = this.rounds;
    this.isScheduled = restMs === 0 || !isEmpty;
    if (this.isScheduled) setImmediate(() => this.turn());
    else this.restTimer = setTimeout(() => this.schedule(), restMs);
  }

  /** A round is finished before the head moves: everyone who is live gets the same bytes. */
  private async turn(): Promise<void> {
    const { head, rounds } = this;
    if (head.isClosed) return; // it was due already: the database is closed next
    // Only now may retention take them: everyone who was live has had them, or lags.
    if (rounds.isOver) this.store.announced(head.cursor.seq);
    // While the log can't be read, only looking can tell that it can be again.
    const mayLook = rounds.isOver && rounds.restMs === 0;
    if (!head.isReadable || (mayLook && head.isStale)) await this.look();
    await rounds.serveSlice(() => head.isStale);
    this.isScheduled = false;
    if (head.isReadable && (!rounds.isEmpty || head.isStale)) this.schedule();
  }

  // --- looking at the log

  /** Somebody has committed, perhaps. Many of these before the next turn are one look together. */
  private lookAgain(): void {
    this.head.isStale = true;
    this.schedule();
  }

  /** Where does the log stand, and is it still the log that was announced? */
  private async look(): Promise<void> {
    const old = this.head.cursor;
    const found = await this.head.look();
    if (found === 'moved') this.announce(old.seq);
    if (found === 'replaced') this.startOver();
  }

  /** The head has moved, and everyone may be owed something. */
  private announce(oldSeq: number): void {
    this.events += this.head.cursor.seq - oldSeq;
    this.liveSeq = oldSeq;
    this.rounds.start();
    if (this.clients.size === 0) this.rounds.rest(UNHEARD_REST_MS);
    for (const client of this.clients) this.enqueue(client);
  }

  /** The newest event that was announced is no longer in the log: another history took its place. */
  private startOver(): void {
    console.error('The history of the event log was replaced: every stream is told to load afresh.');
    this.serving.chunks.clear();
    for (const client of this.clients) this.reset(client, 'unknown-log');
  }

  private reset(client: Client, reason: ResetReason): void {
    client.dueReset = reason;
    this.enqueue(client);
  }

  /**
   * Some know an event that isn't here: they heard of it from another server, and the replica that is read here has yet
   * to get it. So they wait. But it may never come, where the primary was lost and a copy without it took its place.
   */
  private async judgeThoseAhead(): Promise<void> {
    const { cursor: head } = this.head;
    const ahead = new Map<Client, Cursor>();
    for (const client of this.clients)
      if (client.cursor.seq >= head.seq && client.cursor.stamp !== head.stamp)
        ahead.set(client, client.cursor);
    const resets = await this.head.judge([...ahead.values()]);
    [...ahead].forEach(([client, cursor], i) => {
      if (resets[i] && client.cursor === cursor) this.reset(client, resets[i]);
    });
  }
}
