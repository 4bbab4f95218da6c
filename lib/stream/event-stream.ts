// A server-sent-events response as a client of the hub (HTML Standard §9.2). It ends with the
// connection instead of chunked encoding, so that the same bytes can go to every client.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { parseCursor } from '../event.ts';
import { type Filter, parseFilter } from '../filter.ts';
import { queuedBytes } from '../http/connection.ts';
import { type Call, queryValue } from '../http/request.ts';
import { Problem } from '../problem.ts';
import type { Stream } from './client.ts';
import { endAtExpiry } from './expiry.ts';
import { EVENT_STREAM } from './frames.ts';
import type { Hub } from './hub.ts';

/** Does the caller ask for a stream rather than a page? */
export function wantsEventStream({ req }: Pick<Call, 'req'>): boolean {
  return /(^|[\s,])text\/event-stream\s*([;,]|$)/i.test(req.headers.accept ?? '');
}

/** `GET /api/events` with `Accept: text/event-stream`. @throws {Problem} 400 bad cursor, 503 full */
export async function openEventStream({ req, res, query, scope }: Call, hub: Hub): Promise<void> {
  const header = req.headers['last-event-id'] as string | undefined; // wins: a browser's own resume
  const cursor = parseCursor(header || queryValue(query, 'lastEventId'));
  const filter = scope.narrow(parseFilter(queryValue(query, 'types'), queryValue(query, 'sources')));
  const start = await hub.locate(cursor, scope);
  if (hub.isFull) throw tooManyClients();
  if (res.destroyed) return;
  res.shouldKeepAlive = false;
  res.useChunkedEncodingByDefault = false;
  res.writeHead(200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no', // nginx would hold events back
    'X-Content-Type-Options': 'nosniff',
  });
  if (req.method === 'HEAD') return void res.end();
  res.write('retry: 2000\n\n');
  req.socket.setKeepAlive(true, 15_000); // no pings here: the kernel finds dead connections
  const client = hub.add(new EventStream(res, req.socket, filter), start);
  endAtExpiry(client, scope.expiresAt);
  res.on('close', () => hub.remove(client));
  res.on('error', () => hub.remove(client));
}

class EventStream implements Stream {
  readonly transport = EVENT_STREAM;
  readonly out: ServerResponse;
  readonly socket: Socket;
  readonly filter: Filter;

  constructor(out: ServerResponse, socket: Socket, filter: Filter) {
    this.out = out;
    this.socket = socket;
    this.filter = filter;
  }

  isOpen(): boolean {
    return !this.out.destroyed && !this.out.writableEnded;
  }

  unsentBytes(): number {
    return this.out.writableLength + queuedBytes(this.socket);
  }

  close(): void {
    this.out.end();
  }

  expire(): void {
    this.out.end();
  }

  destroy(): void {
    this.out.destroy();
  }
}

/** 503 for one stream too many. */
export function tooManyClients(): Problem {
  return new Problem(503, 'Too many clients are connected: try again later.', {
    headers: { 'Retry-After': '5' },
  });
}
