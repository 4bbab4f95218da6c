// When the client library connects, when it waits, and when it knows that asking again is useless; against
// servers of our own making, which misbehave in ways that the real one does not.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, mock, test } from 'node:test';
import { WebSocket } from 'ws';
import { Silence } from '../../public/changebell/silence.js';
import { ChangeStream, type Options } from '../../public/changebell.js';
import { fakeStream, type Script } from '../support/fake-stream.ts';
import { eventually, post, range, startServer, within } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';
import { freePort } from '../support/postgres-cluster.ts';

// What a browser has and Node has not: a window that tells of the network. Before the first stream is made.
const browser = new EventTarget();
Object.assign(globalThis, { addEventListener: browser.addEventListener.bind(browser) });

const READY: Script = [['stream.ready', 1, { behind: 0, client: 'one' }]];
let server: OpenServer;
before(async () => {
  server = await openServer({ HEARTBEAT_SECONDS: '1', API_TOKEN: 'open-sesame' });
});
after(() => server.stop());

const inState = (stream: ChangeStream, state: string) =>
  eventually(
    () => stream.state,
    (now) => now === state,
    `state ${state}`,
  );

test('a server that says ready and closes is left more and more time', async (t) => {
  const { url, asked } = await fakeStream(t, (_, response) => {
    setImmediate(() => response.end());
    return READY;
  });
  mock.method(Math, 'random', () => 0.999);
  t.after(() => mock.restoreAll());
  const stream = new ChangeStream(url);
  for (const tries of range(1, 7)) {
    await eventually(
      () => stream.state === 'waiting' && stream.tries,
      (now) => now === tries,
      `loss ${tries}`,
    );
    stream.retry();
  }
  await eventually(
    () => stream.state === 'waiting' && stream.tries,
    (now) => now === 8,
    'the last loss',
  );
  assert.ok((stream.nextTryAt ?? 0) - Date.now() > 9000, 'although each of them was live for a moment');
  assert.equal(asked.length, 8);
  stream.close();
});

test('when the network comes back, the old connection is left at once', async (t) => {
  const { url, asked } = await fakeStream(t, () => READY);
  const stream = new ChangeStream(url);
  await inState(stream, 'live');
  browser.dispatchEvent(new Event('online'));
  await eventually(
    () => asked.length,
    (length) => length === 2,
    'a second connection',
  );
  await inState(stream, 'live');
  assert.equal(asked[1]?.get('lastEventId'), 'abcdef-1');
  browser.dispatchEvent(new Event('focus'));
  assert.equal(stream.state, 'live', 'a tab that comes back keeps what is not overdue');
  const { now } = Date;
  t.after(() => {
    Date.now = now;
  });
  Date.now = () => now() + 3_600_000; // the computer slept: monotonic clocks may have slept too
  browser.dispatchEvent(new Event('focus'));
  assert.equal(stream.state, 'connecting', 'and leaves what is');
  stream.close();
  browser.dispatchEvent(new Event('online'));
  assert.equal(stream.state, 'closed');
});

/** Nothing happens in this thread for so long, as in a long computation; but it takes no processor from others. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test('who was blocked, or whose clock was set, does not take that for silence', async () => {
  const stream = new ChangeStream(`${server.url}/api/events`, {
    token: 'open-sesame',
    heartbeatSeconds: 0.2,
  });
  await inState(stream, 'live');
  const states: string[] = [];
  stream.addEventListener('state', () => states.push(stream.state));
  await within(once(stream, 'heartbeat'), 'a heartbeat');
  block(3200); // of 2.4 s that make a silence; it is noticed when it is long over
  const { now } = Date;
  Date.now = () => now() + 3_600_000;
  await within(once(stream, 'heartbeat'), 'a heartbeat');
  await within(once(stream, 'heartbeat'), 'a heartbeat');
  Date.now = now;
  assert.deepEqual([states, stream.closeReason], [[], '']);
  stream.close();
});

test('who is blocked again, before what came could be read, does not take that for silence either', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const told: string[] = [];
  const silence = new Silence(1, (why) => told.push(why));
  silence.listen();
  const pass = (ms: number, blockedMs = 0) => {
    now += ms + blockedMs;
    t.mock.timers.tick(ms);
  };
  pass(4000, 5000);
  pass(250, 600);
  assert.deepEqual(told, [], 'it has yet to read what came');
  pass(250);
  assert.match(told.join(), /^no heartbeat for 4 s/);
});

test('how often heartbeats come is told by the server', async (t) => {
  const { url } = await fakeStream(t, () => [
    ['stream.ready', 1, { behind: 0, client: 'one', heartbeatSeconds: 0.05 }],
  ]);
  const stream = new ChangeStream(url);
  const [waiting] = await Promise.all([eventually(() => stream.closeReason, Boolean, 'silence')]);
  assert.match(waiting, /^no heartbeat for 2\.1 s/);
  stream.close();
});

for (const path of ['/ws', '/api/events']) {
  test(`a token from a function is asked for once, and again when it is refused (${path})`, async () => {
    const tokens = ['stale', 'open-sesame'];
    const token = () => Promise.resolve(tokens.shift() ?? 'too many');
    const options: Options = { token, WebSocket };
    const stream = new ChangeStream(server.url + path, options);
    await inState(stream, 'live');
    const waiting = once(stream, 'state');
    stream.disconnect();
    await waiting;
    stream.retry();
    await inState(stream, 'live');
    assert.deepEqual(tokens, [], 'the second connection had the same');
    stream.close();
  });

  test(`refused twice it stays refused, says why, and comes back with retry() (${path})`, async () => {
    let asked = 0;
    let right = 'wrong';
    const token = async () => {
      asked += 1;
      return right;
    };
    const stream = new ChangeStream(server.url + path, { token, WebSocket });
    await inState(stream, 'refused');
    assert.deepEqual([asked, stream.status, stream.nextTryAt], [2, 401, null]);
    assert.match(stream.detail ?? '', /wants its API token/);
    right = 'open-sesame';
    stream.retry();
    await inState(stream, 'live');
    assert.equal(asked, 3);
    assert.deepEqual([stream.status, stream.detail], [undefined, undefined], 'it was let in');
    stream.close();
  });
}

for (const path of ['/ws', '/api/events'])
  test(`a token that no header may have is refused in words, without a try (${path})`, async () => {
    const stream = new ChangeStream(server.url + path, { token: 'open-sesame\n', WebSocket });
    await inState(stream, 'refused');
    assert.equal(stream.status, 401);
    assert.match(stream.detail ?? '', /^The token has characters/);
    assert.doesNotMatch(stream.closeReason, /sesame/);
    stream.token = 'open-sesame';
    await inState(stream, 'live');
    stream.close();
  });

test('what is no address of a stream is said at once', () => {
  for (const address of ['localhost:5000/ws', 'ftp://localhost/ws', '/ws'])
    assert.throws(() => new ChangeStream(address), TypeError, address);
});

test('a token that has expired is asked for anew, and the stream goes on at its cursor', async (t) => {
  const { url, asked, send, end } = await fakeStream(t, (_, __, { authorization }) => [
    ['stream.ready', 1, { behind: 0, client: String(authorization) }],
  ]);
  let tokens = 0;
  const names: string[] = [];
  const stream = new ChangeStream(url, { token: async () => `token-${++tokens}` });
  stream.addEventListener('ready', ({ detail }) => names.push(detail.client));
  await inState(stream, 'live');
  send(['notification', 2, 'the last']);
  send(['stream.expired', 2, {}]);
  end();
  await eventually(
    () => names.length,
    (length) => length === 2,
    'a second connection',
  );
  assert.deepEqual(names, ['Bearer token-1', 'Bearer token-2']);
  assert.equal(asked[1]?.get('lastEventId'), 'abcdef-2');
  stream.close();
});

test('a token that has expired while the server was away is asked for anew, as often as that happens', async (t) => {
  const answers = [401, 503, 401, 503, 401, 200];
  const names: unknown[] = [];
  const { url } = await fakeStream(t, (_, response, headers) => {
    names.push(headers.authorization);
    const status = answers.shift();
    if (status === 200) return READY;
    response.writeHead(status!).end('{}');
    return undefined;
  });
  let asked = 0;
  const token = () => {
    asked += 1;
    return `token-${asked}`;
  };
  const stream = new ChangeStream(url, { token });
  stream.addEventListener('state', () => stream.state === 'waiting' && stream.retry(1));
  await eventually(
    () => stream.state,
    (state) => state === 'live' || state === 'refused',
    'it has come through',
  );
  assert.equal(stream.state, 'live');
  assert.deepEqual(
    names,
    [1, 2, 2, 3, 3, 4].map((n) => `Bearer token-${n}`),
  );
  stream.close();
});

test('a token that is set during a try with the one before it is tried at once', async (t) => {
  const { url } = await fakeStream(t, (_, response, { authorization }) => {
    if (authorization === 'Bearer new') return READY;
    stream.token = 'new'; // before the answer to the old one
    response.writeHead(401).end('{}');
    return undefined;
  });
  const stream = new ChangeStream(url, { token: 'old' });
  await eventually(
    () => stream.state,
    (state) => state === 'live' || state === 'refused',
    'an answer',
  );
  assert.equal(stream.state, 'live');
  stream.close();
});

test('403 is final; 503 waits as Retry-After says; what answers with a page is no stream', async (t) => {
  const answers: [number, Record<string, string>][] = [
    [503, { 'Retry-After': '7' }],
    [200, { 'Content-Type': 'text/html' }],
    [503, { 'Retry-After': new Date(Date.now() + 60_000).toUTCString() }],
    [403, { 'Content-Type': 'application/problem+json' }],
  ];
  const { url } = await fakeStream(t, (_, response) => {
    const [status, headers] = answers.shift()!;
    response.writeHead(status, headers).end('{"detail":"Not you."}');
    return undefined;
  });
  const stream = new ChangeStream(url);
  const waits: { seconds: number; status: number | undefined; reason: string }[] = [];
  stream.addEventListener('state', () => {
    if (stream.state !== 'waiting') return;
    const seconds = ((stream.nextTryAt ?? 0) - Date.now()) / 1000;
    waits.push({ seconds, status: stream.status, reason: stream.closeReason });
    stream.retry(1); // these waits are long, and told already
  });
  await eventually(
    () => waits.length,
    (length) => length === 3,
    'it waits',
  );
  const [first, second, third] = waits;
  assert.ok(first!.seconds > 6 && first!.seconds < 7.3, `${first!.seconds} s for a Retry-After of 7`);
  assert.equal(first!.status, 503);
  assert.ok(second!.seconds < 1);
  assert.equal(second!.reason, 'what answered is no event stream');
  assert.ok(third!.seconds > 57 && third!.seconds < 62, `${third!.seconds} s for a date in a minute`);
  await inState(stream, 'refused');
  assert.deepEqual([stream.status, stream.detail, stream.nextTryAt], [403, 'Not you.', null]);
  stream.close();
});

test('a server that asks for years of rest is not asked at once', async (t) => {
  const { url, asked } = await fakeStream(t, (_, response) => {
    response.writeHead(503, { 'Retry-After': '99999999' }).end();
    return undefined;
  });
  const stream = new ChangeStream(url);
  await inState(stream, 'waiting');
  const days = ((stream.nextTryAt ?? 0) - Date.now()) / 86_400_000;
  assert.ok(days > 24 && days < 25, `${days} days, where no timer can be longer`);
  await (await fetch(url)).text(); // longer than a timer that fires at once
  assert.equal(asked.length, 2, 'and ours is one of them');
  stream.close();
});

test('a stream that is closed while it connects asks nothing more', async (t) => {
  const asked: string[] = [];
  const door = createServer(({ url = '' }, response) => {
    asked.push(url);
    response.end();
  }).listen(0);
  t.after(() => door.close());
  const { port } = door.address() as AddressInfo;
  const handshake = once(door, 'upgrade');
  const stream = new ChangeStream(`ws://localhost:${port}/ws`, { WebSocket });
  const [, socket] = await handshake;
  const ended = once(socket.resume(), 'end');
  stream.close();
  await ended;
  socket.destroy();
  await (await fetch(`http://localhost:${port}/ours`)).text();
  assert.deepEqual(asked, ['/ours']);
});

test('what the stream is to be of goes into the query', async (t) => {
  const { url, asked, end } = await fakeStream(t, () => READY);
  const from = '2026-11-23T09:30:00Z';
  const stream = new ChangeStream(url, {
    types: ['a.*', 'b'],
    sources: ['/rooms/42/*'],
    conflate: 'source',
    from,
  });
  await inState(stream, 'live');
  end();
  await eventually(
    () => asked.length,
    (length) => length === 2,
    'a second connection',
  );
  const filter = { types: 'a.*,b', sources: '/rooms/42/*', conflate: 'source' };
  assert.deepEqual(
    asked.map((query) => Object.fromEntries(query)),
    [
      { from, ...filter },
      { lastEventId: 'abcdef-1', ...filter },
    ],
  );
  stream.close();
});

test('what is no event ends the connection, and nothing else', async (t) => {
  let connections = 0;
  const { url } = await fakeStream(t, (_, response) => {
    connections += 1;
    if (connections > 1) return READY;
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: what?\n\n');
    return undefined;
  });
  const stream = new ChangeStream(url);
  await eventually(() => stream.closeReason, Boolean, 'the end of the first');
  assert.equal(stream.closeReason, 'what came is no event');
  await inState(stream, 'live');
  stream.close();
});

/** As Node 22 has it: of a handshake that failed it tells an error, and nothing more. */
class NeverClosed {
  readyState = 0;
  onerror?: () => void;
  constructor() {
    setImmediate(() => this.onerror?.());
  }
  close() {}
}

test('a handshake that fails with an error alone is asked about as one that is closed', async () => {
  const refused = new ChangeStream(server.wsUrl, { token: 'wrong', WebSocket: NeverClosed });
  await inState(refused, 'refused');
  assert.equal(refused.status, 401);
  refused.close();
});

test('with the platform’s own WebSocket it finds a server that was away', async () => {
  const PORT = String(await freePort());
  const stream = new ChangeStream(`ws://127.0.0.1:${PORT}/ws`);
  await inState(stream, 'waiting');
  const late = await startServer({ PORT });
  stream.retry();
  await inState(stream, 'live');
  await late.kill9();
  await inState(stream, 'waiting');
  await eventually(
    () => stream.tries,
    (tries) => tries > 1,
    'it tries again',
  );
  stream.close();
});

test('with another constructor, or over server-sent events where the platform has none', async () => {
  const platform = globalThis.WebSocket;
  Object.assign(globalThis, { WebSocket: undefined });
  const plain = new ChangeStream(server.wsUrl, { token: 'open-sesame' });
  await inState(plain, 'live');
  Object.assign(globalThis, { WebSocket: platform });
  const given = new ChangeStream(server.wsUrl, { token: 'open-sesame', WebSocket });
  await inState(given, 'live');
  const headers = { Authorization: 'Bearer open-sesame' };
  const { body } = await post(`${server.url}/api/events`, { message: 'both' }, headers);
  await Promise.all([plain.reached(body.id), given.reached(body.id)]);
  const { clients } = await (await fetch(`${server.url}/api/clients`, { headers })).json();
  const transports = clients.map(({ transport }: { transport: string }) => transport);
  assert.equal(new Set(transports).size, 2, transports.join());
  plain.close();
  given.close();
});
