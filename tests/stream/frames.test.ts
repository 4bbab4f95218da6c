// Events as bytes: WebSocket frames at each length where the header changes, and blocks of an event stream. What is
// wrong by one byte here is garbage for every client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT_STREAM, PART_BYTES, WEBSOCKET } from '../../lib/stream/frames.ts';

/** One item whose JSON is a text of so many bytes. */
const item = (bytes: number, id = 'abcdef01-1') => ({ id, json: `"${'x'.repeat(bytes - 2)}"` });

/** Header and payload of the frames in these bytes, by the rules of RFC 6455 §5.2. */
function split(bytes: Buffer): { first: number; second: number; payload: string }[] {
  const frames = [];
  for (let at = 0; at < bytes.length; ) {
    const [first, second] = [bytes[at]!, bytes[at + 1]!];
    const header = second < 126 ? 2 : second === 126 ? 4 : 10;
    assert.ok(at + header <= bytes.length, `at byte ${at} of ${bytes.length} there is no whole header`);
    const length =
      header === 2
        ? second
        : header === 4
          ? bytes.readUInt16BE(at + 2)
          : Number(bytes.readBigUInt64BE(at + 2));
    frames.push({ first, second, payload: bytes.toString('utf8', at + header, at + header + length) });
    at += header + length;
    assert.ok(
      at <= bytes.length,
      `a frame of ${length} bytes does not end within the ${bytes.length} there are`,
    );
  }
  return frames;
}

test('the length of a frame stands in 7, 16 or 64 bits, in the fewest that hold it', () => {
  for (const [length, second, total] of [
    [2, 2, 4],
    [125, 125, 127],
    [126, 126, 130],
    [65_535, 126, 65_539],
    [65_536, 127, 65_546],
    [70_000, 127, 70_010],
  ] as const) {
    const bytes = WEBSOCKET.encode([item(length)]).bytes;
    assert.equal(bytes.length, total, `a payload of ${length} bytes`);
    const [frame] = split(bytes);
    assert.deepEqual([frame!.first, frame!.second], [0x81, second], 'FIN and text; no mask from a server');
    assert.equal(frame!.payload, item(length).json);
  }
});

test('lengths count bytes of UTF-8, not characters', () => {
  const json = `"${'🔔ä'.repeat(30)}"`; // 92 UTF-16 units, 182 bytes
  const [frame] = split(WEBSOCKET.encode([{ id: 'abcdef01-1', json }]).bytes);
  assert.equal(frame!.payload, json);
});

test('many events are as many frames, one behind the other, in order', () => {
  const items = [2, 126, 65_536, 3].map((bytes, i) => item(bytes, `abcdef01-${i}`));
  assert.deepEqual(
    split(WEBSOCKET.encode(items).bytes).map(({ payload }) => payload),
    items.map(({ json }) => json),
  );
});

test('no events are no bytes, in either transport', () => {
  for (const transport of [WEBSOCKET, EVENT_STREAM]) assert.equal(transport.encode([]).bytes.length, 0);
});

test('a ping carries its payload, which a pong brings back', () => {
  const [frame] = split(WEBSOCKET.ping!('123456'));
  assert.deepEqual(frame, { first: 0x89, second: 6, payload: '123456' });
});

test('an event of a stream is an id line, a data line, and an empty one', () => {
  const { bytes } = EVENT_STREAM.encode([
    { id: 'abcdef01-1', json: '{"a":1}' },
    { id: 'abcdef02-2', json: '"ä"' },
  ]);
  assert.equal(bytes.toString(), 'id: abcdef01-1\ndata: {"a":1}\n\nid: abcdef02-2\ndata: "ä"\n\n');
});

test('server-sent events have no ping', () => {
  assert.equal(EVENT_STREAM.ping, undefined);
});

test('a large event is a message in fragments, each within a part, and together they are its text', () => {
  for (const length of [PART_BYTES, PART_BYTES + 1, 1_000_000]) {
    const { bytes, ends } = WEBSOCKET.encode([item(length)]);
    const frames = split(bytes);
    assert.deepEqual(ends, [bytes.length]);
    assert.equal(frames.map(({ payload }) => payload).join(''), item(length).json);
    const firsts = frames.map(({ first }) => first);
    const expected = firsts.length === 1 ? [0x81] : [0x01, ...firsts.slice(2).map(() => 0x00), 0x80];
    assert.deepEqual(firsts, expected, 'text first, then continuations, and FIN on the last alone');
  }
});

test('a part ends between two frames: each fragment of a large event is one, and so is a chunk of small ones', () => {
  const small = Array.from({ length: 20 }, () => item(20_000)); // more than a part together, and none of them is torn
  const { bytes } = WEBSOCKET.encode([item(1_000_000), ...small]);
  const parts = [];
  for (let rest = bytes; rest.length > 0; rest = rest.subarray(WEBSOCKET.partEnd(rest)))
    parts.push(rest.subarray(0, WEBSOCKET.partEnd(rest)));
  assert.deepEqual(
    parts.map((part) => split(part).length),
    [1, 1, 1, 21],
  );
  const frames = parts.flatMap(split);
  assert.equal(frames.map(({ payload }) => payload).join('').length, 1_400_000);
});
