// kill -9, cut connections, and retries, at random and all at once, on any database. The log is the model:
// what was acknowledged is in it once, what a subscriber saw is it, and the table is what it adds up to.
// The short test and the soak run the same code; a seed gives the same numbers again, though not the same timing.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Frame, get, isOwn, openEventStream, post, seqOf, startServer } from './helpers.ts';

/** Numbers from 0 up to 1, always the same for one seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How much of it. */
export type Chaos = {
  /** Of a database that is there already; without it, a new SQLite file. */
  databaseUrl?: string | undefined;
  /** Of everything that is left to chance; a failure names it. */
  seed: number;
  /** How often the server is killed, each time after a random number of answers. */
  crashes: number;
  /** Programs that write one thing after another, and repeat what was not acknowledged. */
  writers: number;
  /** Clients that read and resume; every other one over a WebSocket. */
  subscribers: number;
};
type Server = Awaited<ReturnType<typeof startServer>>;
type Customer = { id: number; name: string };

/** What happens all at once: the server that is up at the moment, and the id of the very last event. */
type World = { server: Server; random: () => number; start: string; isWriting: boolean; last: string };

/** Every promise about crashes, or an AssertionError. @returns what was survived, in numbers */
export async function surviveCrashes({ databaseUrl, seed, crashes, writers, subscribers }: Chaos) {
  // Quick heartbeats, so that they fall between the events of a short test too.
  const env = { HEARTBEAT_SECONDS: '1', ...(databaseUrl ? { DATABASE_URL: databaseUrl } : {}) };
  const server = await startServer(env);
  // A database that was there has rows of its own: the log is added up from here.
  const before = await listCustomers(server);
  const world: World = { server, random: seeded(seed), start: before.lastEventId, isWriting: true, last: '' };
  // By the key of the request: what the server said was saved, and so must be there in the end.
  const acknowledged = new Map<string, Frame | Customer>();
  const writing = Array.from({ length: writers }, (_, i) => write(world, `${seed}-${i}`, acknowledged));
  const reading = Array.from({ length: subscribers }, (_, i) => subscribe(world, i % 2 === 0));

  for (let crash = 0; crash < crashes; crash++) {
    const enough = acknowledged.size + 10 + world.random() * 50;
    // There is no event to await: the writers go on by themselves.
    while (acknowledged.size < enough) await delay(5);
    // In the middle of whatever it does: no signal that it could answer with an orderly end.
    await world.server.kill9();
    // On another port, as after a move: everyone finds it by way of `world`.
    world.server = await startServer({ ...env, DATABASE_URL: world.server.databaseFile });
  }
  world.isWriting = false;
  await Promise.all(writing);
  // The last event of all: who has seen it is done.
  world.last = (await post(`${world.server.url}/api/events`, { type: 'last' })).body.id;

  // Read as any client could, over HTTP: no look into the database that might hide what the API gets wrong.
  const log = await readLog(world);
  for (const seen of await Promise.all(reading))
    assert.deepEqual(seen, log, 'a subscriber saw the log, once');
  checkAcknowledged(acknowledged, log);
  const after = await listCustomers(world.server);
  assert.deepEqual(addUp(before.customers, log), after.customers, 'log and table agree');
  assert.equal((await world.server.stop()).code, 0);
  return { events: log.length, acknowledged: acknowledged.size, crashes };
}

/** Writes one after another, each repeated with its key until it is acknowledged. */
async function write(world: World, name: string, acknowledged: Map<string, Frame | Customer>): Promise<void> {
  for (let i = 0; world.isWriting; i++) {
    const key = `${name}-${i}`;
    // Both kinds: a row and its event are one transaction, and a published event has no row.
    const isCustomer = world.random() < 0.5;
    const [path, body] = isCustomer ? ['/api/customers', { name: key }] : ['/api/events', { data: key }];
    for (;;) {
      // Whether it was saved is not known where no answer came: the key makes it safe to ask again.
      const answer = await post(world.server.url + path, body, { 'Idempotency-Key': key }).catch(
        () => undefined,
      );
      // A 503 says that nothing was changed, or that it can't be known: either way the same key is sent again.
      if (answer && answer.status !== 503) {
        assert.equal(answer.status, 201, answer.text);
        acknowledged.set(key, answer.body);
        break;
      }
      await delay(10);
    }
    // So that the table is changed and thinned out too, and not only grows.
    if (isCustomer && world.random() < 0.3) await changeOrDelete(world, acknowledged.get(key) as Customer);
  }
}

/** Not repeated: it may have happened or not, and log and table agree either way. */
async function changeOrDelete(world: World, { id, name }: Customer): Promise<void> {
  const url = `${world.server.url}/api/customers/${id}`;
  const headers = { 'Content-Type': 'application/json' };
  const init =
    world.random() < 0.5
      ? { method: 'DELETE' }
      : { method: 'PATCH', headers, body: JSON.stringify({ name: `${name}!` }) };
  await fetch(url, init).catch(() => undefined);
}

/** Reads the stream, is cut off at random or with its server, and resumes, until the last event. */
async function subscribe(world: World, isWebSocket: boolean): Promise<Frame[]> {
  const seen: Frame[] = [];
  let cursor = world.start;
  for (;;) {
    // It fails while no server is up, and is tried again.
    const client = await open(world.server, isWebSocket, cursor).catch(() => undefined);
    // How many frames it takes before it cuts its own line.
    let left = 1 + world.random() * 200;
    while (client && left-- > 0 && cursor !== world.last) {
      const frame = await client.next().catch(() => undefined);
      if (!frame) break; // the server is gone
      assert.notEqual(frame.type, 'stream.reset', JSON.stringify(frame));
      // The own frames have the place where the stream stands: an id there is good to go on from as well.
      if (!isOwn(frame)) {
        assert.equal(seqOf(frame.id), seqOf(cursor) + 1, `${frame.id} after ${cursor}`);
        seen.push(frame);
      } else assert.equal(frame.id, cursor, `${frame.type} after ${cursor}`);
      cursor = frame.id;
    }
    // Not awaited: a server that was just killed says no goodbye.
    void client?.close();
    if (cursor === world.last) return seen;
    // Nobody is up: a moment, so that this loop leaves the processor to the server that starts.
    if (!client) await delay(10);
  }
}

/** Over either transport with the same cursor: a client may change from one to the other. */
function open({ url, wsUrl }: Server, isWebSocket: boolean, cursor: string) {
  if (isWebSocket) return connect(wsUrl, { query: { lastEventId: cursor } });
  return openEventStream(`${url}/api/events`, { 'Last-Event-ID': cursor });
}

/** All events after the start, in pages, as someone who was away would read them. */
async function readLog({ server, start }: World): Promise<Frame[]> {
  const log: Frame[] = [];
  for (let page = { lastEventId: start, more: true, events: [] as Frame[] }; page.more; ) {
    page = (await get(`${server.url}/api/events?limit=1000&lastEventId=${page.lastEventId}`)).body;
    log.push(...page.events);
  }
  return log;
}

/** All rows, and the position of the first page: the events after it lead from these rows to later ones. */
async function listCustomers({ url }: Server): Promise<{ customers: Customer[]; lastEventId: string }> {
  const customers: Customer[] = [];
  let lastEventId = '';
  for (let next: string | null = '/api/customers?limit=500'; next; ) {
    const { body } = await get(url + next);
    customers.push(...body.customers);
    // That of the first page: the later ones are read while others may write.
    lastEventId ||= body.lastEventId;
    next = body.next;
  }
  return { customers, lastEventId };
}

/** Each answer that said 201 is told by one event of the log, and by no second one. */
function checkAcknowledged(acknowledged: Map<string, Frame | Customer>, log: Frame[]): void {
  const logged = new Map<string, Frame[]>();
  for (const event of log) {
    // The key of the request stands in what it wrote: so an event is found whatever became of its row later.
    const key = event.type === 'customer.created' ? event.data.name : event.data;
    if (typeof key === 'string') logged.set(key, [...(logged.get(key) ?? []), event]);
  }
  for (const [key, answer] of acknowledged) {
    const events = logged.get(key) ?? [];
    assert.equal(events.length, 1, `${key} was acknowledged, and is in the log ${events.length} times`);
    // The answer to a publication is the event itself; that to a new customer is its data.
    assert.deepEqual('specversion' in answer ? events[0] : events[0]!.data, answer);
  }
}

/** What a copy would be that began with `before` and followed the log. */
function addUp(before: Customer[], log: Frame[]): Customer[] {
  // What a page of the table and the events after it add up to must be the table itself.
  const rows = new Map(before.map((customer) => [customer.id, customer]));
  for (const { type, data } of log) {
    // Each event has the whole row, so an update needs nothing of what was before.
    if (type === 'customer.deleted') rows.delete(data.id);
    else if (type.startsWith('customer.')) rows.set(data.id, data);
  }
  return [...rows.values()].sort((a, b) => a.id - b.id);
}
