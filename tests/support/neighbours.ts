// How long somebody waits beside others, and a herd to wait beside: what short tests and the soak share.
import { openDatabase } from '../../lib/store/sqlite.ts';
import { startCrowd } from './crowd.ts';
import { connect, eventually, get, post, type Server, startServer } from './helpers.ts';
import { insertEvents } from './many-clients.ts';
import { handshake } from './raw-websocket.ts';

const PAUSE_MS = 5;
const HERD_MS = 60_000; // what a large herd takes on a slow machine

/** What lies at this share of the values. */
export function quantile(values: readonly number[], share: number): number {
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
  void end.finally(() => {
    isDone = true;
  });
  const waits: number[] = [];
  while (!isDone) {
    const startedAt = performance.now();
    await ask();
    waits.push(performance.now() - startedAt);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  await end;
  return waits;
}

/** The ids of all events of a log, in order. */
export function eventIds(file: string): string[] {
  const db = openDatabase(file, { timeout: 5000 });
  const ids = db
    .prepare<[], string>("SELECT stamp || '-' || seq FROM changebell_events ORDER BY seq")
    .pluck()
    .all();
  db.close();
  return ids;
}

/**
 * While a herd resumes from all over the log: how long POSTs take, and how long after the answer to each its event
 * comes to a client that is live. Whatever else the machine does delays both.
 */
export async function besideHerd({ clients, events }: { clients: number; events: number }) {
  const server = await startServer();
  insertEvents(server.databaseFile, events, 200);
  const live = await connect(server.wsUrl);
  const after: number[] = [];
  const publish = async () => {
    const { body } = await post(`${server.url}/api/events`, { data: 'live' });
    const answeredAt = performance.now();
    return { id: body.id, answeredAt };
  };
  const ids = eventIds(server.databaseFile);
  const openings = Array.from({ length: clients }, (_, i) =>
    handshake(`?lastEventId=${ids[Math.floor((i * ids.length) / clients)]}`),
  );
  const startedAt = performance.now();
  const posts: number[] = [];
  const caughtUp = startCrowd({ port: server.port, openings }).then(() => everyoneAtHead(server));
  await waitsFor(async () => {
    const begin = performance.now();
    const { id, answeredAt } = await publish();
    posts.push(answeredAt - begin);
    await live.event(id);
    after.push(performance.now() - answeredAt);
  }, caughtUp);
  const herdMs = performance.now() - startedAt;
  await live.close();
  await server.stop();
  return { posts, after, herdMs };
}

function everyoneAtHead(server: Server): Promise<unknown> {
  const furthest = async () =>
    Number(/^changebell_client_lag_events (\d+)$/m.exec((await get(`${server.url}/metrics`)).text)![1]);
  return eventually(furthest, (lag) => lag < 100, 'the herd is at the head', HERD_MS);
}
