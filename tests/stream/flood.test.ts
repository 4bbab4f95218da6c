// What counts as too much from a client: frames by their headers, however they are cut into reads.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameCounter } from '../../lib/stream/flood.ts';
import { range } from '../support/helpers.ts';

/** A masked frame as a client sends it (RFC 6455 §5.2). */
const frame = (opcode: number, length: number) =>
  Buffer.from([
    0x80 | opcode,
    ...(length < 126 ? [0x80 | length] : [0x80 | 126, length >> 8, length & 255]),
    ...Array(4 + length).fill(0),
  ]);
const [TEXT, PING, PONG] = [1, 9, 10];

test('the 51st message and the 201st ping within 10 s are too many, and none after the window', () => {
  const messages = new FrameCounter();
  assert.equal(messages.count(Buffer.concat(range(1, 50).map(() => frame(TEXT, 200))), 0, 0), 0);
  assert.equal(messages.count(frame(TEXT, 0), 9999, 0), 1);
  assert.equal(messages.count(frame(TEXT, 0), 25_000, 0), 0);
  const pings = new FrameCounter();
  assert.equal(pings.count(Buffer.concat(range(1, 201).map(() => frame(PING, 0))), 0, 0), 1);
});

test('a pong that answers a ping of ours is no flood, one that nobody asked for is', () => {
  const pongs = Buffer.concat(range(1, 1000).map(() => frame(PONG, 4)));
  assert.equal(new FrameCounter().count(pongs, 0, 1000), 0);
  assert.equal(new FrameCounter().count(pongs, 0, 0), 800);
});

test('frames are counted the same when their bytes come one by one', () => {
  const counter = new FrameCounter();
  const bytes = Buffer.concat(range(1, 60).map((number) => frame(TEXT, number * 5)));
  assert.equal(
    range(0, bytes.length - 1).reduce((sum, i) => sum + counter.count(bytes.subarray(i, i + 1), 0, 0), 0),
    10,
  );
});
