// Heartbeats: how a client knows that it is live although nothing happens, and how the server finds out that a
// client is gone. A frame and a ping go together: a browser's page can't see pings, and a dead connection can't
// answer them. Nothing here reads the log, so they go on while the database is away.
import type { Client } from './client.ts';
import type { Head } from './head.ts';

const COUNT_INTERVAL_MS = 1000; // a thousand clients that come within a second are told of together
const SLICE_MS = 2; // ten thousand heartbeats at once would hold up everyone else

export class Heartbeats {
  /** How often everyone gets one. */
  readonly seconds: number;
  private readonly clients: ReadonlySet<Client>;
  private readonly head: Pick<Head, 'cursor'>;
  private readonly timer: NodeJS.Timeout;
  /** Who has yet to get the one that is due. */
  private waiting: Client[] = [];
  /** Slices of a beat follow each other. A beat that comes meanwhile adds to them instead of beginning others. */
  private isSending = false;
  /** Set while the number of clients has changed and nobody was told yet. */
  private countTimer: NodeJS.Timeout | undefined;
  /** When the count was told last, by the clock of `performance.now()`. */
  private countedAt = 0;

  constructor(intervalMs: number, clients: ReadonlySet<Client>, head: Pick<Head, 'cursor'>) {
    this.seconds = intervalMs / 1000;
    this.clients = clients;
    this.head = head;
    this.timer = setInterval(() => {
      for (const client of clients) this.endIfDead(client); // before it is asked anew: the last answer counts
      this.beat();
    }, intervalMs);
  }

  /** Also to a client that is behind: its filter may hide all that it passes, and it would believe us dead. */
  sendIfDue(client: Client): void {
    if (!client.liveness.isHeartbeatDue || !client.isReady || client.dueReset) return;
    client.liveness.isHeartbeatDue = false;
    client.ping(); // the frame is for the page, the ping for us: only a pong proves that somebody is there
    if (client.wish) client.keepWaiting();
    else client.tell('stream.heartbeat', { clients: this.clients.size });
  }

  /** Tells everyone how many clients there are, at most once a second. */
  announceCount(): void {
    if (this.countTimer) return;
    const wait = Math.max(0, this.countedAt + COUNT_INTERVAL_MS - performance.now());
    this.countTimer = setTimeout(() => {
      this.countTimer = undefined;
      this.countedAt = performance.now();
      this.beat();
    }, wait);
  }

  /** The hub closes: nobody is told anything any more. */
  stop(): void {
    clearInterval(this.timer);
    clearTimeout(this.countTimer);
    this.waiting = [];
  }

  /** Everyone gets one, or as soon as there is room: then the hub sends it. */
  private beat(): void {
    for (const client of this.clients) client.liveness.isHeartbeatDue = true;
    this.waiting = [...this.clients].reverse(); // taken from the end, so that none has to move up
    if (!this.isSending) this.sendSlice();
  }

  /** Some milliseconds of heartbeats, then HTTP and events have their turn. */
  private sendSlice(): void {
    const sliceEnd = performance.now() + SLICE_MS;
    while (this.waiting.length > 0 && performance.now() < sliceEnd) this.sendIfDue(this.waiting.pop()!);
    this.isSending = this.waiting.length > 0;
    if (this.isSending) setImmediate(() => this.sendSlice());
  }

  /** Three kinds of silence: it takes nothing, it has begun to take nothing, it answers nothing. */
  private endIfDead(client: Client): void {
    const { stream, liveness } = client;
    if (client.isMuted) return; // it gets no pings, so it owes no pongs
    // The kernel goes on resending for a quarter of an hour before it gives up a connection by itself.
    if (client.isLagging) {
      if (liveness.countStuckBeat(stream.unsentBytes())) stream.out.destroy();
    } else if (stream.out.writableLength > 0) {
      client.waitForDrain(); // from now on it is watched
    } else if (stream.kind.transport.ping && client.hasReached(this.head.cursor)) {
      if (liveness.countSilentBeat()) stream.out.destroy();
    }
  }
}
