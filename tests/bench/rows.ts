// What is measured. Each row runs its servers one after the other and returns one round: for each line of
// its table the numbers by column. `run.ts` repeats the rounds and takes the medians.
import { eventIds } from '../support/neighbours.ts';
import { Audience, HttpConnection, postBytes, quantile } from './load.ts';
import { changebell, hasUws, type Peer, peers, type Running, start } from './servers.ts';

/** Line → column → number. */
export type Round = Record<string, Record<string, number>>;

export type Options = { seconds: number };

const WRITERS = 64;
const STEADY_CONNECTIONS = 16;
const WARM_UP_SECONDS = 2; // the compiler's
const CUSTOMER = postBytes('/api/customers', { name: 'Ada Lovelace', email: 'ada@example.com' });
const MESSAGE = postBytes('/api/events', { message: 'The quick brown fox jumps over the lazy dog.' });
const FILLER = postBytes('/api/events', { message: 'x'.repeat(900) }); // a frame of about 1 KB

/** Runs each peer in turn on a fresh server and gathers what was measured. */
/** All that send one message to many. Of µWebSockets.js there is no build for each version of Node. */
function broadcasters(): Peer[] {
  return [changebell, peers.wsLoop, peers.socketIo, ...(hasUws() ? [peers.uws] : [])];
}

async function each(list: Peer[], measure: (server: Running) => Promise<Record<string, number>>) {
  const round: Round = {};
  for (const peer of list) {
    const server = await start(peer);
    round[peer.name] = await measure(server).finally(server.remove);
  }
  return round;
}

function listen(server: Running, count: number): Promise<Audience> {
  return new Audience().open(server.port, count, { isSocketIo: server.peer === peers.socketIo });
}

/** As many POSTs as the connections can carry, one at a time on each; the time of each in ms. */
async function saturate(server: Running, seconds: number, bytes = CUSTOMER): Promise<number[]> {
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  const worker = async () => {
    const connection = new HttpConnection(server.port);
    while (performance.now() < end) {
      const begin = performance.now();
      await connection.post(bytes);
      times.push(performance.now() - begin);
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: WRITERS }, worker));
  return times;
}

/** Durable writes per second, nobody listening. */
export function writes({ seconds }: Options): Promise<Round> {
  const list = [peers.bare, changebell, peers.expressLoop, peers.fastify, peers.jsonServer];
  return each(list, async (server) => {
    await saturate(server, WARM_UP_SECONDS);
    const cpu = server.cpu();
    const times = await saturate(server, seconds);
    return {
      'writes/s': times.length / seconds,
      'p50 ms': quantile(times, 0.5),
      'p99 ms': quantile(times, 0.99),
      'CPU µs/write': ((server.cpu() - cpu) / times.length) * 1e6,
    };
  });
}

/** Published events per second, one by one and in lists of 100: a list is one write. */
export async function lists({ seconds }: Options): Promise<Round> {
  const round: Round = {};
  for (const size of [1, 100]) {
    const event = {
      type: 'order.shipped',
      source: '/orders/7',
      data: { order: 7, item: 'Analytical Engine' },
    };
    const bytes = postBytes('/api/events', size === 1 ? event : Array(size).fill(event));
    const server = await start(changebell);
    await saturate(server, WARM_UP_SECONDS, bytes);
    const cpu = server.cpu();
    const times = await saturate(server, seconds, bytes);
    const count = times.length * size;
    round[`${size} a request`] = {
      'events/s': count / seconds,
      'CPU µs/event': ((server.cpu() - cpu) / count) * 1e6,
    };
    await server.remove();
  }
  return round;
}

/** Durable writes per second while 200 clients listen. */
export function notified({ seconds }: Options): Promise<Round> {
  return each([changebell, peers.expressLoop], async (server) => {
    const audience = await listen(server, 200);
    await saturate(server, WARM_UP_SECONDS);
    const [cpu, frames] = [server.cpu(), audience.frames];
    const times = await saturate(server, seconds);
    const delivered = audience.frames - frames;
    audience.close();
    return {
      'writes/s': times.length / seconds,
      'CPU µs/delivery': ((server.cpu() - cpu) / delivered) * 1e6,
    };
  });
}

/** CPU of a notification, when 1, 10 or 100 come in one turn of the server's event loop. */
export async function fanout({ seconds }: Options): Promise<Round> {
  const round: Round = {};
  for (const clients of [200, 2000]) {
    const measured = await each(broadcasters(), async (server) => {
      const audience = await listen(server, clients);
      const columns: Record<string, number> = {};
      for (const batch of [1, 10, 100]) {
        await lockstep(server, audience, batch, 0.5);
        const [cpu, frames, begin] = [server.cpu(), audience.frames, performance.now()];
        await lockstep(server, audience, batch, seconds / 2);
        const delivered = audience.frames - frames;
        columns[`CPU µs at ${batch}`] = ((server.cpu() - cpu) / delivered) * 1e6;
        columns[`/s at ${batch}`] = delivered / ((performance.now() - begin) / 1000);
      }
      audience.close();
      return columns;
    });
    for (const [name, columns] of Object.entries(measured)) round[`${name}, ${clients} clients`] = columns;
  }
  return round;
}

/** Sends a batch in one packet, waits until everyone has all of it, and again. */
async function lockstep(server: Running, audience: Audience, batch: number, seconds: number): Promise<void> {
  const connection = new HttpConnection(server.port);
  const bytes = MESSAGE.repeat(batch);
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const heard = audience.reach(audience.frames + batch * audience.sockets.length);
    await Promise.all([connection.post(bytes, batch), heard]);
  }
  connection.close();
}

/** Memory of a WebSocket on which nothing happens. */
export function idle(): Promise<Round> {
  const count = 10_000;
  return each(broadcasters(), async (server) => {
    const before = server.memory();
    const audience = await listen(server, count);
    await settle();
    const grown = server.memory() - before;
    audience.close();
    return { 'KB/connection': grown / count / 1024 };
  });
}

/** Memory of a server beside one client that has stopped reading, after 200,000 notifications of 1 KB. */
export function stalled(): Promise<Round> {
  return each([changebell, peers.wsLoop, peers.socketIo], async (server) => {
    const connection = new HttpConnection(server.port);
    const bytes = FILLER.repeat(100);
    for (let sent = 0; sent < 10_000; sent += 100) await connection.post(bytes, 100); // the base: warm, with nobody
    const audience = await listen(server, 2);
    const before = server.memory();
    audience.sockets[0]!.pause();
    const heard = audience.reach(200_000);
    for (let sent = 0; sent < 200_000; sent += 100) await connection.post(bytes, 100);
    await heard;
    const grown = server.memory() - before;
    audience.close();
    connection.close();
    return { 'MB grown': grown / 1024 / 1024 };
  });
}

/** 2,000 clients come back after a restart, each from a cursor of its own, some 1,000 events behind. */
export async function herd(): Promise<Round> {
  const [clients, missed] = [2000, 1000];
  const first = await start(changebell);
  const connection = new HttpConnection(first.port);
  await connection.post(MESSAGE.repeat(100), 100);
  for (let sent = 0; sent < missed + 100; sent += 100) await connection.post(MESSAGE.repeat(100), 100);
  connection.close();
  const ids = eventIds(first.databaseFile);
  await first.kill();
  const server = await start(changebell, { databaseFile: first.databaseFile });
  const behind = (i: number) => missed - 50 + (i % 100); // cursors spread over 100 positions
  const wanted = Array.from({ length: clients }, (_, i) => behind(i)).reduce((sum, n) => sum + n, 0);
  const audience = new Audience();
  const cpu = server.cpu();
  const begin = performance.now();
  const caughtUp = audience.reach(wanted);
  await audience.open(server.port, clients, {
    path: (i) => `/ws?lastEventId=${ids.at(-1 - behind(i))}`,
  });
  await caughtUp;
  const seconds = (performance.now() - begin) / 1000;
  const used = server.cpu() - cpu;
  audience.close();
  await server.remove();
  return { Changebell: { seconds, 'CPU µs/delivery': (used / wanted) * 1e6 } };
}

/** From the POST to the last of 1,000 clients, at 50 POSTs a second. */
export function latency({ seconds }: Options): Promise<Round> {
  return each(broadcasters(), async (server) => {
    const audience = await listen(server, 1000);
    const connection = new HttpConnection(server.port);
    const times: number[] = [];
    for (let i = 0; i < 50 * seconds + 25; i += 1) {
      const begin = performance.now();
      const heard = audience.reach(audience.frames + 1000);
      await Promise.all([connection.post(MESSAGE), heard]);
      if (i >= 25) times.push(performance.now() - begin);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, 20 - (performance.now() - begin))));
    }
    audience.close();
    connection.close();
    return { 'p50 ms': quantile(times, 0.5), 'p99 ms': quantile(times, 0.99) };
  });
}

/** At a steady rate, whatever a server makes of it: a POST begins when it is due, and waits for no other. */
export async function steady({ seconds }: Options): Promise<Round> {
  const round: Round = {};
  for (const rate of [100, 250, 1000]) {
    const measured = await each(broadcasters(), (server) => openLoop(server, rate, seconds));
    for (const [name, columns] of Object.entries(measured)) round[`${name}, ${rate} a second`] = columns;
  }
  return round;
}

/** 1,000 clients listen. The last of them has an event so many milliseconds after its POST was due. */
export async function openLoop(server: Running, rate: number, seconds: number): Promise<Round[string]> {
  const audience = await listen(server, 1000);
  const connections = Array.from({ length: STEADY_CONNECTIONS }, () => new HttpConnection(server.port));
  await lockstep(server, audience, 1, WARM_UP_SECONDS);
  const [cpu, frames, begin] = [server.cpu(), audience.frames, performance.now()];
  const [answered, last]: [number[], number[]] = [[], []];
  const dueAt = (nth: number) => begin + (nth * 1000) / rate;
  audience.onLast = (nth) => last.push(performance.now() - dueAt(nth - frames / 1000));
  const heard = audience.reach(frames + rate * seconds * 1000);
  const posts = Array.from({ length: rate * seconds }, async (_, nth) => {
    await new Promise((resolve) => setTimeout(resolve, dueAt(nth) - performance.now()));
    await connections[nth % STEADY_CONNECTIONS]!.post(MESSAGE);
    answered.push(performance.now() - dueAt(nth));
  });
  await Promise.all([...posts, heard]);
  const used = server.cpu() - cpu;
  audience.close();
  for (const connection of connections) connection.close();
  return {
    'CPU µs/delivery': (used / (audience.frames - frames)) * 1e6,
    'POST p50 ms': quantile(answered, 0.5),
    'last client p50 ms': quantile(last, 0.5),
  };
}

/** What a single caller waits for its answer, with nobody and with 500 clients listening. */
export async function answer({ seconds }: Options): Promise<Round> {
  const round: Round = {};
  for (const clients of [0, 500]) {
    const server = await start(changebell);
    const audience = await listen(server, clients);
    const connection = new HttpConnection(server.port);
    const times: number[] = [];
    for (let i = 0; i < 40 * seconds + 25; i += 1) {
      const begin = performance.now();
      await connection.post(CUSTOMER);
      if (i >= 25) times.push(performance.now() - begin);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    audience.close();
    await server.remove();
    round[`${clients} clients`] = { 'p50 ms': quantile(times, 0.5), 'p99 ms': quantile(times, 0.99) };
  }
  return round;
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 2000));
