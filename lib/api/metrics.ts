// `/metrics`: what can be counted, as Prometheus reads it (text exposition format 0.0.4). Whatever is bounded in the
// program stands here beside its bound, so that one sees it coming. Each figure is asked of whoever has it, at the moment of
// the scrape: nobody has to remember to tell this file of a change.
import type { Call } from '../http/request.ts';
import { sendBody } from '../http/response.ts';
import { MAX_CACHE_BYTES } from '../stream/chunks.ts';
import { measureLoopDelay } from './loop-delay.ts';
import type { Parts } from './parts.ts';

/** Before every name, so that a search in Prometheus finds all of them. */
const PREFIX = 'changebell_';

/** The handler of `/metrics`. What it keeps running between two scrapes is the one clock of the loop's delay. */
export function createMetrics(parts: Parts): (call: Call) => void {
  // Reading begins a new time: with two scrapers each of them sees only what came after the other.
  const readLoopDelay = measureLoopDelay();
  const headers = { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' };
  // All figures as text. It waits for nobody, and asks no database: it must answer while that is away.
  return ({ res }) => {
    const all = [ofClients(parts), ofWork(parts), ofTheDoor(parts), ofTheProcess(readLoopDelay())];
    sendBody(res, 200, all.flat().join(''), headers);
  };
}

/** One walk over all clients, however many figures come of it: there may be ten thousand of them. */
function ofClients({ hub, config }: Parts): string[] {
  let lagging = 0;
  let unsent = 0;
  let furthest = 0;
  for (const client of hub.clients) {
    // Lagging is no fault of the server's: such a client reads the log as fast as its own line lets it.
    if (client.isLagging) lagging += 1;
    unsent += client.stream.out.writableLength;
    // The furthest tells whether EVENT_RETENTION is long enough: who falls behind it is reset.
    furthest = Math.max(furthest, hub.distance(client));
  }
  return [
    gauge('clients', 'Open streams, WebSocket and server-sent events.', hub.clients.size),
    // A bound has the name of what it bounds, with `limit` in it: an alert divides the one by the other.
    gauge('clients_limit', 'MAX_CLIENTS: how many streams there may be.', config.maxClients),
    gauge('clients_lagging', 'Streams that are not pushed to until their socket drains.', lagging),
    gauge('client_lag_events', 'How many events the slowest reader is behind.', furthest),
    gauge('stream_unsent_bytes', 'Bytes that wait for the sockets of streams.', unsent),
  ];
}

/** What the server has done since it started, and what it keeps in memory for it. */
function ofWork({ hub, store }: Parts): string[] {
  const { events, deliveries, cachedBytes } = hub.counters;
  const waiting = store.waiting();
  return [
    counter('events_total', 'Events announced since the start.', events),
    // Deliveries over events is the size of the fan-out: what one change costs.
    counter('deliveries_total', 'Events handed to a client, over all clients.', deliveries),
    // Far fewer than writes under load: those of a turn share a commit. Other programs' commits are not among them.
    counter('commits_total', 'Transactions committed by this server.', store.commits()),
    gauge('waiting_write_bytes', 'Bytes of writes that wait for their commit.', waiting.bytes),
    gauge('waiting_write_limit_bytes', 'How many there may be: then writes are refused.', waiting.limit),
    gauge('log_cache_bytes', 'Bytes of the log that are kept, as texts and as frames.', cachedBytes),
    gauge('log_cache_limit_bytes', 'How many there may be, beside what is in work.', MAX_CACHE_BYTES),
  ];
}

/** Who comes, who is turned away, and the bytes that requests and answers hold. */
function ofTheDoor({ connections, refusals }: Parts): string[] {
  // Bytes of requests that are being read count too: both wait in our memory for somebody else's line.
  const { unsent } = connections;
  // One metric with a label, not one for each reason: a chart can then show all of them, also one that is new.
  const byReason = [...refusals.counts].map(([why, n]) => `${PREFIX}refusals_total{reason="${why}"} ${n}\n`);
  return [
    gauge('connections', 'Open connections of any kind.', connections.count),
    gauge('connections_limit', 'MAX_CONNECTIONS, or what the system allows.', connections.limit),
    gauge('unsent_bytes', 'Bytes of requests and answers that wait in memory.', unsent.total),
    gauge('unsent_limit_bytes', 'How many there may be before reads are refused.', unsent.limit),
    headOf('refusals_total', 'counter', 'Who was turned away, by reason.'),
    ...byReason,
  ];
}

/** What the machine sees of it. */
function ofTheProcess({ p99, max }: { p99: number; max: number }): string[] {
  const { rss, heapUsed } = process.memoryUsage();
  return [
    // Seconds and bytes, as Prometheus wants all units: no reader of a chart has to guess.
    gauge('event_loop_delay_seconds', 'What 99 of 100 turns waited at most, since the last scrape.', p99),
    gauge('event_loop_delay_max_seconds', 'The longest wait since the last scrape.', max),
    // Beside the heap: buffers of sockets and of SQLite are in the first figure alone.
    gauge('resident_memory_bytes', 'Memory of the process.', rss),
    gauge('heap_used_bytes', 'Memory in use by JavaScript.', heapUsed),
  ];
}

/** A value that goes up and down, as the format wants it. `help` is for the person who finds the name in a chart. */
function gauge(name: string, help: string, value: number): string {
  return `${headOf(name, 'gauge', help)}${PREFIX}${name} ${value}\n`;
}

/** A count, which only grows until the program restarts: Prometheus reads the two differently. */
function counter(name: string, help: string, value: number): string {
  return `${headOf(name, 'counter', help)}${PREFIX}${name} ${value}\n`;
}

function headOf(name: string, type: 'gauge' | 'counter', help: string): string {
  return `# HELP ${PREFIX}${name} ${help}\n# TYPE ${PREFIX}${name} ${type}\n`;
}
