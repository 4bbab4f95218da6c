// What one client does at its worst, and what all others notice of it: nothing. Each flood comes from this process
// and hits a server of its own; what it does to others is judged beside what they had before, in the same run.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { Agent, get as httpGet } from 'node:http';
import { connect as connectTcp, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { closeAfterTest, closeWithFile } from '../support/cleanup.ts';
import {
  connect,
  eventually,
  get,
  post,
  program,
  ROOT,
  range,
  refusedHandshake,
  type Server,
  shareServer,
  skipWithout,
  startServer,
  temporaryFolder,
  within,
} from '../support/helpers.ts';
import { insertEvents, memoryOf, processorTime } from '../support/many-clients.ts';
import { quantile, waitsFor } from '../support/neighbours.ts';
import { deaf, exchange, head, jsonPost, raw, statusesOf } from '../support/raw-http.ts';

const LONG_PAGE = head('GET /api/events?limit=1000');
/** How much of the room for answers is taken by bodies; in the soak it is answers alone. */
const BODIES_MB = process.env.BODIES_MB ? Number(process.env.BODIES_MB) : 100;

/** How long others wait for `/healthz` while something is done, in milliseconds, the longest last. */
async function probe(server: Server, doing: Promise<unknown>): Promise<number[]> {
  let isDone = false;
  const done = doing.finally(() => {
    isDone = true;
  });
  const waits: number[] = [];
  while (!isDone) {
    const startedAt = performance.now();
    assert.equal((await get(`${server.url}/healthz`)).status, 200);
    waits.push(performance.now() - startedAt);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await done;
  return waits.sort((a, b) => a - b);
}

/** A server whose log fills a page of 1 MiB three times. */
async function startWithLongLog(env: Record<string, string> = {}): Promise<Server> {
  const server = await startServer(env);
  const { lastEventId } = (await get(`${server.url}/healthz`)).body;
  insertEvents(server.databaseFile, 3000, 1000);
  const hasAll = (answer: { body: { lastEventId: string } }) => answer.body.lastEventId !== lastEventId;
  await eventually(
    () => get(`${server.url}/healthz`),
    hasAll,
    'the events of the other program are announced',
  );
  return server;
}

let searched: Promise<Server> | undefined;
/** For those who take nothing from it: a log that is long to search. */
const withLogToSearch = () =>
  (searched ??= startServer().then((server) => {
    insertEvents(server.databaseFile, 10_000, 100);
    closeWithFile(() => server.stop());
    return server;
  }));

async function metric(server: Server, name: string): Promise<number> {
  const { text } = await get(`${server.url}/metrics`);
  const line = text.split('\n').find((candidate) => candidate.startsWith(`changebell_${name} `));
  assert.ok(line, `no metric ${name} in ${text}`);
  return Number(line.split(' ')[1]);
}

const shared = await shareServer(); // by those who take nothing from it

// They take the server's whole patience: so they begin now, and are looked at last.
const started = 'POST /api/customers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
const dribbled = [started, `${started}Content-Length: 100\r\n\r\n{"name":`].map((bytes) =>
  raw(shared.port, bytes, 20_000),
);
const answeredEarly = raw(shared.port, head('POST /nowhere', 'Content-Length: 100\r\n'), 20_000);

test('a request that is pipelined behind a write begins after its answer, and sees what was written', async () => {
  const read = head('GET /api/events?limit=1000');
  const text = await exchange(
    shared.port,
    range(1, 20)
      .map((number) => jsonPost('/api/events', { data: `event ${number}.` }) + read)
      .join(''),
  );
  assert.deepEqual(statusesOf(text), Array(20).fill([201, 200]).flat());
  const pages = text.split(/HTTP\/1\.1 200 OK/).slice(1);
  pages.forEach((page, index) => {
    const seen = /"more":false/.test(page) && page.includes(`"event ${index + 1}."`);
    assert.ok(seen, `the read behind write ${index + 1} doesn't show its event: ${page.slice(0, 400)}`);
  });
});

test('a body in pieces, with borders anywhere, is one body, and the request behind it another', async () => {
  const pieces = ['{"dat', 'a":"a\\r\\n\\r\\nb', ' and"}\r\n\r\n'].map(
    (piece) => `${piece.length.toString(16)};x=y\r\n${piece}\r\n`,
  );
  const chunked =
    head('POST /api/events', 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n') +
    `${pieces.join('')}0\r\nX-Trailer: yes\r\n\r\n`;
  const whole =
    chunked + jsonPost('/api/events', { data: '\r\n\r\nGET / HTTP/1.1\r\n\r\n' }) + head('GET /healthz');
  for (const size of [1, 2, 3, 7, 64]) {
    const socket = connectTcp({ port: shared.port, host: '127.0.0.1', noDelay: true });
    let text = '';
    socket.on('data', (part) => {
      text += part;
    });
    for (let at = 0; at < whole.length; at += size) {
      socket.write(whole.slice(at, at + size));
      if (at % 16 === 0) await new Promise(setImmediate);
    }
    await eventually(
      () => statusesOf(text),
      (statuses) => statuses.length === 3,
      `three answers to pieces of ${size} bytes`,
    );
    assert.deepEqual(statusesOf(text), [201, 201, 200]);
    socket.destroy();
  }
});

test('a client that pipelines long reads and never reads costs others neither time nor memory', async () => {
  const server = await startWithLongLog();
  await post(`${server.url}/api/customers`, { name: 'warm' });
  const pause = () => new Promise((resolve) => setTimeout(resolve, 600));
  const quiet = await probe(server, pause());
  const before = memoryOf(server);
  const flooders = range(1, 6).map(() => deaf(server.port, LONG_PAGE.repeat(1100)));
  const flooded = await probe(server, pause());
  const [usual, slow] = [quiet[Math.floor(quiet.length / 2)]!, flooded[Math.floor(flooded.length * 0.9)]!];
  assert.ok(slow < 40 * usual + 20, `nine of ten waited up to ${slow} ms, ${usual} ms is usual`);
  assert.ok(memoryOf(server) < 2.5 * before, `${memoryOf(server)} bytes of memory, ${before} before`);
  for (const socket of flooders) socket.destroy();
  assert.equal((await server.stop()).code, 0);
});

test('while fifty clients ask for long pages at once, others are answered in between', async () => {
  const server = await startWithLongLog();
  const startedAt = performance.now();
  // Not by `exchange`: who says that no more will come is given up after 10 s, and a slow machine takes longer.
  const lastPage = head('GET /api/events?limit=1000', 'Connection: close\r\n');
  const pages = range(1, 50).map(() => raw(server.port, lastPage, 60_000));
  const waits = await probe(server, Promise.all(pages));
  const all = performance.now() - startedAt;
  for (const text of await Promise.all(pages)) assert.match(text, /^HTTP\/1\.1 (200|503) /);
  assert.ok(waits.at(-1)! < all / 4, `one waited ${waits.at(-1)} ms of the ${all} ms that it took`);
  await server.stop();
});

test('a write does not wait for the pages that a hundred others have asked for before it', async (t) => {
  const server = await startWithLongLog();
  const write = () => post(`${server.url}/api/events`, { message: 'short' });
  await write(); // its connection is there already
  const startedAt = performance.now();
  const lastPage = head('GET /api/events?limit=1000', 'Connection: close\r\n');
  const pages = Promise.all(range(1, 100).map(() => raw(server.port, lastPage, 60_000)));
  const waits = await waitsFor(write, pages);
  const [longest, all] = [quantile(waits, 1), performance.now() - startedAt];
  t.diagnostic(`${waits.length} writes within ${Math.round(longest)} of ${Math.round(all)} ms`);
  assert.ok(longest < all / 2, `a write waited ${longest} ms of the ${all} ms that the pages took`);
  await server.stop();
});

test('writes have their turns between searches of the log, however many these are', async (t) => {
  const server = await withLogToSearch();
  const search = head('GET /api/events?from=earliest&types=never');
  const last = head('GET /api/events?from=earliest&types=never', 'Connection: close\r\n');
  const startedAt = performance.now();
  const searches = range(1, 20).map(() => raw(server.port, search + last, 60_000));
  const waits = await waitsFor(
    () => post(`${server.url}/api/events`, { message: 'short' }),
    Promise.all(searches),
  );
  for (const text of await Promise.all(searches)) assert.deepEqual(statusesOf(text), [200, 200]);
  const [half, all] = [quantile(waits, 0.5), performance.now() - startedAt];
  t.diagnostic(`${waits.length} writes in ${Math.round(all)} ms, half of them within ${Math.round(half)} ms`);
  assert.ok(half < all / 25, `half of the writes waited up to ${half} ms of ${all}`);
});

test('a hundred who search the log at once hold nothing of what was not for them while they wait for their turn', async (t) => {
  const server = await startServer();
  insertEvents(server.databaseFile, 10_000, 700);
  // Not two of them alike: those would share what is read.
  const search = (limit: number) =>
    head(`GET /api/events?limit=${limit}&types=never`, 'Connection: close\r\n');
  await raw(server.port, search(1000));
  const before = memoryOf(server);
  let most = before;
  await waitsFor(
    async () => {
      most = Math.max(most, memoryOf(server));
    },
    Promise.all(range(101, 200).map((limit) => raw(server.port, search(limit), 60_000))),
  );
  const more = Math.round((most - before) / 2 ** 20);
  t.diagnostic(`${more} MiB more than before`);
  assert.ok(more < 85, `100 searches took ${more} MiB of memory`);
  await server.stop();
});

test('newcomers are let in while fifty others search the log', async (t) => {
  const server = await withLogToSearch();
  const startedAt = performance.now();
  const search = head('GET /api/events?from=earliest&types=never', 'Connection: close\r\n');
  const searches = Promise.all(range(1, 50).map(() => raw(server.port, search, 60_000)));
  await get(`${server.url}/healthz`); // it came behind fifty others at the door
  const wait = performance.now() - startedAt;
  for (const text of await searches) assert.deepEqual(statusesOf(text), [200]);
  const all = performance.now() - startedAt;
  t.diagnostic(`/healthz in ${Math.round(wait)} ms, all searches in ${Math.round(all)} ms`);
  assert.ok(wait < all / 5, `/healthz took ${wait} ms of the ${all} in which the others had their answers`);
});

test('long bodies that come at once are parsed one after the other, and others are answered in between', async (t) => {
  const server = await startServer();
  // Of so many names: it takes V8 some thirty times what a text of that length takes.
  const value = Object.fromEntries(range(1, 25_000).map((number) => [`name ${number}`, 1]));
  const bytes = jsonPost('/api/events', { data: value }, 'Connection: close\r\n');
  const startedAt = performance.now();
  const answers = Promise.all(range(1, 30).map(() => raw(server.port, bytes, 60_000)));
  const waits = await probe(server, answers);
  const all = performance.now() - startedAt;
  for (const text of await answers) assert.deepEqual(statusesOf(text), [201]);
  // One of them waits while the bodies themselves come in.
  const [longest = 0] = waits.slice(-2);
  t.diagnostic(`${Math.round(all)} ms in all; all others but one waited up to ${Math.round(longest)} ms`);
  assert.ok(longest < all / 8, `some waited ${longest} ms of the ${all} ms that it took`);
  await server.stop();
});

test('a body in chunks of a byte takes little more memory than its bytes, and others are answered in between', async (t) => {
  const server = await startServer();
  const quiet = await probe(server, new Promise((resolve) => setTimeout(resolve, 300)));
  const before = memoryOf(server);
  const chunked = 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n';
  const bytes = head('POST /api/events', chunked) + '1\r\n \r\n'.repeat(500_000);
  const slow = range(1, 2).map(() => deaf(server.port, bytes));
  const isMuch = (count: number) => count > 350_000;
  const come = eventually(() => metric(server, 'unsent_bytes'), isMuch, 'many bytes have come', 20_000);
  const waits = await probe(server, come);
  const grown = memoryOf(server) - before;
  const [usual, late] = [quiet, waits].map((all) => all[Math.floor(all.length / 2)]!) as [number, number];
  t.diagnostic(`${Math.round(grown / 1e6)} MB; half of the others within ${late} ms, ${usual} ms is usual`);
  assert.ok(grown < 60e6, `350,000 bytes took ${grown} bytes of memory`);
  assert.ok(late < 20 * usual + 20, `half of the others waited up to ${late} ms, ${usual} ms is usual`);
  for (const socket of slow) socket.destroy();
  await server.stop();
});

test('a header of 16 KB costs no more when it is nearly something', async (t) => {
  const blanks = ' '.repeat(15_000);
  const cost = async (request: string) => {
    const before = processorTime(shared);
    for (const _ of range(1, 8)) await exchange(shared.port, request);
    return processorTime(shared) - before;
  };
  const ask = (header: string) => head('GET /api/events?limit=1', header);
  const usual = await cost(ask(`X: ${blanks}x\r\n`));
  const nearly = {
    stream: await cost(ask(`Accept: text/event-stream${blanks}x\r\n`)),
    plain: await cost(jsonPost('/api/events', {}, `Content-Encoding: ${','.repeat(15_000)}x\r\n`)),
  };
  t.diagnostic(`${usual} ms of processor time, ${JSON.stringify(nearly)}`);
  for (const ms of Object.values(nearly)) assert.ok(ms < 2 * usual + 150, `${ms} ms, ${usual} ms is usual`);
});

test('answers that nobody takes are bounded over all connections: then long ones are 503, short ones and writes go on', async (t) => {
  const server = await startServer();
  assert.equal((await post(`${server.url}/api/events`, { data: 'x'.repeat(1_000_000) })).status, 201);
  const long = '/api/events?limit=1'; // one row to read, and a megabyte to answer
  assert.equal((await get(server.url + long)).status, 200);
  const [limit, before] = [await metric(server, 'unsent_limit_bytes'), memoryOf(server)];
  assert.equal(limit, 128 * 1024 * 1024);
  // The kernel swallows four answers before one waits: so bodies that are not complete fill most of the room.
  const rest = head('POST /api/events', `Content-Type: application/json\r\nContent-Length: ${2 ** 20}\r\n`);
  const deafOnes = range(1, BODIES_MB).map(() => deaf(server.port, rest + ' '.repeat(1_000_000)));
  const haveCome = (bytes: number) => bytes >= BODIES_MB * 1_000_000;
  await eventually(() => metric(server, 'unsent_bytes'), haveCome, 'the bodies have come', 10_000);
  // What the kernel swallows on the way is not ours to count: each asks for more than that.
  const ask = (count: number) =>
    deafOnes.push(...range(1, count).map(() => deaf(server.port, head(`GET ${long}`).repeat(20))));
  ask(150 - BODIES_MB);
  const late = performance.now() + 10_000; // bodies that never end are given up after 15 s: then answers take their room
  const refusals = async () => {
    if (performance.now() > late && deafOnes.length < 250) ask(100);
    return metric(server, 'refusals_total{reason="memory"}');
  };
  await eventually(refusals, (count) => count > 0, 'a read is refused for lack of room', 60_000);
  assert.ok((await metric(server, 'unsent_bytes')) <= limit + 1024 * 1024);
  const grown = memoryOf(server) - before;
  t.diagnostic(`${Math.round(grown / 1e6)} MB more are in use when ${Math.round(limit / 1e6)} MB may wait`);
  assert.ok(grown < 3 * limit, `${grown} bytes more are in use`);
  const refused = await eventually(
    () => get(server.url + long),
    ({ status }) => status === 503,
    'a long read is a 503',
  );
  assert.match(refused.body.detail, /wait to be taken/);
  assert.ok(refused.headers.get('retry-after'));
  const fill = async () => {
    const left = limit - (await metric(server, 'unsent_bytes'));
    if (left > 30_000) deafOnes.push(deaf(server.port, rest + ' '.repeat(left - 20_000)));
    return left;
  };
  await eventually(fill, (left) => left <= 30_000, 'there is no room for a long body either');
  const body = jsonPost('/api/events', { data: 'x'.repeat(60_000) });
  const cuts = range(1, 30).map((n) => n * 2000);
  const inPieces = await exchange(server.port, body, cuts);
  assert.deepEqual(statusesOf(inPieces), [503], 'a long body that comes in small pieces');
  const { status, headers } = await post(`${server.url}/api/customers`, { name: 'Ada' });
  assert.equal(status, 201);
  assert.equal((await get(server.url + headers.get('location'))).status, 200);
  for (const socket of deafOnes) socket.destroy();
  const isFree = ({ status }: { status: number }) => status === 200;
  await eventually(() => get(server.url + long), isFree, 'there is room again');
  assert.ok((await metric(server, 'unsent_bytes')) < limit / 2);
  await server.stop();
});

test('bodies that wait for their commit have the room of writes, and take none of that of answers', async () => {
  const db = openDatabase(shared.databaseFile);
  db.exec('BEGIN IMMEDIATE');
  const event = { data: 'x'.repeat(60_000) };
  const answers = Promise.all(range(1, 40).map(() => post(`${shared.url}/api/events`, event)));
  const hasAll = (bytes: number) => bytes > 40 * 60_000;
  await eventually(() => metric(shared, 'waiting_write_bytes'), hasAll, 'all of them wait');
  const unsent = await metric(shared, 'unsent_bytes');
  assert.ok(unsent < 40 * 6000, `${unsent} bytes count as answers that wait to be taken`);
  db.exec('ROLLBACK');
  await answers;
  db.close();
  assert.equal(await metric(shared, 'waiting_write_bytes'), 0);
});

test('above MAX_CONNECTIONS the longest idle goes first; streams stay, and then new ones are closed with a line', async () => {
  const server = await startServer({ MAX_CONNECTIONS: '12' });
  const streams = await Promise.all(range(1, 6).map(() => connect(server.wsUrl)));
  const open = async () => {
    const socket = connectTcp(server.port, '127.0.0.1').on('error', () => {});
    socket.write(head('GET /healthz'));
    await within(once(socket, 'data'), 'an answer on a connection that stays open');
    return socket;
  };
  const idle: Socket[] = [];
  for (const _ of range(1, 10)) idle.push(await open());
  const gone = await eventually(
    () => idle.map((socket) => socket.destroyed || socket.readableEnded),
    (all) => all.filter((isGone) => isGone).length >= 4,
    'some are closed',
  );
  assert.deepEqual(
    gone,
    range(1, 10).map((n) => n <= 4),
    'the four that came first',
  );
  for (const socket of idle) socket.destroy();
  const more = await eventually(
    () => connect(server.wsUrl).then((client) => streams.push(client)),
    (count) => count === 12,
    'every connection is a stream',
  );
  assert.equal(more, 12);
  await assert.rejects(get(`${server.url}/healthz`), 'one more is closed at once');
  for (const { socket } of streams) assert.equal(socket.readyState, socket.OPEN);
  assert.match(server.output.stderr, /^Refused: too many connections/m);
  await server.stop();
});

test('with no file descriptor left the page is a 503 and no 404, nothing spins, and all is well afterwards', {
  skip: skipWithout('/usr/bin/prlimit', 'util-linux'),
}, async () => {
  const server = await startServer();
  const { pid } = server.process;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (path: string) =>
    new Promise<number>((resolve, reject) => {
      httpGet(server.url + path, { agent }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode!));
      }).on('error', reject);
    });
  assert.equal(await ask('/'), 200);
  const limit = (files: number) => execFileSync('prlimit', ['--pid', String(pid), `--nofile=${files}:20000`]);
  const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  const lowestFree = range(0, used.size).find((number) => !used.has(number))!;
  limit(lowestFree);
  assert.equal(await ask('/style.css'), 503);
  assert.equal(await ask('/healthz'), 200, 'on a connection that is open');
  const before = processorTime(server);
  const turnedAway = range(1, 30).map(() => connectTcp(server.port, '127.0.0.1').on('error', () => {}));
  await new Promise((resolve) => setTimeout(resolve, 500));
  const spent = processorTime(server) - before;
  assert.ok(spent < 300, `${spent} ms of processor time in half a second`);
  for (const socket of turnedAway) socket.destroy();
  limit(20_000);
  assert.equal(await ask('/style.css'), 200);
  assert.match(server.output.stderr, /no file descriptor is left/);
  agent.destroy();
  assert.equal((await server.stop()).code, 0);
});

test('a system that allows few open files bounds the connections below that', async () => {
  const folder = temporaryFolder();
  const child = spawn('/bin/sh', ['-c', 'ulimit -n 200; exec "$0" "$@"', process.execPath, ...program()], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, PORT: '0', DATABASE_URL: join(folder, 'x.db') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  closeAfterTest(() => child.kill('SIGKILL')); // also where it did not come up in time
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  await eventually(
    () => output,
    (text) => /ws:\S+\/ws/.test(text),
    'it starts',
    5000,
  );
  const port = Number(/http:\/\/\S+:(\d+)/.exec(output)![1]);
  const idle = range(1, 250).map(() => connectTcp(port, '127.0.0.1').on('error', () => {}));
  // While the others still come, ours may itself be one too many.
  const ask = (path: string) =>
    eventually(
      () => exchange(port, head(`GET ${path}`)),
      (text) => statusesOf(text)[0] === 200,
      `${path} is answered`,
    );
  const metrics = await ask('/metrics');
  assert.match(metrics, /^changebell_connections_limit 100$/m);
  assert.ok(Number(/^changebell_connections (\d+)$/m.exec(metrics)![1]) <= 100);
  await ask('/');
  for (const socket of idle) socket.destroy();
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('a flood of refusals is ten lines in the log for each reason, with path and origin and without a token', async () => {
  const server = await startServer({ API_TOKEN: 'correct-horse' });
  for (const _ of range(1, 25)) {
    await get(`${server.url}/api/customers?access_token=hunter2`, { Authorization: 'Bearer hunter3' });
    await refusedHandshake(`${server.wsUrl}?access_token=hunter2`, { Origin: 'https://evil.example' });
  }
  const lines = server.output.stderr.split('\n').filter((line) => line !== '');
  const of = (reason: string) => lines.filter((line) => line.includes(`(${reason})`));
  assert.deepEqual([of('token').length, of('origin').length, lines.length], [10, 10, 20]);
  assert.match(of('origin')[0]!, /GET "\/ws" from "https:\/\/evil\.example"/);
  assert.doesNotMatch(server.output.stderr, /hunter/);
  const text = (await get(`${server.url}/metrics`, { Authorization: 'Bearer correct-horse' })).text;
  assert.match(text, /^changebell_refusals_total\{reason="token"\} 25$/m);
  assert.match(text, /^changebell_refusals_total\{reason="origin"\} 25$/m);
  await server.stop();
});

test('a path with a line break forges no line in the log', async () => {
  const server = await startServer({ API_TOKEN: 'correct-horse' });
  await get(`${server.url}/api/x%0aRefused:%20forged`);
  await exchange(server.port, head('GET http://localhost/api/x?access_token=hunter2'));
  const lines = await eventually(
    () => server.output.stderr.split('\n').filter((line) => line !== ''),
    (all) => all.length >= 2,
    'two lines',
  );
  assert.equal(lines.length, 2, lines.join('\n'));
  assert.match(lines[1]!, /: GET "\/api\/x"\.$/, 'the path alone, of a whole URL as well');
  assert.doesNotMatch(lines.join('\n'), /hunter2/);
  await server.stop();
});

test('a reader of the log that is gone, as after `| head`, is no end', async () => {
  const server = await startServer({ API_TOKEN: 'correct-horse' });
  server.process.stdout!.destroy();
  server.process.stderr!.destroy();
  for (const _ of range(1, 5)) assert.equal((await get(`${server.url}/api/customers`)).status, 401);
  assert.equal((await get(`${server.url}/healthz`)).status, 200);
  server.process.kill('SIGTERM');
  assert.deepEqual(await within(once(server.process, 'exit'), 'exit'), [0, null]);
});

test('headers or a body that dribble in are a 408 within 15 s', async () => {
  for (const text of await Promise.all(dribbled)) assert.deepEqual(statusesOf(text), [408]);
});

test('a body that dribbles in after its answer gets no second one: it would be taken for the next', async () => {
  assert.deepEqual(statusesOf(await answeredEarly), [404]);
});
