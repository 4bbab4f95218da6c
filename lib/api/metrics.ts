// `/metrics`: what can be counted, as Prometheus reads it (text exposition format 0.0.4). Whatever is bounded in the
// program stands here beside its bound, so that one sees it coming.
import type { Connections } from '../http/connections.ts';
import type { Refusals } from '../http/refusals.ts';
import type { Call } from '../http/request.ts';
import { sendBody } from '../http/response.ts';
import type { Store } from '../store/store.ts';
import { MAX_CACHE_BYTES } from '../stream/chunks.ts';
import type { Hub } from '../stream/hub.ts';
import { LoopDelay } from './loop-delay.ts';

export type Measured = {
  store: Pick<Store, 'commits' | 'waiting'>;
  hub: Hub;
  connections: Connections;
  refusals: Refusals;
  maxClients: number;
};

/** One line for each value; labels stand in braces behind the name. */
type Metric = {
  name: string;
  type: 'gauge' | 'counter';
  help: string;
  values: [labels: string, value: number][];
};

export class Metrics {
  private readonly measured: Measured;
  private readonly loopDelay = new LoopDelay();

  constructor(measured: Measured) {
    this.measured = measured;
  }

  readonly answer = ({ res }: Call): void => {
    const all = [...this.ofClients(), ...this.ofWork(), ...this.ofTheDoor(), ...this.ofTheProcess()];
    const headers = { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' };
    sendBody(res, 200, all.map(toText).join(''), headers);
  };

  stop(): void {
    this.loopDelay.stop();
  }

  private ofClients(): Metric[] {
    const { hub, maxClients } = this.measured;
    let lagging = 0;
    let unsent = 0;
    let furthest = 0;
    for (const client of hub.clients) {
      if (client.isLagging) lagging += 1;
      unsent += client.stream.out.writableLength;
      furthest = Math.max(furthest, hub.distance(client));
    }
    return [
      gauge('clients', 'Open streams, WebSocket and server-sent events.', hub.clients.size),
      gauge('clients_limit', 'MAX_CLIENTS: how many streams there may be.', maxClients),
      gauge('clients_lagging', 'Streams that are not pushed to until their socket drains.', lagging),
      gauge('client_lag_events', 'How many events the slowest reader is behind.', furthest),
      gauge('stream_unsent_bytes', 'Bytes that wait for the sockets of streams.', unsent),
    ];
  }

  private ofWork(): Metric[] {
    const { hub, store } = this.measured;
    const { events, deliveries, cachedBytes } = hub.counters;
    const waiting = store.waiting();
    return [
      counter('events_total', 'Events announced since the start.', events),
      counter('deliveries_total', 'Events handed to a client, over all clients.', deliveries),
      counter('commits_total', 'Transactions committed by this server.', store.commits()),
      gauge('waiting_write_bytes', 'Bytes of writes that wait for their commit.', waiting.bytes),
      gauge('waiting_write_limit_bytes', 'How many there may be: then writes are refused.', waiting.limit),
      gauge('log_cache_bytes', 'Bytes of the log that are kept, as texts and as frames.', cachedBytes),
      gauge(
        'log_cache_limit_bytes',
        'How many there may be, beside the stretch that is in work.',
        MAX_CACHE_BYTES,
      ),
    ];
  }

  private ofTheDoor(): Metric[] {
    const { connections, refusals } = this.measured;
    const { unsent } = connections;
    const byReason = [...refusals.counts].map(
      ([reason, count]) => [`{reason="${reason}"}`, count] as [string, number],
    );
    return [
      gauge('connections', 'Open connections of any kind.', connections.count),
      gauge(
        'connections_limit',
        'How many there may be: MAX_CONNECTIONS, or what the system allows.',
        connections.limit,
      ),
      gauge(
        'unsent_bytes',
        'Bytes of requests and answers that wait in memory, over all connections.',
        unsent.total,
      ),
      gauge('unsent_limit_bytes', 'How many there may be before reads are refused.', unsent.limit),
      { name: 'refusals_total', type: 'counter', help: 'Who was turned away, by reason.', values: byReason },
    ];
  }

  private ofTheProcess(): Metric[] {
    const { rss, heapUsed } = process.memoryUsage();
    const { p99, max } = this.loopDelay.read();
    return [
      gauge('event_loop_delay_seconds', 'What 99 of 100 turns waited at most, since the last scrape.', p99),
      gauge('event_loop_delay_max_seconds', 'The longest wait since the last scrape.', max),
      gauge('resident_memory_bytes', 'Memory of the process.', rss),
      gauge('heap_used_bytes', 'Memory in use by JavaScript.', heapUsed),
    ];
  }
}

function gauge(name: string, help: string, value: number): Metric {
  return { name, type: 'gauge', help, values: [['', value]] };
}

function counter(name: string, help: string, value: number): Metric {
  return { name, type: 'counter', help, values: [['', value]] };
}

function toText({ name, type, help, values }: Metric): string {
  const lines = values.map(([labels, value]) => `changebell_${name}${labels} ${value}\n`);
  return `# HELP changebell_${name} ${help}\n# TYPE changebell_${name} ${type}\n${lines.join('')}`;
}
