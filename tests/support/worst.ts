// One crowd at its worst, and what somebody waits beside it, in milliseconds. Absolute times say something only on a machine
// that does nothing else, so this is the soak's; the short tests compare what others wait before and meanwhile.
import { startCrowd } from './crowd.ts';
import { get, post, range, type Server, startServer } from './helpers.ts';
import { quantile, waitsFor } from './neighbours.ts';
import { head, jsonPost } from './raw-http.ts';
import { clientFrame, eventStream, handshake } from './raw-websocket.ts';

const EVENTS = 100_000;
/** As many as one list may have. */
const LIST = 1000;
const MEASURE_MS = 4000;
const LARGE = 'x'.repeat(60_000);

/** What each of a crowd sends: first, and then again and again. */
type Worst = { openings: string[]; spam?: string | Buffer; areDeaf?: boolean };

const again = (request: string, times = 50): Worst => ({
  openings: [request],
  spam: request.repeat(times),
});

/** By what they do, in words. */
const WORST: Record<string, Worst> = {
  'asks for pages of 1,000 events without end': again(head('GET /api/events?limit=1000')),
  'asks for such pages and reads none of them': {
    openings: Array(6).fill(head('GET /api/events?limit=1000')),
    spam: head('GET /api/events?limit=1000').repeat(1000),
    areDeaf: true,
  },
  'asks for what is nowhere in the log': again(head('GET /api/events?types=nowhere&limit=1000')),
  'asks for lists of 500 customers': again(head('GET /api/customers?limit=500')),
  'asks for pages of large events': again(head('GET /api/events?types=large&limit=1000')),
  'publishes lists of 1,000 events': again(jsonPost('/api/events', Array(LIST).fill({ type: 'flood' }))),
  'publishes lists of a megabyte': again(
    jsonPost('/api/events', Array(16).fill({ type: 'flood', data: LARGE })),
    4,
  ),
  'sends a body in chunks of a byte': {
    openings: [head('GET /healthz')],
    spam:
      head('POST /api/events', 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n') +
      '1\r\n \r\n'.repeat(1_000_000),
  },
  'resumes from the first event, each with a filter of its own': {
    openings: range(1, 2000).map((n) => eventStream(`?from=earliest&types=nowhere${n}`)),
  },
  'sends pings without end, and comes back when it is cut off': {
    openings: range(1, 20).map(() => handshake()),
    spam: Buffer.concat(range(1, 2000).map(() => clientFrame(0x89))),
  },
};

/** How long 99 of 100 requests of somebody else take beside each of them. @param env the settings of the server */
export async function besideWorst(env: Record<string, string>): Promise<Map<string, number>> {
  const server = await startServer({ ...env, EVENT_RETENTION: String(4 * EVENTS) });
  await fill(server);
  const { headers } = await post(`${server.url}/api/customers`, { name: 'Ada' });
  const read = () => get(server.url + headers.get('location'));
  await waitsFor(read, 1000); // warm
  const waits = new Map([['is alone', quantile(await waitsFor(read, MEASURE_MS), 0.99)]]);
  for (const [what, { spam, ...worst }] of Object.entries(WORST)) {
    const hex = spam === undefined ? {} : { spam: Buffer.from(spam as string).toString('hex') };
    const crowd = await startCrowd({ port: server.port, ...worst, ...hex });
    waits.set(what, quantile(await waitsFor(read, MEASURE_MS), 0.99));
    crowd.kill('SIGKILL');
  }
  await server.stop();
  return waits;
}

/** Through the API, so that it is the same on both databases. */
async function fill({ url }: Server): Promise<void> {
  const small = Array(LIST).fill({ type: 'small', data: 'x'.repeat(100) });
  for (const _ of range(1, EVENTS / LIST)) await post(`${url}/api/events`, small);
  const large = Array(16).fill({ type: 'large', data: LARGE }); // a megabyte
  for (const _ of range(1, LIST / 16)) await post(`${url}/api/events`, large);
  for (const n of range(1, 500)) await post(`${url}/api/customers`, { name: `Customer ${n}` });
}
