// The hub: a Set of clients, and what each is owed. Every client has a cursor, the last event that was handed to
// it; whoever stands below the head and has room gets the next chunk of the log. That one rule is live delivery,
// resume, replay, and slow readers. Nothing is queued per client: the log is.
import { randomBytes } from 'node:crypto';
import type { Config } from '../config.ts';
import { eventId } from '../event.ts';
import { Problem } from '../problem.ts';
import type { Store } from '../store/store.ts';
import { Ahead } from './ahead.ts';
import { Client, type Stream } from './client.ts';
import { Head } from './head.ts';
import { Heartbeats } from './heartbeats.ts';
import { Rounds } from './rounds.ts';
import { type Located, Serving } from './serving.ts';
import type { Wish } from './start.ts';

const RETRY_MS = 250; // between two looks at a log that can't be read
const LOOK_MS = 500; // how often the log is looked at though nobody said that it has changed

type Settings = Pick<Config, 'heartbeatMs' | 'maxClients'>;

export class Hub {
  /** All streams, in the order in which they came. A Set may be changed while it is gone through. */
  readonly clients = new Set<Client>();
  private readonly store: Store;
  private readonly settings: Settings;
  private readonly head: Head;
  private readonly heartbeats: Heartbeats;
  private readonly serving: Serving;
  private readonly rounds: Rounds;
  private readonly ahead: Ahead;
  /** Events announced since the start. */
  private events = 0;
  /** A turn is due or under way: there is never a second one beside it. */
  private isScheduled = false;
  private isClosed = false;
  /** Names of streams differ also between servers and runs: `source` and `id` of a frame are unique together. */
  private readonly run = randomBytes(3).toString('hex');
  /** How many streams had a name before the next one. */
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
    const isAtHead = (client: Client) => this.serving.isAtHead(client);
    this.heartbeats = new Heartbeats(settings.heartbeatMs, { clients: this.clients, isAtHead });
    this.ahead = new Ahead(store, head);
    this.serving = new Serving(store, head, this.heartbeats, settings.heartbeatMs, this.ahead);
    this.rounds = new Rounds(this.serving);
    store.onCommit(() => this.lookAgain());
    this.looking = setInterval(() => this.lookRegularly(), LOOK_MS); // a history may be replaced without a commit
    this.lookAgain();
  }

  /** Is MAX_CLIENTS reached? Asked before the log is, and once more after: others may come in between. */
  get isFull(): boolean {
    return this.clients.size >= this.settings.maxClients;
  }

  /** Events announced and events handed to clients since the start, and what the hub keeps in memory of the log. */
  get counters(): { events: number; deliveries: number; cachedBytes: number } {
    return {
      events: this.events,
      deliveries: this.serving.deliveries,
      cachedBytes: this.serving.chunks.bytes,
    };
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
  locate(wish: Wish): Promise<Located> {
    return this.serving.locate(wish);
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
    else this.serving.begin(client, start);
    this.enqueue(client);
    this.heartbeats.announceCount();
    return client;
  }

  /** Its connection has closed. What it was owed is owed to nobody: the log keeps it for when it comes back. */
  remove(client: Client): void {
    if (this.clients.delete(client)) this.heartbeats.announceCount();
  }

  /** Sends a client nothing for a while; then it is served from the log like any other that was away. */
  mute(client: Client, seconds: number): void {
    if (client.isMuted) return; // a second order must not end the first one early
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
    this.head.silence(); // a read under way will fail: the store is closed next
    for (const client of this.clients) client.stream.close();
  }

  // --- the turn: one slice of work, then the event loop goes round

  /** Somebody has committed, perhaps. Many of these before the next turn are one look together. */
  private lookAgain(): void {
    this.head.isStale = true;
    this.schedule();
  }

  private async lookRegularly(): Promise<void> {
    this.lookAgain();
    for (const client of await this.ahead.check()) this.onRoom(client);
  }

  /** Gives a client a turn; one that is live goes before all who are not. */
  private enqueue(client: Client, isLive = false): void {
    this.rounds.add(client, isLive);
    this.schedule();
  }

  /** By `setImmediate`: sockets are read, and requests answered, between two turns. */
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
    // Only now may retention take them: everyone who was live has had them, or lags.
    if (rounds.isOver) this.store.announced(head.cursor.seq);
    // While the log can't be read, only looking can tell that it can be again.
    const mayLook = rounds.isOver && rounds.restMs === 0;
    if (!head.isReadable || (mayLook && head.isStale)) await this.look();
    await rounds.serveSlice(() => head.isStale);
    this.isScheduled = false;
    if (!head.isReadable) setTimeout(() => this.schedule(), RETRY_MS).unref();
    else if (!rounds.isEmpty || head.isStale) this.schedule();
  }

  /** Where does the log stand, and is it still the log that was announced? */
  private async look(): Promise<void> {
    const old = this.head.cursor;
    const found = await this.head.look();
    if (found === 'moved') this.announce(old.seq);
    if (found === 'replaced') this.startOver();
  }

  /** The head has moved. Whoever stood at the old one is live, and the same chunk is next for all of them. */
  private announce(oldSeq: number): void {
    this.events += this.head.cursor.seq - oldSeq;
    this.rounds.start();
    for (const client of this.clients) this.enqueue(client, client.cursor.seq === oldSeq);
  }

  /** The newest event that was announced is no longer in the log: another history took its place. */
  private startOver(): void {
    console.error('The history of the event log was replaced: every stream is told to load afresh.');
    this.serving.chunks.clear();
    for (const client of this.clients) {
      client.dueReset = 'unknown-log';
      this.enqueue(client);
    }
  }
}
