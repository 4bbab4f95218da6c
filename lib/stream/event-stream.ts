// A server-sent-events response as a client of the hub (HTML Standard §9.2). It ends with the
// connection instead of chunked encoding, so that the same bytes can go to every client.
import type { Answer } from '../http/answer.ts';
import type { Call } from '../http/request.ts';
import { queuedBytes } from '../http/unsent-bytes.ts';
import type { Kind } from './chunks.ts';
import type { Stream } from './client.ts';
import { EVENT_STREAM } from './frames.ts';
import type { Hub } from './hub.ts';
import { parseStream } from './start.ts';

const KEEP_ALIVE_MS = 15_000; // no pings here: the kernel finds dead connections

/** `GET /api/events` with `Accept: text/event-stream`. @throws {Problem} 400 bad cursor or filter, 503 full */
export async function openEventStream({ req, res, query, scope }: Call, hub: Hub): Promise<void> {
  const { 'last-event-id': header } = req.headers;
  const lastEventId = typeof header === 'string' ? header : undefined;
  const { wish, kind } = parseStream(EVENT_STREAM, query, scope, lastEventId);
  // HEAD tells what GET would say, and opens nothing.
  if (req.method === 'HEAD') return void writeHead(res).end();
  // A browser's EventSource gives up for good at any status but 200 (HTML Standard §9.2.3). So while the database is
  // away the stream is opened all the same, and its first frame comes when the place was found.
  const start = await hub.locate(wish, true);
  if (res.destroyed) return; // it left meanwhile: a client that is added now would never be removed
  // A browser that is cut off comes back after 2 s instead of its own default (HTML Standard §9.2.6).
  writeHead(res).write('retry: 2000\n\n');
  res.isEndless = true;
  req.socket.setKeepAlive(true, KEEP_ALIVE_MS);
  const client = hub.add(toStream(res, kind), start, wish);
  // Either may come first, and sometimes only one of them: to remove twice is no harm.
  res.on('close', () => hub.remove(client));
  res.on('error', () => hub.remove(client));
}

/** Neither a length nor chunks: the body ends with the connection (RFC 9112 §6.3), and its bytes are as the frames are. */
function writeHead(res: Answer): Answer {
  res.shouldKeepAlive = false;
  res.useChunkedEncodingByDefault = false;
  return res.begin(200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store, no-transform', // what compresses would hold events back
    'X-Accel-Buffering': 'no', // and so would nginx
  });
}

/** What the hub needs of an answer that goes on. Writes go through Node's answer, which adds nothing to them by now. */
function toStream(res: Answer, kind: Kind): Stream {
  return {
    kind,
    out: res,
    isOpen: () => !res.destroyed && !res.writableEnded,
    unsentBytes: () => res.writableLength + queuedBytes(res.req.socket),
    // There is no farewell in this format: EventSource takes any end for one, and comes back.
    end: () => void res.end(),
  };
}
