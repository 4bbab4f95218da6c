// The WebSocket as a client sees it: where a stream begins, that it has no seam between what was missed
// and what is live, what ends a connection and with which code, and the failure lab.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import {
  connect,
  eventually,
  get,
  post,
  range,
  rawRequest,
  refusedHandshake,
  seqOf,
  seqsOf,
  shareServer,
  within,
} from '../support/helpers.ts';
import { clientFrame, handshake, openRaw } from '../support/raw-websocket.ts';

const server = await shareServer();
const quick = await shareServer({ HEARTBEAT_SECONDS: '1', MAX_CLIENTS: '3', LAB: '0' });

const publish = async (body: object = {}, to = server) => (await post(`${to.url}/api/events`, body)).body;
const health = async (of = server) => (await get(`${of.url}/healthz`)).body;
const logOf = (id: string) => id.slice(0, id.lastIndexOf('-'));

test('the first frame is stream.ready at the newest event, with a name for the stream', async () => {
  const { id } = await publish();
  const client = await connect(server.wsUrl);
  const frame = await client.next();
  assert.deepEqual(
    [frame.specversion, frame.type, frame.source, frame.id],
    ['1.0', 'stream.ready', `/ws/${frame.data.client}/1`, id],
  );
  const { client: name } = frame.data;
  assert.deepEqual(frame.data, { behind: 0, client: name, heartbeatSeconds: 15 });
  assert.match(name, /^[\w-]+$/);
  assert.match(frame.time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  await client.close();
});

test('a client that resumes after event 2 gets 3, 4 and then live ones, once each', async () => {
  const [, second, third, fourth] = [await publish(), await publish(), await publish(), await publish()];
  const client = await connect(server.wsUrl, { query: { lastEventId: second.id } });
  const ready = await client.next();
  assert.deepEqual([ready.type, ready.id, ready.data.behind], ['stream.ready', second.id, 2]);
  assert.deepEqual([await client.nextEvent(), await client.nextEvent()], [third, fourth]);
  const live = await publish();
  assert.deepEqual(await client.nextEvent(), live);
  await client.close();
});

test('there is no seam: clients that join at any moment under load miss nothing and get nothing twice', async () => {
  const start = await publish();
  let isWriting = true;
  const writers = range(1, 4).map(async () => {
    while (isWriting) await publish({ type: 'load' });
  });
  const clients = [];
  for (let i = 0; i < 20; i++) {
    const lastEventId = i % 2 === 0 ? start.id : (await health()).lastEventId;
    clients.push(await connect(server.wsUrl, { query: { lastEventId } }));
  }
  isWriting = false;
  await Promise.all(writers);
  const last = await publish({ type: 'last' });
  for (const client of clients) {
    const first = await client.next();
    await client.event(last.id);
    assert.deepEqual(seqsOf(client.events()), range(seqOf(first.id) + 1, seqOf(last.id)));
    await client.close();
  }
});

test('every client gets every event in commit order', async () => {
  const clients = await Promise.all(range(1, 5).map(() => connect(server.wsUrl)));
  for (const client of clients) await client.next();
  const sent = await Promise.all(range(1, 100).map((data) => publish({ data })));
  const newest = Math.max(...seqsOf(sent));
  for (const client of clients) {
    await client.until((frame) => seqOf(frame.id) === newest, 'the newest event');
    assert.deepEqual(seqsOf(client.events()), range(newest - 99, newest));
    await client.close();
  }
});

test('a cursor that cannot be continued gets stream.reset at the newest event, and then live ones', async () => {
  const { id } = await publish();
  for (const [cursor, reason] of [
    ['abcdef012345-1', 'unknown-log'],
    [`${logOf(id)}-${seqOf(id) + 100}`, 'ahead'],
  ] as const) {
    const client = await connect(server.wsUrl, { query: { lastEventId: cursor } });
    const frame = await client.next();
    assert.deepEqual(
      [frame.type, frame.data, seqOf(frame.id) >= seqOf(id)],
      ['stream.reset', { reason }, true],
    );
    const live = await publish();
    assert.deepEqual(await client.nextEvent(), live);
    await client.close();
  }
});

test('types keeps only what it names, replayed and live, and behind counts everything', async () => {
  const start = await publish();
  const replayed = await publish({ type: 'order.shipped' });
  await publish({ type: 'orders' });
  const client = await connect(server.wsUrl, { query: { lastEventId: start.id, types: 'order.*,exact' } });
  assert.equal((await client.next()).data.behind, 2);
  assert.deepEqual(await client.nextEvent(), replayed);
  await publish({ type: 'exact.not' });
  const live = await publish({ type: 'exact' });
  assert.deepEqual(await client.nextEvent(), live);
  await client.close();
});

test('cloudevents.json is chosen when it is offered, and nothing is compressed', async () => {
  const client = await connect(server.wsUrl, {
    protocols: ['other', 'cloudevents.json'],
    options: { perMessageDeflate: true },
  });
  assert.deepEqual([client.socket.protocol, client.socket.extensions], ['cloudevents.json', '']);
  await client.close();
});

test('a plain GET of /ws, and an upgrade on another path, are 400; on no path 404', async () => {
  assert.equal((await get(`${server.url}/ws`)).status, 400);
  for (const [path, status] of [
    ['/api/customers', 400],
    ['/', 400],
    ['/healthz', 400],
    ['/nope', 404],
    ['/ws/', 404],
  ] as const) {
    const answer = await refusedHandshake(server.wsUrl.replace(/\/ws$/, path));
    assert.equal(answer.status, status, path);
    assert.match(answer.headers.get('content-type')!, /^application\/problem\+json/);
    assert.equal(answer.body.status, status);
  }
});

test('a bad cursor or type filter is refused with 400 before the stream opens', async () => {
  for (const query of ['lastEventId=x', 'lastEventId=', 'types=', 'types=*', 'lastEventId=abcdef-1x']) {
    assert.equal((await refusedHandshake(`${server.wsUrl}?${query}`)).status, 400, query);
  }
});

test('a handshake without a key, or of another version, is a plain HTTP refusal', async () => {
  const upgrade = { Connection: 'Upgrade', Upgrade: 'websocket' };
  assert.equal(
    (await rawRequest(server.port, 'GET /ws', { ...upgrade, 'Sec-WebSocket-Version': '13' })).status,
    400,
  );
  const old = { ...upgrade, 'Sec-WebSocket-Version': '8', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' };
  const answer = await rawRequest(server.port, 'GET /ws', old);
  assert.ok([400, 426].includes(answer.status), answer.head);
});

test('a handshake that is no GET is a 405 like any other method', async () => {
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  const answer = await rawRequest(server.port, 'POST /ws', headers);
  assert.equal(answer.status, 405);
  assert.match(answer.head, /^Allow: GET, HEAD, OPTIONS$/m);
});

test('too many clients are refused with 503 and Retry-After, and a place that is left can be taken', async () => {
  const clients = await Promise.all(range(1, 3).map(() => connect(quick.wsUrl)));
  const refused = await refusedHandshake(quick.wsUrl);
  assert.equal(refused.status, 503);
  assert.match(refused.headers.get('retry-after')!, /^\d+$/);
  assert.equal((await get(`${quick.url}/api/events`, { Accept: 'text/event-stream' })).status, 503);
  await clients[0]!.close();
  await eventually(
    () => health(quick),
    ({ clients }) => clients === 2,
    'two clients left',
  );
  clients[0] = await connect(quick.wsUrl);
  assert.equal((await clients[0].next()).type, 'stream.ready');
  await Promise.all(clients.map((client) => client.close()));
  await eventually(
    () => health(quick),
    ({ clients }) => clients === 0,
    'no client left',
  );
});

test('a message over 4 KiB closes with 1009, one of 4 KiB is ignored', async () => {
  const client = await connect(server.wsUrl);
  client.socket.send('x'.repeat(4096));
  client.socket.send('not even JSON');
  const event = await publish();
  assert.deepEqual(await client.nextEvent(), event);
  client.socket.send('x'.repeat(4097));
  assert.equal((await within(client.closed, 'the connection to close')).code, 1009);
});

test('the 51st message within 10 s closes with 1008, and nobody else notices', async () => {
  const [noisy, quiet] = [await connect(server.wsUrl), await connect(server.wsUrl)];
  for (let i = 0; i < 50; i++) noisy.socket.send('x');
  const event = await publish();
  assert.deepEqual(await noisy.nextEvent(), event);
  noisy.socket.send('x');
  assert.equal((await within(noisy.closed, 'the connection to close')).code, 1008);
  assert.deepEqual(await quiet.nextEvent(), event);
  await quiet.close();
});

/** Opens a WebSocket by hand, sends these bytes, and tells the code of the close frame that comes back. */
async function closeCodeAfter(bytes: number[]): Promise<number | undefined> {
  const { socket, received: parts } = await openRaw(server.port, handshake());
  socket.write(Buffer.from(bytes));
  await within(once(socket, 'close'), 'the server to close');
  const received = Buffer.concat(parts);
  let rest = received.subarray(received.indexOf('\r\n\r\n') + 4);
  while (rest.length >= 2) {
    const [header, length] = rest[1]! === 126 ? [4, rest.readUInt16BE(2)] : [2, rest[1]!];
    if (rest[0] === 0x88) return rest.readUInt16BE(header);
    rest = rest.subarray(header + length);
  }
  return undefined;
}

test('a malformed frame closes with 1002, and text that is not UTF-8 with 1007', async () => {
  const mask = [0, 0, 0, 0];
  assert.equal(await closeCodeAfter([0x81, 0x01, 0x78]), 1002, 'not masked');
  assert.equal(await closeCodeAfter([0xc1, 0x81, ...mask, 0x78]), 1002, 'reserved bit');
  assert.equal(await closeCodeAfter([0x83, 0x80, ...mask]), 1002, 'reserved opcode');
  assert.equal(await closeCodeAfter([0x80, 0x80, ...mask]), 1002, 'continues nothing');
  assert.equal(await closeCodeAfter([0x89, 0xfe, 0x00, 0x7e, ...mask]), 1002, 'ping too long');
  assert.equal(await closeCodeAfter([0x81, 0x82, ...mask, 0xc3, 0x28]), 1007, 'not UTF-8');
  assert.equal((await get(`${server.url}/healthz`)).status, 200);
});

test('a close is answered with its code, and a ping with its payload', async () => {
  const client = await connect(server.wsUrl);
  const pong = once(client.socket, 'pong');
  client.socket.ping('hello');
  assert.equal(String((await within(pong, 'a pong'))[0]), 'hello');
  client.socket.close(4001, 'done');
  assert.equal((await within(client.closed, 'the connection to close')).code, 4001);
  const byHand = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
  assert.equal(await closeCodeAfter(byHand), 1000);
});

test('heartbeats tell the position and the number of clients, also when that number changes', async () => {
  const first = await connect(quick.wsUrl);
  const { id, data } = await first.next();
  const isBeat = (clients: number) => (frame: { type: string; data: { clients?: number } }) =>
    frame.type === 'stream.heartbeat' && frame.data.clients === clients;
  const beat = await first.until(isBeat(1), 'a heartbeat that counts one client', 1000);
  assert.equal(beat.id, id);
  assert.match(
    beat.source,
    new RegExp(`^/ws/${data.client}/[2-9]$`),
    'each own frame has a source of its own',
  );
  const second = await connect(quick.wsUrl);
  await first.until(isBeat(2), 'a heartbeat that counts two clients', 1000);
  const event = await publish({}, quick);
  await first.event(event.id);
  assert.equal((await first.until(isBeat(2), 'a heartbeat that counts two clients', 1000)).id, event.id);
  await second.close();
  await first.until(isBeat(1), 'a heartbeat that counts one client', 1000);
  await first.close();
});

test('a connection that answers no ping for two heartbeats is ended', async () => {
  const mute = await connect(quick.wsUrl, { options: { autoPong: false } });
  const alive = await connect(quick.wsUrl);
  assert.equal((await within(mute.closed, 'the end of the silent connection', 3000)).code, 1006);
  assert.equal(alive.socket.readyState, WebSocket.OPEN);
  await alive.close();
});

test('lab: cut ends the own connection without a close frame, and it resumes where it was', async () => {
  const [client, other] = [await connect(server.wsUrl), await connect(server.wsUrl)];
  const { id } = await client.next();
  client.socket.send('{"lab":"cut"}');
  assert.equal((await within(client.closed, 'the connection to be cut')).code, 1006);
  const missed = await publish();
  const again = await connect(server.wsUrl, { query: { lastEventId: id } });
  assert.equal((await again.next()).data.behind, 1);
  assert.deepEqual(await again.nextEvent(), missed);
  assert.deepEqual(await other.nextEvent(), missed);
  await Promise.all([again.close(), other.close()]);
});

test('lab: a muted client gets no frame for that long, then everything in order', async () => {
  const [client, other] = [await connect(server.wsUrl), await connect(server.wsUrl)];
  await client.next();
  client.socket.send('{"lab":"mute","seconds":1}');
  const pong = once(client.socket, 'pong');
  client.socket.ping();
  await within(pong, 'a pong: the mute has arrived');
  const mutedAt = performance.now();
  const sent = [await publish({ data: 1 }), await publish({ data: 2 })];
  assert.deepEqual([await other.nextEvent(), await other.nextEvent()], sent);
  assert.deepEqual(client.events(), []);
  assert.deepEqual([await client.nextEvent(), await client.nextEvent()], sent);
  assert.ok(performance.now() - mutedAt > 800, 'not before its time');
  await Promise.all([client.close(), other.close()]);
});

test('lab: orders that make no sense are ignored', async () => {
  const client = await connect(server.wsUrl);
  for (const order of [
    '{"lab":"mute"}',
    '{"lab":"mute","seconds":0}',
    '{"lab":"mute","seconds":61}',
    '{"lab":"mute","seconds":"9"}',
    '{"lab":"x"}',
    '[]',
    'null',
  ]) {
    client.socket.send(order);
  }
  const started = performance.now();
  const event = await publish();
  assert.deepEqual(await client.nextEvent(), event);
  assert.ok(performance.now() - started < 1000);
  await client.close();
});

test('lab: /api/clients lists the open streams', async () => {
  assert.equal((await health()).lab, true);
  const client = await connect(server.wsUrl);
  const ready = await client.next();
  const { body } = await get(`${server.url}/api/clients`);
  const listed = body.clients.find((entry: { client: unknown }) => entry.client === ready.data.client);
  assert.deepEqual(Object.keys(listed).sort(), [
    'behind',
    'bufferedBytes',
    'client',
    'connectedAt',
    'lastEventId',
    'transport',
  ]);
  assert.deepEqual([listed.lastEventId, listed.behind, listed.bufferedBytes], [ready.id, 0, 0]);
  assert.match(listed.transport, /websocket/i);
  assert.ok(Math.abs(Date.parse(listed.connectedAt) - Date.now()) < 10_000);
  await client.close();
});

test('where the lab is off its path is a 404 and its orders are ignored', async () => {
  assert.equal((await get(`${quick.url}/api/clients`)).status, 404);
  assert.notEqual((await health(quick)).lab, true);
  const client = await connect(quick.wsUrl);
  client.socket.send('{"lab":"cut"}');
  client.socket.send('{"lab":"mute","seconds":60}');
  const event = await publish({}, quick);
  assert.deepEqual(await client.nextEvent(), event);
  await client.close();
});

/** Opens a WebSocket by hand, sends this frame so often, and tells what comes back: opcodes, and the close code. */
async function flood(frame: Buffer, times: number): Promise<{ opcodes: number[]; code: number | undefined }> {
  const { socket, received } = await openRaw(server.port, handshake());
  socket.write(Buffer.concat(range(1, times).map(() => frame)));
  const closed = new Promise((resolve) => socket.once('close', resolve)); // perhaps by a reset: it is read no more
  await within(closed, 'the server to close', 1000);
  const bytes = Buffer.concat(received);
  const opcodes = [];
  let code: number | undefined;
  for (let at = bytes.indexOf('\r\n\r\n') + 4; at < bytes.length; ) {
    const [header, length] = bytes[at + 1] === 126 ? [4, bytes.readUInt16BE(at + 2)] : [2, bytes[at + 1]!];
    const opcode = bytes[at]! & 15;
    opcodes.push(opcode);
    if (opcode === 8) code = bytes.readUInt16BE(at + header);
    at += header + length;
  }
  return { opcodes, code };
}

test('more than 200 pings or pongs within 10 s close with 1008, and of pings that are read at once the newest is answered', async () => {
  const pings = await flood(clientFrame(0x89, 'a'), 20_000);
  assert.equal(pings.code, 1008);
  const pongs = pings.opcodes.filter((opcode) => opcode === 10).length;
  assert.ok(pongs <= 2, `${pongs} pongs`);
  assert.equal((await flood(clientFrame(0x8a), 201)).code, 1008);
});

test('fragments count as messages', async () => {
  const fragments = [clientFrame(0x01), ...range(1, 60).map(() => clientFrame(0x00))];
  assert.equal((await flood(Buffer.concat(fragments), 1)).code, 1008);
});

test('an event of 1 MB is one message, and a pong may come in the middle of it', async () => {
  const client = await connect(server.wsUrl);
  await client.next();
  const event = await publish({ type: 'large', data: 'x'.repeat(1_000_000) });
  assert.deepEqual(await client.nextEvent(), event);
  await client.close();
});

test('from begins at the oldest event, at the newest, or with those of a time and later', async () => {
  const before = await publish({ data: 'before' });
  await new Promise((resolve) => setTimeout(resolve, 5)); // times are told to the millisecond
  const at = await publish({ data: 'at' });
  const latest = await connect(server.wsUrl, { query: { from: 'latest' } });
  assert.equal((await latest.next()).id, at.id);
  const earliest = await connect(server.wsUrl, { query: { from: 'earliest' } });
  assert.equal(seqOf((await earliest.next()).id), 0);
  const shifted = at.time.replace('Z', '+00:00');
  for (const from of [at.time, shifted, new Date(Date.parse(at.time) - 1).toISOString()]) {
    const timed = await connect(server.wsUrl, { query: { from } });
    const ready = await timed.next();
    assert.deepEqual([ready.id, ready.data.behind], [before.id, 1], from);
    assert.deepEqual(await timed.nextEvent(), at);
    await timed.close();
  }
  for (const query of [
    'from=yesterday',
    'from=2026-02-30T00:00:00Z',
    'from=2026-01-01T24:00:00Z',
    `from=latest&lastEventId=${at.id}`,
    'conflate=type',
  ])
    assert.equal((await refusedHandshake(`${server.wsUrl}?${query}`)).status, 400, query);
  await Promise.all([latest.close(), earliest.close()]);
});

test('conflate=source: of what waits for a client it gets of each source the newest, in order, and then live ones', async () => {
  const start = await publish();
  const sent = await publish(range(1, 901).map((data) => ({ source: `/sensors/${data % 3}`, data })));
  const client = await connect(server.wsUrl, { query: { lastEventId: start.id, conflate: 'source' } });
  const ready = await client.next();
  assert.deepEqual([ready.id, ready.data.behind], [start.id, 901], 'its cursor stays where it was');
  // Their sources came first in another order: it is the newest events' own order that counts.
  for (const event of sent.slice(-3)) assert.deepEqual(await client.nextEvent(), event);
  const live = await publish({ source: '/sensors/1', data: 'live' });
  assert.deepEqual(await client.nextEvent(), live);
  assert.equal(client.events().length, 4);
  await client.close();
});

test('conflate=source: large events are conflated too', async () => {
  const start = await publish();
  const text = 'x'.repeat(100_000);
  let newest: { id: string }[] = [];
  for (const round of range(1, 10))
    newest = await publish(range(1, 3).map((n) => ({ source: `/rooms/${n}`, data: { round, text } })));
  const client = await connect(server.wsUrl, { query: { lastEventId: start.id, conflate: 'source' } });
  await client.next();
  for (const event of newest) assert.deepEqual(await client.nextEvent(), event);
  await client.close();
});

test('sources keeps only what it names, alone and beside types', async () => {
  const client = await connect(server.wsUrl, { query: { sources: '/rooms/42/*,/one', types: 'said' } });
  await client.next();
  for (const source of ['/rooms/42', '/rooms/421/x', '/onex', '/two'])
    await publish({ type: 'said', source });
  await publish({ type: 'other', source: '/one' });
  const wanted = [
    await publish({ type: 'said', source: '/rooms/42/x/y' }),
    await publish({ type: 'said', source: '/one' }),
  ];
  assert.deepEqual([await client.nextEvent(), await client.nextEvent()], wanted);
  await client.close();
});
