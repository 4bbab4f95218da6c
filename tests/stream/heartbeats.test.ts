// Heartbeats: who gets one and when, and who is given up. The clients are in memory, and a heartbeat comes every few
// milliseconds, so that ten of them take no time.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Client } from '../../lib/stream/client.ts';
import { WEBSOCKET } from '../../lib/stream/frames.ts';
import { Heartbeats } from '../../lib/stream/heartbeats.ts';
import { eventually } from '../support/helpers.ts';
import { memoryStream } from '../support/memory-client.ts';

const BEAT_MS = 10;
const NEVER_MS = 1e6;
const running: Heartbeats[] = [];
afterEach(() => {
  for (const heartbeats of running.splice(0)) heartbeats.stop();
});

/** Heartbeats for one client. */
function open(
  intervalMs: number,
  { isAtHead = true, ...options }: Parameters<typeof memoryStream>[0] & { isAtHead?: boolean } = {},
) {
  const memory = memoryStream(options);
  const client = new Client(memory.stream, 'client-1', { seq: 7, stamp: 'abcdef' }, () => {});
  const cursor = isAtHead ? client.cursor : { seq: 8, stamp: 'fedcba' };
  const heartbeats = new Heartbeats(intervalMs, new Set([client]), { cursor });
  running.push(heartbeats);
  return { ...memory, client, heartbeats };
}

const beats = (count: number, { text }: { text: () => string }) =>
  eventually(
    () => text().split('stream.heartbeat').length - 1,
    (heard) => heard >= count,
    `${count} heartbeats`,
  );

test('a heartbeat that is due is sent once, with the position and the number of clients', () => {
  const { client, heartbeats, frames } = open(NEVER_MS);
  heartbeats.sendIfDue(client);
  assert.deepEqual(frames(), [], 'none is due');
  client.liveness.isHeartbeatDue = true;
  heartbeats.sendIfDue(client);
  heartbeats.sendIfDue(client);
  assert.deepEqual(
    frames().map(({ type, id, data }) => [type, id, data]),
    [['stream.heartbeat', 'abcdef-7', { clients: 1 }]],
  );
});

test('a ping goes with it, where the transport has one', () => {
  const { client, heartbeats, text } = open(NEVER_MS, { transport: WEBSOCKET });
  client.liveness.isHeartbeatDue = true;
  heartbeats.sendIfDue(client);
  assert.match(text(), /stream\.heartbeat/);
  assert.equal(text().charCodeAt(1), 1, 'a payload of one digit: no byte stood before it');
});

test('at each interval everyone gets one, or is owed it until there is room', async () => {
  const ready = open(BEAT_MS);
  const muted = open(BEAT_MS);
  muted.client.mute(60);
  await beats(2, ready);
  assert.equal(muted.client.liveness.isHeartbeatDue, true);
  assert.equal(muted.text(), '');
});

test('one that waits for the database is told nothing, but its connection is kept', async () => {
  const waiting = open(BEAT_MS);
  waiting.client.wish = {};
  await eventually(waiting.text, (text) => text.includes(': waiting'), 'a comment comes');
  assert.deepEqual(waiting.frames(), []);
});

test('a change of the number of clients is told at once, and the next ones a second later, together', async () => {
  const { heartbeats, text, frames } = open(NEVER_MS);
  heartbeats.announceCount();
  await beats(1, { text });
  const startedAt = performance.now();
  for (let i = 0; i < 5; i += 1) heartbeats.announceCount();
  await beats(2, { text });
  assert.ok(performance.now() - startedAt > 900, 'not before a second was over');
  assert.equal(frames().length, 2);
});

test('one that answers nothing is ended, one that does is not', async () => {
  const silent = open(BEAT_MS, { transport: WEBSOCKET });
  const alive = open(BEAT_MS, { transport: WEBSOCKET });
  const answering = setInterval(() => alive.client.liveness.heard(), BEAT_MS / 2);
  await eventually(silent.isOpen, (isOpen) => !isOpen, 'the silent one is ended');
  await beats(10, alive);
  clearInterval(answering);
  assert.ok(alive.isOpen());
});

test('who is behind, who is muted and who has no pings is not asked', async () => {
  const behind = open(BEAT_MS, { transport: WEBSOCKET, isAtHead: false });
  const muted = open(BEAT_MS, { transport: WEBSOCKET });
  muted.client.mute(60);
  const stream = open(BEAT_MS);
  await Promise.all([beats(15, behind), beats(15, stream)]);
  for (const { isOpen } of [behind, muted, stream]) assert.ok(isOpen());
});

test('one that takes no byte for ten heartbeats is ended, though it was within what may wait for it', async () => {
  const { client, stall, isOpen } = open(BEAT_MS);
  const other = open(BEAT_MS);
  stall();
  client.deliver(Buffer.alloc(100_000), { seq: 8, stamp: 'abcdef' });
  assert.equal(client.isLagging, false);
  await beats(5, other);
  assert.ok(client.isLagging && isOpen(), 'it is watched, and not given up yet');
  await eventually(isOpen, (open) => !open, 'it is ended');
});
