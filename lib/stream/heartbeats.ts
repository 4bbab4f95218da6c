// Heartbeats: how a client knows that it is live although nothing happens, and how the server finds out that a
// client is gone. A frame and a ping go together: a browser's page can't see pings, and a dead connection can't
// answer them.
import type { Client } from './client.ts';

const COUNT_INTERVAL_MS = 1000;

/** What the hub lends: its clients, its turn, and whether a client stands at the head of the log. */
type Lent = {
  clients: ReadonlySet<Client>;
  enqueue: (client: Client) => void;
  isAtHead: (client: Client) => boolean;
};

export class Heartbeats {
  private readonly hub: Lent;
  private readonly timer: NodeJS.Timeout;
  /** Set while the number of clients has changed and nobody was told yet. */
  private countTimer: NodeJS.Timeout | undefined;
  private countedAt = 0;

  constructor(intervalMs: number, hub: Lent) {
    this.hub = hub;
    this.timer = setInterval(() => {
      for (const client of hub.clients) this.endIfDead(client);
      this.beat();
    }, intervalMs);
  }

  /** To a client that is ready: when it has caught up, and also behind, since its filter may hide all it passes. */
  sendIfDue(client: Client): void {
    if (!client.liveness.isHeartbeatDue) return;
    client.liveness.isHeartbeatDue = false;
    client.ping();
    client.tell('stream.heartbeat', { clients: this.hub.clients.size });
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

  stop(): void {
    clearInterval(this.timer);
    clearTimeout(this.countTimer);
  }

  /** Everyone gets one as soon as there is room. */
  private beat(): void {
    for (const client of this.hub.clients) {
      client.liveness.isHeartbeatDue = true;
      this.hub.enqueue(client);
    }
  }

  private endIfDead(client: Client): void {
    const { stream, liveness } = client;
    if (client.isMuted) return;
    if (client.isLagging) {
      if (liveness.countStuckBeat(stream.unsentBytes())) stream.destroy();
    } else if (stream.out.writableLength > 0) {
      client.waitForDrain(); // from now on it is watched
    } else if (stream.transport.ping && this.hub.isAtHead(client) && liveness.countSilentBeat()) {
      stream.destroy();
    }
  }
}
