// Whose turn it is. Those who stood at the head when it moved come first, so that a herd that catches up can't delay
// them; everyone has its turn in slices of some milliseconds, and between them the event loop goes round. Those who are
// behind have it zone by zone of the log.
import type { Client } from './client.ts';
import type { Serving } from './serving.ts';

// A round to 1,000 clients takes some 5 ms of processor time, so several slices.
const SLICE_MS = 2; // then HTTP has its turn: a fan-out must not hold up a POST
const MAX_REST_MS = 25; // nobody sees that an event came so much later, and a core has its rest
// The cache holds a small part of a long log. A herd that came back to all places of it would read each place for one
// or two clients, and again for the next: so the log is gone through zone by zone, and a zone's reads serve all who stand in it.
const ZONE_EVENTS = 4096; // as bytes for clients, a quarter of what the cache holds
const ZONE_MS = 50; // time to serve hundreds of them from what is read

export class Rounds {
  /** What is done for a client in its turn. */
  private readonly serving: Pick<Serving, 'serve' | 'isOwed'>;
  private readonly live: Client[] = [];
  /** Others who may be owed something, by the zone in which they read on. */
  private readonly behind = new Map<number, Client[]>();
  /** The zone that has its turn, and until when. */
  private zone = -1;
  private zoneEnd = 0;
  /** When the head moved last. */
  private startedAt = 0;
  /** Until then nobody asks for more events: they come together, and go out as one. */
  private restsUntil = 0;

  constructor(serving: Pick<Serving, 'serve' | 'isOwed'>) {
    this.serving = serving;
  }

  /** Has everyone who stood at the head had what was new there? */
  get isOver(): boolean {
    return this.live.length === 0;
  }

  get isEmpty(): boolean {
    return this.live.length === 0 && this.behind.size === 0;
  }

  /** Milliseconds until the next round may begin. */
  get restMs(): number {
    return Math.max(0, this.restsUntil - performance.now());
  }

  /** The head has moved: from now on a round is timed. */
  start(): void {
    this.startedAt = performance.now();
  }

  /** A client stands in one of the two queues, once; one that is live leaves the other, where its entry is skipped. */
  add(client: Client, isLive: boolean): void {
    if (client.queue === 'live' || (client.queue === 'behind' && !isLive)) return;
    client.queue = isLive ? 'live' : 'behind';
    (isLive ? this.live : this.zoneOf(client)).push(client);
  }

  /** @param hasMore did more events come while this round went on? Then the server is loaded, and it may rest. */
  async serveSlice(hasMore: () => boolean): Promise<void> {
    const sliceEnd = performance.now() + SLICE_MS;
    const wasOver = this.isOver;
    await this.serveSome(this.live, 'live', sliceEnd);
    if (!wasOver && this.isOver && hasMore()) this.rest();
    await this.serveBehind(sliceEnd);
  }

  /** The queue of the zone in which a client reads on. */
  private zoneOf(client: Client): Client[] {
    const zone = Math.floor(client.readTo.seq / ZONE_EVENTS);
    const clients = this.behind.get(zone) ?? [];
    this.behind.set(zone, clients);
    return clients;
  }

  /** A zone's turn ends with its time, or when nobody is left in it; at least one has its turn in each slice: nobody starves. */
  private async serveBehind(sliceEnd: number): Promise<void> {
    do {
      if (!this.behind.has(this.zone) || performance.now() > this.zoneEnd) this.nextZone();
      const clients = this.behind.get(this.zone);
      if (!clients) return;
      await this.serveSome(clients, 'behind', sliceEnd);
      if (clients.length > 0) return; // who was put back waits for the next slice
      this.behind.delete(this.zone);
    } while (performance.now() < sliceEnd);
  }

  /** Up the log, then from its beginning again: each zone with somebody in it has its turn. Of a long log they are many. */
  private nextZone(): void {
    let [first, next] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (const zone of this.behind.keys()) {
      if (zone < first) first = zone;
      if (zone > this.zone && zone < next) next = zone;
    }
    this.zone = next === Number.POSITIVE_INFINITY ? first : next;
    this.zoneEnd = performance.now() + ZONE_MS;
  }

  /**
   * Loaded means that more came while a round went on. Then a rest pays: at 1,000 events a second to 1,000 clients a
   * delivery costs little more than half. As long as the round took: events that come meanwhile cost each client one write together.
   */
  rest(ms = Math.min(performance.now() - this.startedAt, MAX_REST_MS)): void {
    this.restsUntil = performance.now() + ms;
  }

  private async serveSome(queue: Client[], name: 'live' | 'behind', sliceEnd: number): Promise<void> {
    const atMost = queue.length; // who is put back waits for the next slice
    let taken = 0;
    let served = 0;
    while (taken < atMost && (served === 0 || performance.now() < sliceEnd)) {
      const client = queue[taken]!;
      taken += 1;
      if (client.queue !== name) continue; // it stands in the other queue since
      served += 1;
      client.queue = undefined;
      const waiting = this.serving.serve(client);
      if (waiting) await waiting;
      if (this.serving.isOwed(client)) this.add(client, name === 'live');
    }
    queue.splice(0, taken);
  }
}
