// How the server is: `/healthz` for whoever restarts it, `/metrics` for whoever draws curves, and the
// lab's table of the open streams.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { eventId } from '../event.ts';
import type { Call } from '../http/request.ts';
import { sendJson } from '../http/response.ts';
import type { Store } from '../store/store.ts';
import type { Client } from '../stream/client.ts';
import type { Hub } from '../stream/hub.ts';

type State = { isDraining: () => boolean; isLabOn: boolean; heartbeatMs: number };

export function createHealth(store: Store, hub: Hub, { isDraining, isLabOn, heartbeatMs }: State) {
  const loopDelay = monitorEventLoopDelay({ resolution: 20 });
  loopDelay.enable();

  return {
    healthz({ res }: Call): void {
      // A client needs it to tell silence from quiet; see `heartbeatSeconds` in public/changebell.js.
      const headers = { 'Cache-Control': 'no-store', 'Heartbeat-Seconds': String(heartbeatMs / 1000) };
      if (isDraining()) return sendJson(res, 503, '{"status":"draining"}', headers);
      const lab = isLabOn ? { lab: true } : {};
      sendJson(
        res,
        200,
        JSON.stringify({ status: 'ok', clients: hub.clients.size, lastEventId: hub.lastEventId, ...lab }),
        headers,
      );
    },

    clients({ res }: Call): void {
      sendJson(
        res,
        200,
        JSON.stringify({ clients: [...hub.clients].map((client) => describe(client, hub)) }),
        { 'Cache-Control': 'no-store' },
      );
    },

    /** Prometheus text exposition format, version 0.0.4. */
    metrics({ res }: Call): void {
      const all = [...hub.clients];
      const lagging = all.filter((client) => client.isLagging).length;
      const { rss, heapUsed } = process.memoryUsage();
      const body = [
        metric('clients', 'gauge', 'Open streams, WebSocket and server-sent events.', all.length),
        metric(
          'clients_lagging',
          'gauge',
          'Streams that are not pushed to until their socket drains.',
          lagging,
        ),
        metric('events_total', 'counter', 'Events announced since the start.', hub.counters.events),
        metric(
          'deliveries_total',
          'counter',
          'Events handed to a client, over all clients.',
          hub.counters.deliveries,
        ),
        metric('commits_total', 'counter', 'Transactions committed by this server.', store.commits()),
        metric(
          'event_loop_delay_seconds',
          'gauge',
          'The 99th percentile since the start.',
          loopDelay.percentile(99) / 1e9,
        ),
        metric('resident_memory_bytes', 'gauge', 'Memory of the process.', rss),
        metric('heap_used_bytes', 'gauge', 'Memory in use by JavaScript.', heapUsed),
      ].join('');
      res.writeHead(200, {
        'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
        'Content-Length': Buffer.byteLength(body),
        'X-Content-Type-Options': 'nosniff',
      });
      res.end(body);
    },

    close: () => loopDelay.disable(),
  };
}

function metric(name: string, type: string, help: string, value: number): string {
  return `# HELP changebell_${name} ${help}\n# TYPE changebell_${name} ${type}\nchangebell_${name} ${value}\n`;
}

/** The lab's view of a stream. */
function describe(client: Client, hub: Hub): object {
  return {
    client: client.name,
    transport: client.stream.transport.name,
    lastEventId: eventId(client.cursor),
    behind: hub.distance(client),
    bufferedBytes: client.stream.out.writableLength,
    connectedAt: client.connectedAt.toISOString(),
  };
}
