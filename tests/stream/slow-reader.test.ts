// A client that stops reading. Its events are not piled up in the server's memory: above a bounded amount
// of unsent bytes it is served from the log instead, at its own speed, and nobody else waits for it.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import {
  connect,
  eventually,
  type Frame,
  get,
  isOwn,
  post,
  range,
  seqOf,
  seqsOf,
  shareServer,
  startServer,
  within,
} from '../support/helpers.ts';
import { insertEvents } from '../support/many-clients.ts';
import { clientFrame, eventStream, handshake, openRaw, parseFrames } from '../support/raw-websocket.ts';

const EVENTS = 400;
const TEXT = 'x'.repeat(60_000); // 24 MB in all: the kernel's own buffers on loopback swallow several
const MAX_UNSENT_BYTES = 1024 * 1024;

const server = await shareServer();
const quick = await shareServer({ HEARTBEAT_SECONDS: '1' });

/** A stream whose client reads its first frame, and then no more. */
async function openStalled(request: string): Promise<{ socket: Socket; received: Buffer[] }> {
  const opened = await openRaw(server.port, request);
  opened.socket.pause();
  return opened;
}

function parseBlocks(bytes: Buffer): Frame[] {
  const body = bytes.toString('utf8').split('\r\n\r\n').slice(1).join('\r\n\r\n');
  const lines = body
    .split('\n\n')
    .slice(0, -1)
    .flatMap((block) => block.split('\n'));
  return lines.filter((line) => line.startsWith('data: ')).map((line) => JSON.parse(line.slice(6)));
}

/** Reads on until the newest event's id has come. */
async function readUpTo(stalled: { socket: Socket; received: Buffer[] }, id: string): Promise<Buffer> {
  const arrived = new Promise<void>((resolve) => {
    let tail = '';
    stalled.socket.on('data', (part: Buffer) => {
      tail = (tail + part.toString('latin1')).slice(-80_000);
      if (tail.includes(`"id":"${id}"`) && /"last"\}(\n\n)?/.test(tail)) resolve();
    });
  });
  stalled.socket.resume();
  await within(arrived, 'the stalled client to have everything');
  return Buffer.concat(stalled.received);
}

test('a stalled WebSocket and a stalled event stream hold nobody up, stay within 1 MiB, and get everything in order', async () => {
  const stalled = { socket: await openStalled(handshake()), stream: await openStalled(eventStream()) };
  const healthy = await connect(server.wsUrl);
  const { id: start } = await healthy.next();

  let worstMs = 0;
  let mostUnsent = 0;
  let mostBehind = 0;
  for (let sent = 0; sent < EVENTS; sent += 20) {
    const startedAt = performance.now();
    await Promise.all(range(1, 20).map(() => post(`${server.url}/api/events`, { type: 'load', data: TEXT })));
    const position = seqOf(start) + sent + 20;
    if (seqOf(healthy.frames.at(-1)!.id) < position)
      await healthy.until((frame) => seqOf(frame.id) >= position, `position ${position}`);
    worstMs = Math.max(worstMs, performance.now() - startedAt);
    if (sent % 100 > 0) continue;
    const { clients } = (await get(`${server.url}/api/clients`)).body;
    assert.equal(clients.length, 3);
    mostUnsent = Math.max(
      mostUnsent,
      ...clients.map((client: { bufferedBytes: number }) => client.bufferedBytes),
    );
    mostBehind = Math.max(mostBehind, ...clients.map((client: { behind: number }) => client.behind));
  }
  assert.ok(worstMs < 5000, `20 events took ${worstMs} ms to reach the healthy client`);
  assert.ok(mostBehind > 0, 'the stalled ones did lag');
  assert.ok(mostUnsent > 0 && mostUnsent <= MAX_UNSENT_BYTES, `${mostUnsent} bytes unsent for one client`);

  const { body: last } = await post(`${server.url}/api/events`, { data: 'last' });
  const bySocket = parseFrames(await readUpTo(stalled.socket, last.id));
  const byStream = parseBlocks(await readUpTo(stalled.stream, last.id));
  await healthy.event(last.id);
  const expected = range(seqOf(start) + 1, seqOf(last.id));
  assert.deepEqual(seqsOf(healthy.events()), expected);
  assert.deepEqual(seqsOf(bySocket.filter((frame) => !isOwn(frame))), expected);
  assert.deepEqual(seqsOf(byStream.filter((frame) => !isOwn(frame))), expected);
  assert.equal(server.output.stderr, '', 'no listener is left behind each time that a client lagged');
  stalled.socket.socket.destroy();
  stalled.stream.socket.destroy();
  await healthy.close();
});

test('a stalled client that retention overtakes gets stream.reset, and then live events', async () => {
  const small = await startServer({ EVENT_RETENTION: '50' });
  const client = await connect(small.wsUrl);
  await client.next();
  client.socket.pause();
  const { lastEventId } = (await get(`${small.url}/healthz`)).body;
  insertEvents(small.databaseFile, 360, TEXT.length);
  const isGone = ({ status }: { status: number }) => status === 410;
  await eventually(
    () => get(`${small.url}/api/events?lastEventId=${lastEventId}`),
    isGone,
    'they are pruned',
  );
  client.socket.resume();
  const reset = await client.until((frame) => frame.type === 'stream.reset', 'the reset');
  assert.deepEqual(reset.data, { reason: 'expired' });
  const { body: last } = await post(`${small.url}/api/events`, { data: 'last' });
  await client.event(last.id);
  const after = client.frames.slice(client.frames.indexOf(reset) + 1).filter((frame) => !isOwn(frame));
  assert.deepEqual(seqsOf(after), range(seqOf(reset.id) + 1, seqOf(last.id)));
  await client.close();
  await small.stop();
});

test('a client that has not read yet what its kernel holds for it is not taken for dead', async () => {
  const [slow, other] = [await connect(quick.wsUrl), await connect(quick.wsUrl)];
  await slow.next();
  slow.socket.pause(); // so it can't answer a ping either
  const sent = await Promise.all(range(1, 10).map(() => post(`${quick.url}/api/events`, { data: TEXT })));
  for (let beats = 0; beats < 5; ) if ((await other.next()).type === 'stream.heartbeat') beats += 1;
  slow.socket.resume();
  const ids = sent.map(({ body }) => body.id).sort((a, b) => seqOf(a) - seqOf(b));
  for (const id of ids) assert.equal((await slow.nextEvent()).id, id);
  const live = await post(`${quick.url}/api/events`, { message: 'still there' });
  assert.deepEqual(await slow.nextEvent(), live.body);
  await Promise.all([slow.close(), other.close()]);
});

test('a client that takes no byte for ten heartbeats is cut off, whatever it sends', async () => {
  const [stalled, other] = [await openRaw(quick.port, handshake()), await connect(quick.wsUrl)];
  stalled.socket.pause();
  insertEvents(quick.databaseFile, 400, 30_000); // 12 MB
  const clients = async () => (await get(`${quick.url}/healthz`)).body.clients;
  for (let beats = 0; beats < 7; ) {
    if ((await other.next()).type !== 'stream.heartbeat') continue;
    beats += 1;
    stalled.socket.write(clientFrame(0x89, 'are you there?'));
    assert.equal(await clients(), 2, `after ${beats} heartbeats`);
  }
  for (let beats = 0; (await clients()) === 2; ) {
    if ((await other.next()).type !== 'stream.heartbeat') continue;
    beats += 1;
    stalled.socket.write(clientFrame(0x89, 'are you there?'));
    assert.ok(beats < 8, 'it is still there');
  }
  stalled.socket.destroy();
  await other.close();
});
