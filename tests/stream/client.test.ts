// One client: its cursor follows its bytes, a full socket makes it lag until it has drained, and the server's own
// frames have the place where it stands.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Client } from '../../lib/stream/client.ts';
import { WEBSOCKET } from '../../lib/stream/frames.ts';
import { memoryStream } from '../support/memory-client.ts';

const KIB = 1024;
const place = (seq: number) => ({ seq, stamp: `abcdef0${seq % 10}` });

function open(options: Parameters<typeof memoryStream>[0] = {}) {
  const memory = memoryStream(options);
  const roomAt: number[] = [];
  const client: Client = new Client(memory.stream, 'client-7', place(0), ({ cursor }) =>
    roomAt.push(cursor.seq),
  );
  return { ...memory, client, roomAt };
}

test('its cursor is the end of what was delivered, also where the filter hid all of it', () => {
  const { client, text } = open();
  client.deliver(Buffer.from('some frames'), place(5));
  assert.deepEqual([text(), client.cursor], ['some frames', place(5)]);
  client.deliver(Buffer.alloc(0), place(9));
  assert.deepEqual([text(), client.cursor], ['some frames', place(9)]);
});

test('an own frame has the place where it stands as its id, and a source that no other frame has', () => {
  const { client, frames } = open();
  client.tell('stream.ready', { behind: 0 });
  client.deliver(Buffer.alloc(0), place(5));
  client.tell('stream.heartbeat', { clients: 1 });
  assert.deepEqual(
    frames().map(({ id, source, type, data }) => [id, source, type, data]),
    [
      ['abcdef00-0', '/api/events/client-7/1', 'stream.ready', { behind: 0 }],
      ['abcdef05-5', '/api/events/client-7/2', 'stream.heartbeat', { clients: 1 }],
    ],
  );
});

test('up to 256 KiB may wait for it; above that it lags, and is ready again once all of it has drained', async () => {
  const { client, stall, drain, roomAt } = open();
  stall();
  client.deliver(Buffer.alloc(256 * KIB), place(1));
  assert.ok(client.isReady, '256 KiB are not too much');
  client.deliver(Buffer.alloc(1), place(2));
  assert.ok(client.isLagging && !client.isReady, 'one byte more is');
  assert.deepEqual(roomAt, []);
  drain();
  await nextTurn();
  assert.ok(client.isReady);
  assert.deepEqual(roomAt, [2], 'the hub is told once');
});

test('muted, or closed, it is not ready', () => {
  const muted = open();
  muted.client.mute(60);
  assert.equal(muted.client.isReady, false);
  const closed = open();
  closed.shut();
  assert.equal(closed.client.isReady, false);
});

test('one that gets much is pinged, where its transport has a ping', () => {
  const webSocket = open({ transport: WEBSOCKET });
  webSocket.client.deliver(Buffer.alloc(64 * KIB), place(1));
  assert.equal(webSocket.text().slice(64 * KIB + 2), String(64 * KIB), 'behind the bytes that it tells of');
  const stream = open();
  stream.client.deliver(Buffer.alloc(64 * KIB), place(1));
  assert.equal(stream.text().length, 64 * KIB);
});

test('what is larger than a part is written part by part, as its side takes it, and nothing comes in between', async () => {
  const { client, text, stall, drain, roomAt } = open({ transport: WEBSOCKET });
  const json = `"${'x'.repeat(1024 * KIB)}"`;
  const { bytes } = WEBSOCKET.encode([{ id: 'abcdef01-1', json }]);
  stall();
  client.deliver(bytes, place(1));
  const unsent = client.stream.out.writableLength;
  assert.ok(unsent <= 600 * KIB, `${unsent} bytes wait in its socket`);
  client.tell('stream.heartbeat', { clients: 1 });
  drain();
  for (let turns = 0; turns < 20 && roomAt.length === 0; turns += 1) await nextTurn();
  assert.ok(client.isReady, 'all of it was taken');
  assert.equal(text().match(/x/g)?.length, 1024 * KIB);
  assert.doesNotMatch(text(), /heartbeat/);
});

test('a stream ends with its token by the clock on the wall, also after a sleep of the machine, which timers miss', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let clock = 0;
  t.mock.method(Date, 'now', () => clock);
  const { client, frames, isOpen } = open();
  client.endAt(3_600_000);
  t.mock.timers.tick(60_000);
  clock = 3_599_999;
  t.mock.timers.tick(10_000);
  assert.ok(isOpen());
  clock = 7_200_000;
  t.mock.timers.tick(10_000);
  assert.deepEqual([frames().at(-1)?.type, isOpen()], ['stream.expired', false]);
});
