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

/** How many are too many of these, all in one read. */
function tooMany(frames: Buffer[], pings = 0): number {
  const counter = new FrameCounter();
  counter.count(Buffer.concat(frames), 0, pings);
  return counter.tooMany;
}

test('the 51st message and the 201st ping within 10 s are too many, and none after the window', () => {
  const messages = new FrameCounter();
  for (const [now, frames, sum] of [
    [0, 50, 0],
    [9999, 1, 1],
    [25_000, 1, 1],
  ] as const) {
    messages.count(Buffer.concat(range(1, frames).map(() => frame(TEXT, 200))), now, 0);
    assert.equal(messages.tooMany, sum, `of ${frames} at ${now} ms`);
  }
  assert.equal(tooMany(range(1, 201).map(() => frame(PING, 0))), 1);
});

test('a pong that answers a ping of ours is no flood, one that nobody asked for is', () => {
  const pongs = range(1, 280).map(() => frame(PONG, 4));
  assert.equal(tooMany(pongs, 280), 0);
  assert.equal(tooMany(pongs), 80);
});

test('frames are counted the same when their bytes come one by one', () => {
  const counter = new FrameCounter();
  const bytes = Buffer.concat(range(1, 60).map((number) => frame(TEXT, number * 5)));
  for (const byte of bytes) counter.count(Uint8Array.of(byte), 0, 0);
  assert.equal(counter.tooMany, 10);
});

test('of a read that brings ten thousand pings three hundred are worked on, and of later ones none', () => {
  const counter = new FrameCounter();
  const ping = frame(PING, 0);
  const allowed = counter.count(Buffer.concat(range(1, 10_000).map(() => ping)), 0, 0);
  assert.equal(Math.floor(allowed / ping.length), 300);
  assert.equal(counter.count(ping, 20_000, 0), 0);
});
