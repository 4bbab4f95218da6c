// How long somebody waits beside others, and a herd to wait beside: what short tests and the soak share. A time alone says
// little on a machine that is busy with other things: who asks compares two of them, taken side by side.
import { openDatabase } from '../../lib/store/sqlite.ts';
import { startCrowd } from './crowd.ts';
import { connect, eventually, get, post, range, type Server, startServer } from './helpers.ts';
import { insertEvents } from './many-clients.ts';
import { clientFrame, handshake } from './raw-websocket.ts';

// Between two questions: the one who asks must not be what keeps the server busy.
const PAUSE_MS = 5;
const HERD_MS = 180_000; // what a large herd takes on a slow machine

/** What lies at this share of the values. */
export function quantile(values: readonly number[], share: number): number {
  // A copy: the caller's values stay in the order in which they came.
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

/** How long each of these takes, in milliseconds, one after the other for so long, or until something is done. */
export async function waitsFor(
  ask: () => Promise<unknown>,
  during: number | Promise<unknown>,
): Promise<number[]> {
  let isDone = false;
  const end = typeof during === 'number' ? new Promise((resolve) => setTimeout(resolve, during)) : during;
  const done = () => {
    isDone = true;
  };
  end.then(done, done); // of a failure the last line tells
  const waits: number[] = [];
  while (!isDone) {
    const startedAt = performance.now();
    // One at a time: a question that waits delays the next, as it would for a user.
    await ask();
    waits.push(performance.now() - startedAt);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  // What was to be done may have failed, and then so does this.
  await end;
  return waits;
}

/** The ids of all events of a log, in order. */
export function eventIds(file: string): string[] {
  // From the database itself: a hundred thousand ids by way of the API would take longer than the test.
  const db = openDatabase(file, { timeout: 5000 });
  const ids = db
    .prepare<[], string>("SELECT stamp || '-' || seq FROM changebell_events ORDER BY seq")
    .pluck()
    .all();
  db.close();
  return ids;
}

type Herd = { clients: number; events: number; isSpread?: boolean };

/**
 * While a herd resumes, from all over the log or all from its middle, which is the same number of events: how long POSTs take, and how long after the answer to each its event
 * comes to a client that is live. Whatever else the machine does delays both.
 */
export async function besideHerd({ clients, events, isSpread = true }: Herd) {
  const server = await startServer();
  insertEvents(server.databaseFile, events, 200);
  // At the head all the time: what comes late to it, the herd has delayed.
  const live = await connect(server.wsUrl);
  const after: number[] = [];
  // The answer leaves before the fan-out begins, so the event is timed from the answer on.
  const publish = async () => {
    const { body } = await post(`${server.url}/api/events`, { data: 'live' });
    const answeredAt = performance.now();
    return { id: body.id, answeredAt };
  };
  const ids = eventIds(server.databaseFile);
  // Those from all over the log share no chunk at first.
  const place = (i: number) => (isSpread ? i / clients : 0.5);
  const openings = Array.from({ length: clients }, (_, i) =>
    handshake(`?lastEventId=${ids[Math.floor(place(i) * ids.length)]}`),
  );
  const startedAt = performance.now();
  const posts: number[] = [];
  // In a process of its own: their reading must not take the time of ours.
  const caughtUp = startCrowd({ port: server.port, openings }).then(() => everyoneAtHead(server));
  await waitsFor(async () => {
    const begin = performance.now();
    const { id, answeredAt } = await publish();
    posts.push(answeredAt - begin);
    // The next POST waits for it, so that each event is timed alone.
    await live.event(id);
    after.push(performance.now() - answeredAt);
  }, caughtUp);
  // From the first handshake to the moment at which all of them are at the head.
  const herdMs = performance.now() - startedAt;
  await live.close();
  await server.stop();
  return { posts, after, herdMs };
}

/** When the slowest of all is nearly there. Clients are not asked: it is the server that knows. */
function everyoneAtHead(server: Server): Promise<unknown> {
  const furthest = async () =>
    Number(/^changebell_client_lag_events (\d+)$/m.exec((await get(`${server.url}/metrics`)).text)![1]);
  // Nearly: POSTs go on, so somebody is always a few events behind.
  return eventually(furthest, (lag) => lag < 100, 'the herd is at the head', HERD_MS);
}

/**
 * How long nine of ten events of somebody take from their POST to a stream, in milliseconds: alone, and beside twenty who
 * send pings without end and come back when they are cut off. By turns, so that whatever else the machine does is in both.
 */
export async function besideFlooders(turns: number, turnMs = 500): Promise<{ usual: number; slow: number }> {
  const server = await startServer();
  const live = await connect(server.wsUrl);
  const ask = async () =>
    live.event((await post(`${server.url}/api/events`, { message: 'innocent' })).body.id);
  await waitsFor(ask, turnMs); // warm
  const spam = Buffer.concat(range(1, 2000).map(() => clientFrame(0x89))).toString('hex');
  const openings = range(1, 20).map(() => handshake());
  const crowd = await startCrowd({ port: server.port, openings, spam });
  const waits: Record<'SIGSTOP' | 'SIGCONT', number[]> = { SIGSTOP: [], SIGCONT: [] };
  for (const _ of range(1, turns)) {
    for (const signal of ['SIGSTOP', 'SIGCONT'] as const) {
      crowd.kill(signal);
      waits[signal].push(...(await waitsFor(ask, turnMs)));
    }
  }
  crowd.kill('SIGKILL');
  await server.stop();
  return { usual: quantile(waits.SIGSTOP, 0.9), slow: quantile(waits.SIGCONT, 0.9) };
}
