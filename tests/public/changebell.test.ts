// The client library in Node, over both of its transports, against the real server; and against a
// server of our own making that misbehaves in ways the real one does not.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { ChangeStream, type Options } from '../../public/changebell.js';
import { eventually, get, post, range, type Server, seqOf, startServer, within } from '../support/helpers.ts';

// Node has one of its own from version 22 on.
Object.assign(globalThis, { WebSocket: globalThis.WebSocket ?? WebSocket });

let server: Server;
let locked: Server; // wants a token
const opened = new Set<ChangeStream>();
before(async () => {
  server = await startServer({ HEARTBEAT_SECONDS: '1', EVENT_RETENTION: '500' });
  locked = await startServer({ API_TOKEN: 'open-sesame' });
});
after(async () => {
  for (const stream of opened) stream.close();
  await Promise.all([server.stop(), locked.stop()]);
});

const publish = (message: string, url = server.url, type = 'notification') =>
  post(`${url}/api/events`, type === 'notification' ? { message } : { type, data: message });

/** A stream, with what it said: the texts of its messages, and its states. */
function follow(url: string, options: Options = {}) {
  const stream = new ChangeStream(url, { heartbeatSeconds: 1, ...options });
  opened.add(stream);
  const messages: { id: string; text: string; state: string }[] = [];
  const states: string[] = [stream.state];
  stream.addEventListener('state', () => states.push(stream.state));
  stream.addEventListener('message', (event) => {
    const { data, lastEventId } = event as MessageEvent;
    messages.push({ id: lastEventId, text: data.data?.message ?? data.data, state: stream.state });
  });
  return {
    stream,
    messages,
    states,
    texts: () => messages.map(({ text }) => text),
    inState: (state: string) =>
      eventually(
        () => stream.state,
        (now) => now === state,
        `state ${state}`,
      ),
    heard: (text: string, takes = 0) =>
      eventually(() => messages.some((message) => message.text === text), Boolean, text, takes),
  };
}

for (const [transport, path] of [
  ['WebSocket', '/ws'],
  ['server-sent events', '/api/events'],
] as const) {
  const urlOf = ({ url }: { url: string }) => url + path;

  test(`over ${transport}: what came while it was away comes first, each event once, then it is live`, async () => {
    const name = (number: number) => `${transport} ${number}`;
    const first = follow(urlOf(server));
    await first.inState('live');
    await publish(name(1));
    await first.heard(name(1));
    first.stream.close();
    assert.deepEqual(first.states, ['connecting', 'live', 'closed']);
    for (const number of [2, 3]) await publish(name(number));
    const second = follow(urlOf(server), { lastEventId: first.stream.lastEventId });
    await second.inState('live');
    await publish(name(4));
    await second.heard(name(4));
    assert.deepEqual(second.texts(), [2, 3, 4].map(name));
    assert.deepEqual(
      second.messages.map(({ state }) => state),
      ['catching-up', 'catching-up', 'live'],
    );
    assert.deepEqual(second.states, ['connecting', 'catching-up', 'live']);
    second.stream.close();
  });

  test(`over ${transport}: it outlives a server that is killed and started again`, async () => {
    const fallen = await startServer();
    const { stream, states, heard, texts, inState } = follow(urlOf(fallen));
    await inState('live');
    await publish('before', fallen.url);
    await heard('before');
    await fallen.kill9();
    await eventually(
      () => stream.tries,
      (tries) => tries > 2,
      'it tries again and again',
    );
    const risen = await startServer({ PORT: String(fallen.port), DATABASE_URL: fallen.databaseFile });
    await publish('after', risen.url);
    await heard('after', 10_000); // the longest of the waits
    assert.deepEqual(texts(), ['before', 'after']);
    assert.deepEqual(states.slice(0, 4), ['connecting', 'live', 'waiting', 'connecting']);
    assert.equal(states.at(-1), 'live');
    stream.close();
    await risen.stop();
  });

  test(`over ${transport}: it is live although \`types\` hides the newest of what it missed`, async () => {
    const start = (await publish('the start')).body.id;
    await publish('hidden', server.url, 'hidden.type');
    const { stream, inState, messages } = follow(urlOf(server), {
      lastEventId: start,
      types: ['customer.*'],
    });
    await inState('live');
    assert.ok(seqOf(stream.lastEventId ?? '') > seqOf(start), 'the heartbeat moved it on');
    assert.deepEqual(messages, []);
    stream.close();
  });

  test(`over ${transport}: a cursor that has expired is a reset, and the stream goes on`, async () => {
    const { stream, heard, inState } = follow(urlOf(server), { lastEventId: 'abcdef12-1' });
    const [{ detail }] = (await within(once(stream, 'reset'), 'a reset')) as [CustomEvent];
    assert.equal(detail.reason, 'unknown-log');
    assert.equal(detail.lastEventId, (await get(`${server.url}/healthz`)).body.lastEventId);
    await inState('live');
    await publish(`after the reset over ${transport}`);
    await heard(`after the reset over ${transport}`);
    stream.close();
  });

  test(`over ${transport}: it says its token; a refusal is told from a cut`, async () => {
    const told = follow(urlOf(locked), { token: 'open-sesame' });
    await told.inState('live');
    assert.equal(told.stream.isRefused, false);
    const untold = follow(urlOf(locked));
    await untold.inState('refused');
    assert.deepEqual([untold.stream.status, untold.stream.nextTryAt], [401, null]);
    assert.match(untold.stream.detail ?? '', /wants its API token/);
    untold.stream.token = 'open-sesame';
    await untold.inState('live');
    for (const { stream } of [told, untold]) stream.close();
  });

  test(`over ${transport}: closed while it is connecting, or by a listener, it leaves nobody on the server`, async () => {
    const early = follow(urlOf(server));
    early.stream.close();
    const late = follow(urlOf(server));
    late.stream.addEventListener('ready', () => late.stream.close());
    await late.inState('closed');
    const again = follow(urlOf(server));
    await again.inState('live');
    const waiting = new Promise<void>((resolve) => {
      again.stream.addEventListener('state', () => again.stream.state === 'waiting' && resolve());
    });
    again.stream.disconnect();
    await waiting; // by its event: the wait itself may be shorter than any poll
    again.stream.addEventListener('state', () => again.stream.state === 'connecting' && again.stream.close());
    again.stream.retry();
    await eventually(
      () => get(`${server.url}/healthz`),
      ({ body }) => body.clients === 0,
      'no client is left',
    );
    for (const { stream, states } of [early, late, again]) {
      assert.equal(stream.nextTryAt, null);
      assert.equal(states.at(-1), 'closed');
    }
  });
}

test('a connection that has gone silent is given up, and resumed elsewhere', async () => {
  const { stream, heard, inState, messages, states } = follow(server.wsUrl);
  await inState('live');
  stream.send('{"lab":"mute","seconds":60}');
  await publish('into the silence');
  await eventually(() => states.includes('waiting'), Boolean, 'it was given up', 5000); // it may be back by now
  assert.match(stream.closeReason, /^no heartbeat for 4 s/);
  await heard('into the silence');
  assert.equal(messages.length, 1);
  stream.close();
});

test('waits grow from 250 ms to 10 s, with full jitter, and can be cut short or put off', async () => {
  const { random } = Math;
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  closed.close();
  const waits: number[] = [];
  Math.random = () => 0.999;
  try {
    const { stream } = follow(`ws://127.0.0.1:${port}/ws`);
    for (let tries = 1; tries <= 8; tries += 1) {
      await eventually(
        () => stream.state,
        (state) => state === 'waiting',
        'waiting',
      );
      assert.equal(stream.tries, tries);
      waits.push((stream.nextTryAt ?? 0) - Date.now());
      stream.retry();
    }
    await eventually(
      () => stream.state,
      (state) => state === 'waiting',
      'waiting',
    );
    stream.retry(60_000);
    assert.ok((stream.nextTryAt ?? 0) - Date.now() > 50_000, 'put off');
    stream.close();
  } finally {
    Math.random = random;
  }
  const expected = [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000];
  for (const [index, wait] of waits.entries())
    assert.ok(wait <= (expected[index] ?? 0) && wait > (expected[index] ?? 0) - 240, `${waits}`);
});

test('what comes again is dropped and counted; that a heartbeat has the same id does no harm', async (t) => {
  const frame = (type: string, seq: number, data: unknown = {}) => {
    const event = { specversion: '1.0', id: `abcdef-${seq}`, source: '/api/events', type, time: '', data };
    return `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`;
  };
  const script = [
    frame('stream.ready', 0, { behind: 3, client: 'one' }),
    frame('notification', 1, 'first'),
    frame('notification', 2, 'second'),
    frame('notification', 1, 'first'),
    frame('stream.heartbeat', 3, { clients: 1 }),
    frame('notification', 3, 'third, with a line\u2028separator'),
    frame('stream.heartbeat', 3, { clients: 1 }),
    frame('notification', 3, 'third again'),
    ': a comment\n\n',
    frame('notification', 4, 'the end').replace('"data":', '\ndata: "data":'), // one event, two lines
  ].join('');
  const odd = createServer((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    for (const piece of script.match(/.{1,7}/gsu) ?? []) response.write(piece); // torn anywhere
  }).listen(0, '127.0.0.1');
  t.after(() => {
    odd.closeAllConnections();
    odd.close();
  });
  await once(odd, 'listening');
  const { stream, heard, texts } = follow(
    `http://127.0.0.1:${(odd.address() as AddressInfo).port}/api/events`,
  );
  await heard('the end');
  assert.deepEqual(texts(), ['first', 'second', 'third, with a line\u2028separator', 'the end']);
  assert.equal(stream.repeats, 2);
  assert.equal(stream.lastEventId, 'abcdef-4');
  stream.close();
});

test('how often heartbeats come is told by /healthz, for a client to know silence by', async () => {
  assert.equal((await get(`${server.url}/healthz`)).headers.get('heartbeat-seconds'), '1');
});

test('messages carry the text as it came, and ids to store', async () => {
  const { stream, inState } = follow(server.wsUrl);
  await inState('live');
  const message = once(stream, 'message') as Promise<[MessageEvent & { text: string }]>;
  const { body } = await publish('as it came');
  const [{ data, text, lastEventId }] = await message;
  assert.deepEqual([data, JSON.parse(text), lastEventId], [body, body, body.id]);
  stream.close();
});

test('many at once are all told, in order', async () => {
  const streams = range(1, 5).map((number) => follow(number % 2 ? server.wsUrl : `${server.url}/api/events`));
  await Promise.all(streams.map(({ inState }) => inState('live')));
  await Promise.all(range(1, 50).map((number) => publish(`many ${number}`)));
  for (const { stream, messages } of streams) {
    await eventually(
      () => messages.length,
      (length) => length === 50,
      'all of them',
    );
    const seqs = messages.map(({ id }) => seqOf(id));
    assert.deepEqual(seqs, range(seqs[0] ?? 0, (seqs[0] ?? 0) + 49));
    stream.close();
  }
});

test('after a reset to a log that is shorter than the last one, what comes is live', async () => {
  const frames = [
    [{ id: 'aaaaaa-5000', type: 'stream.ready', data: { behind: 0 } }],
    [
      { id: 'bbbbbb-3', type: 'stream.reset', data: { reason: 'unknown-log' } },
      { id: 'bbbbbb-4', type: 'notification', data: { message: 'short' } },
    ],
  ];
  const replaced = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  replaced.on('connection', (socket) => {
    for (const frame of frames.shift() ?? []) socket.send(JSON.stringify(frame));
    if (frames.length > 0) socket.close();
  });
  await once(replaced, 'listening');
  const { stream, states, heard } = follow(`ws://127.0.0.1:${(replaced.address() as AddressInfo).port}/ws`);
  await heard('short');
  assert.equal(states.includes('catching-up'), false, states.join());
  stream.close();
  replaced.close();
});
