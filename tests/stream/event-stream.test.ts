// Server-sent events: the same log, the same ids, the same cursor as the WebSocket, for whoever has only
// HTTP (`curl -N`, EventSource). A client may change the transport and lose nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  connect,
  eventually,
  get,
  openEventStream,
  post,
  range,
  request,
  seqOf,
  seqsOf,
} from '../support/helpers.ts';
import { openServer } from '../support/open-server.ts';

const server = await openServer({ HEARTBEAT_SECONDS: '1' });
const events = `${server.url}/api/events`;

const publish = async (body: object = {}) => (await post(events, body)).body;

test('the stream opens with retry, then stream.ready with the position as its id', async () => {
  const { id } = await publish();
  const stream = await openEventStream(events);
  assert.equal(stream.status, 200);
  assert.match(stream.response.headers.get('content-type')!, /^text\/event-stream\b/);
  assert.match(stream.response.headers.get('cache-control')!, /no-(store|cache)/);
  const ready = await stream.next();
  assert.deepEqual(
    [ready.type, ready.source, ready.id, ready.data.behind],
    ['stream.ready', `/api/events/${ready.data.client}/1`, id, 0],
  );
  assert.equal(ready.data.heartbeatSeconds, 1);
  assert.match(stream.text(), /^retry: 2000\n/);
  stream.close();
});

test('each event is an id line and a data line with the CloudEvent, and never an event line', async () => {
  const stream = await openEventStream(events);
  await stream.next();
  const event = await publish({ type: 'order.shipped', data: { text: 'line\nbreak\r\u2028 ä' } });
  assert.deepEqual(await stream.nextEvent(), event);
  const block = stream.blocks.find((text) => text.includes('order.shipped'))!;
  const lines = block.split('\n');
  assert.equal(lines.length, 2);
  assert.equal(lines[0], `id: ${event.id}`);
  assert.deepEqual(JSON.parse(lines[1]!.replace(/^data: /, '')), event);
  assert.doesNotMatch(stream.text(), /^event:/m);
  stream.close();
});

test('it resumes by the Last-Event-ID header or by the query, and the header wins', async () => {
  const [first, second, third] = [
    await publish({ data: 1 }),
    await publish({ data: 2 }),
    await publish({ data: 3 }),
  ];
  const byQuery = await openEventStream(`${events}?lastEventId=${first.id}`);
  assert.equal((await byQuery.next()).data.behind, 2);
  assert.deepEqual([await byQuery.nextEvent(), await byQuery.nextEvent()], [second, third]);
  const byHeader = await openEventStream(events, { 'Last-Event-ID': second.id });
  assert.deepEqual(await byHeader.nextEvent(), third);
  const both = await openEventStream(`${events}?lastEventId=${first.id}`, { 'Last-Event-ID': second.id });
  assert.equal((await both.next()).data.behind, 1);
  assert.deepEqual(await both.nextEvent(), third);
  const live = await publish({ data: 4 });
  for (const stream of [byQuery, byHeader, both]) {
    assert.deepEqual(await stream.nextEvent(), live);
    stream.close();
  }
});

test('a WebSocket and an event stream get the same events with the same ids in the same order', async () => {
  const [socket, stream] = [await connect(server.wsUrl), await openEventStream(events)];
  await Promise.all([socket.next(), stream.next()]);
  const sent = await Promise.all(range(1, 50).map((data) => publish({ data })));
  const newest = Math.max(...seqsOf(sent));
  for (const client of [socket, stream])
    await client.until((frame) => seqOf(frame.id) === newest, 'the newest event');
  assert.deepEqual(stream.events(), socket.events());
  assert.equal(stream.events().length, 50);
  stream.close();
  await socket.close();
});

test('a client may change the transport and go on from its cursor', async () => {
  const stream = await openEventStream(events);
  await stream.next();
  const first = await publish({ data: 'by stream' });
  const { id } = await stream.nextEvent();
  assert.equal(id, first.id);
  stream.close();
  const second = await publish({ data: 'by socket' });
  const socket = await connect(server.wsUrl, { query: { lastEventId: id } });
  assert.deepEqual(await socket.nextEvent(), second);
  await socket.close();
  const third = await publish({ data: 'by catch-up' });
  assert.deepEqual((await get(`${events}?lastEventId=${second.id}`)).body.events, [third]);
});

test('types hides the others, and the own frames always come', async () => {
  const stream = await openEventStream(`${events}?types=order.*`);
  assert.equal((await stream.next()).type, 'stream.ready');
  await publish({ type: 'other' });
  const event = await publish({ type: 'order.paid' });
  assert.deepEqual(await stream.nextEvent(), event);
  stream.close();
});

test('a cursor that cannot be continued gets stream.reset, and one that is malformed 400', async () => {
  const { id } = await publish();
  const stream = await openEventStream(events, { 'Last-Event-ID': 'abcdef012345-1' });
  const frame = await stream.next();
  assert.deepEqual([frame.type, frame.data, frame.id], ['stream.reset', { reason: 'unknown-log' }, id]);
  stream.close();
  const bad = await get(events, { Accept: 'text/event-stream', 'Last-Event-ID': 'nonsense' });
  assert.equal(bad.status, 400);
  assert.match(bad.headers.get('content-type')!, /^application\/problem\+json/);
});

test('heartbeats come as stream.heartbeat with the position and the number of clients', async () => {
  const stream = await openEventStream(events);
  const { id } = await stream.next();
  const beat = await stream.until((frame) => frame.type === 'stream.heartbeat', 'a heartbeat', 1000);
  assert.equal(beat.id, id);
  assert.ok(beat.data.clients >= 1);
  stream.close();
});

test('a client that goes away is taken off the list', async () => {
  const clients = async () => (await get(`${server.url}/api/clients`)).body.clients;
  const stream = await openEventStream(events);
  const { data } = await stream.next();
  const isListed = (list: { client: unknown; transport: string }[]) =>
    list.some((entry) => entry.client === data.client);
  assert.ok(isListed(await clients()));
  stream.close();
  await eventually(clients, (list) => !isListed(list), 'the client is off the list');
});

test('who takes a page and a stream gets what weighs more, and at a tie the stream', async () => {
  for (const [accept, type] of [
    ['text/event-stream;q=0', 'application/json'],
    ['application/json, text/event-stream ; q=0.000', 'application/json'],
    ['text/event-stream;q=0.5', 'text/event-stream'],
    ['application/json, text/event-stream;q=0.5', 'application/json'],
    ['application/json;q=0.9, text/event-stream', 'text/event-stream'],
    ['application/json, text/event-stream', 'text/event-stream'],
    ['text/event-stream, */*', 'text/event-stream'],
    ['text/event-stream;q=0.5, */*', 'application/json'],
    ['text/event-stream;q=0.5, application/*;q=0.6, */*;q=0.1', 'application/json'],
    ['text/event-stream;q=0.5, application/json;q=0.1, */*', 'text/event-stream'],
    ['text/*', 'application/json'],
  ]) {
    const { headers } = await request('HEAD', events, { headers: { Accept: accept! } });
    assert.equal(headers.get('content-type')!.split(';')[0], type, accept);
  }
});

test('HEAD of the stream ends at once', async () => {
  const answer = await request('HEAD', events, { headers: { Accept: 'text/event-stream' } });
  assert.deepEqual([answer.status, answer.text], [200, '']);
});
