// The hub with a store that takes its time, and sometimes fails, as one over the network does. It is a real
// store in memory whose reads wait here until the test lets them go.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { after, test } from 'node:test';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { parseCursor } from '../../lib/event.ts';
import { parseFilter } from '../../lib/filter.ts';
import { unavailable } from '../../lib/problem.ts';
import { openSqliteStore } from '../../lib/store/sqlite-store.ts';
import type { Store } from '../../lib/store/store.ts';
import { kindOf } from '../../lib/stream/chunks.ts';
import { EVENT_STREAM, type Transport, WEBSOCKET } from '../../lib/stream/frames.ts';
import { Hub } from '../../lib/stream/hub.ts';
import type { Start, Wish } from '../../lib/stream/start.ts';
import { eventually, type Frame, isOwn, range, seqsOf } from '../support/helpers.ts';
import { memoryStream } from '../support/memory-client.ts';

// A test that failed left its house open, and with its timers this process would not end.
const leftOpen = new Set<() => Promise<void>>();
after(() => Promise.all([...leftOpen].map((close) => close())));

type Gate = (name: 'position' | 'readEvents') => Promise<void>;

/** A hub whose store passes `gate` after each read and before its answer. */
async function open(gate: { pass: Gate }, { heartbeatMs = 60_000, eventRetention = 1000 } = {}) {
  const store = await openSqliteStore({ databaseUrl: ':memory:', eventRetention, watch: new Set() });
  const slow: Store = Object.assign(Object.create(store) as Store, {
    async position(...asked: Parameters<Store['position']>) {
      const position = await store.position(...asked);
      await gate.pass('position');
      return position;
    },
    async readEvents(...asked: Parameters<Store['readEvents']>) {
      const stretch = await store.readEvents(...asked);
      await gate.pass('readEvents');
      return stretch;
    },
  });
  const hub = await Hub.open(slow, { heartbeatMs, maxClients: 100 });
  const publish = (data: unknown) =>
    store.write({
      op: 'publish',
      events: [{ type: 'load', source: '/x', data: JSON.stringify(data), extensions: null }],
      isList: false,
    });
  const oldest = (await store.position()).head;
  const close = () => {
    leftOpen.delete(close);
    hub.close();
    return store.close();
  };
  leftOpen.add(close);
  return { hub, store, publish, close, oldest };
}

/** A client in memory, and all frames that were written to it. */
function join(hub: Hub, start?: Start, { transport = EVENT_STREAM as Transport, wish = {} as Wish } = {}) {
  const out = new PassThrough();
  let text = '';
  let isOpen = true;
  out.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const client = hub.add(
    {
      kind: kindOf(transport, parseFilter(null), false),
      out,
      isOpen: () => isOpen && !out.destroyed,
      unsentBytes: () => 0,
      end: () => {},
    },
    start,
    wish,
  );
  const frames = () => [...text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!) as Frame);
  return {
    client,
    frames,
    events: () => frames().filter((frame) => !isOwn(frame)),
    shut: () => (isOpen = false),
    isDestroyed: () => out.destroyed,
  };
}

test('what is committed while a handshake waits for the database comes once, in order', async () => {
  const gate = { pass: async () => {} };
  const house = await open(gate);
  await house.publish(1);
  let release = () => {};
  gate.pass = () => new Promise<void>((resolve) => (release = resolve));
  const locating = house.hub.locate({});
  await nextTurn();
  gate.pass = async () => {};
  const writes = range(2, 50).map((number) => house.publish(number));
  await Promise.all(writes); // the turn that these woke has read on, the handshake still waits
  await nextTurn();
  release();
  const { events } = join(house.hub, await locating);
  await Promise.all(range(51, 60).map((number) => house.publish(number)));
  await eventually(events, (all) => all.at(-1)?.data === 60, 'the newest event comes');
  const seqs = seqsOf(events());
  assert.deepEqual(seqs, range(seqs[0]!, 60), 'no gap and no repeat');
  await house.close();
});

test('a read that fails is tried again: nobody is lost, and no event', async (t) => {
  const complaints = t.mock.method(console, 'error', () => {});
  const gate: { pass: Gate } = { pass: async () => {} };
  const house = await open(gate);
  await house.publish(1);
  const clients = range(1, 3).map(() => join(house.hub, { cursor: house.oldest, behind: 1 }));
  let failures = 0;
  gate.pass = async () => {
    failures += 1;
    if (failures <= 4) throw unavailable('away');
  };
  await house.publish(2);
  for (const { events } of clients) await eventually(events, (all) => all.length === 2, 'both events come');
  for (const { events } of clients) assert.deepEqual(seqsOf(events()), [1, 2]);
  assert.ok(failures >= 4);
  assert.equal(complaints.mock.callCount(), 1, 'one line for one outage');
  await house.close();
});

test('while the log cannot be read it is looked at a few times a second, however much is committed', async (t) => {
  t.mock.method(console, 'error', () => {});
  const gate: { pass: Gate } = { pass: async () => {} };
  const house = await open(gate);
  let looks = 0;
  gate.pass = async () => {
    looks += 1;
    throw unavailable('away');
  };
  for (const number of range(1, 30)) await house.publish(number).then(() => delay(5));
  looks = 0;
  await delay(1000);
  assert.ok(looks >= 2 && looks <= 12, `${looks} looks within a second`);
  await house.close();
});

test('a handshake that fails hides no event from those who are there', async (t) => {
  t.mock.method(console, 'error', () => {});
  const gate: { pass: Gate } = { pass: async () => {} };
  const house = await open(gate);
  const { events } = join(house.hub, await house.hub.locate({}));
  const refusals: (() => void)[] = []; // the hub may look by itself meanwhile
  gate.pass = () => new Promise<void>((_, reject) => refusals.push(() => reject(unavailable('away'))));
  const locating = assert.rejects(house.hub.locate({}), /away/);
  await nextTurn();
  gate.pass = async () => {};
  for (const refuse of refusals) refuse();
  await locating;
  await house.publish(1);
  await eventually(events, (all) => all.length === 1, 'the event comes');
  await house.close();
});

test('while the database is away, those who have caught up still get heartbeats', async (t) => {
  t.mock.method(console, 'error', () => {});
  const gate: { pass: Gate } = { pass: async () => {} };
  const house = await open(gate, { heartbeatMs: 100 });
  const { frames } = join(house.hub, await house.hub.locate({}));
  gate.pass = async () => {
    throw unavailable('away');
  };
  await house.publish(1);
  const beats = () => frames().filter((frame) => frame.type === 'stream.heartbeat').length;
  const before = beats();
  await eventually(beats, (count) => count >= before + 3, 'heartbeats go on');
  await house.close();
});

test('a client that closes while its events are read gets nothing more', async () => {
  const gate: { pass: Gate } = { pass: async () => {} };
  const house = await open(gate, { eventRetention: 1 });
  const first = house.publish(1);
  for (const number of range(2, 10)) await house.publish(number);
  let release = () => {};
  gate.pass = (name) =>
    name === 'readEvents' ? new Promise<void>((resolve) => (release = resolve)) : Promise.resolve();
  const { frames, shut } = join(house.hub, { cursor: parseCursor((await first).lastEventId)!, behind: 9 });
  await nextTurn();
  await nextTurn();
  shut();
  release();
  await nextTurn();
  assert.deepEqual(
    frames()
      .map((frame) => frame.type)
      .filter((type) => type !== 'stream.heartbeat'), // one may have come while it was still open
    ['stream.ready'],
  );
  await house.close();
});

test('closing while a read is under way ends quietly', async (t) => {
  const complaints = t.mock.method(console, 'error', () => {});
  let refuse = () => {};
  const gate: { pass: Gate } = { pass: async () => {} };
  const house = await open(gate);
  gate.pass = () => new Promise<void>((_, reject) => (refuse = () => reject(unavailable('closed'))));
  join(house.hub, { cursor: house.oldest, behind: 0 });
  await nextTurn();
  await nextTurn();
  await house.close();
  refuse();
  await nextTurn();
  assert.equal(complaints.mock.callCount(), 0);
});

test('a turn that is due when the program stops asks the database nothing', async () => {
  let looks = 0;
  const house = await open({
    pass: async () => {
      looks += 1;
    },
  });
  await house.publish(1);
  await nextTurn(); // it has heard of the commit
  house.hub.close();
  looks = 0;
  for (const _ of range(1, 5)) await nextTurn();
  assert.equal(looks, 0);
  await house.close();
});

test('a herd from more cursors than the cache has room for gets everything', async () => {
  const house = await open({ pass: async () => {} });
  const cursors = [house.oldest];
  for (const number of range(1, 64)) {
    const { lastEventId } = await house.publish(number + 'x'.repeat(100_000)); // 6 MB, and each is a chunk
    cursors.push(parseCursor(lastEventId)!);
  }
  const clients = range(0, 63).map((seq) => join(house.hub, { cursor: cursors[seq]!, behind: 64 - seq }));
  await eventually(
    () => clients.map(({ client }) => client.cursor.seq),
    (seqs) => seqs.every((seq) => seq === 64),
    'all stand at the head',
    5000, // 6 MB, read 64 times over
  );
  for (const [seq, { events }] of clients.entries()) assert.deepEqual(seqsOf(events()), range(seq + 1, 64));
  await house.close();
});

test('a frame that cannot be made ends its stream and is logged whole; nobody else loses anything', async (t) => {
  const complaints = t.mock.method(console, 'error', () => {});
  const house = await open({ pass: async () => {} });
  const start = { cursor: house.oldest, behind: 0 };
  const transport: Transport = {
    ...WEBSOCKET,
    encode: (items) => {
      if (items.some(({ json }) => json.includes('"type":"load"'))) throw new TypeError('a bug of ours');
      return WEBSOCKET.encode(items);
    },
  };
  const broken = join(house.hub, start, { transport });
  const whole = join(house.hub, start);
  await house.publish(1);
  await eventually(whole.events, (all) => all.length === 1, 'the other client has the event');
  await eventually(broken.isDestroyed, (isDestroyed) => isDestroyed, 'the stream is ended');
  assert.deepEqual(broken.client.cursor, start.cursor, 'its cursor has not passed the event');
  const said = complaints.mock.calls.map((call) => call.arguments[0]);
  assert.ok(
    said.some((error) => error instanceof TypeError),
    'logged with its stack',
  );
  await house.close();
});

test('an event reaches everyone who is there, though neither a heartbeat nor anybody who comes gives them a turn', async () => {
  const house = await open({ pass: async () => {} });
  const start = await house.hub.locate({});
  const clients = range(1, 3).map(() => join(house.hub, start));
  const isCounted = (frame: Frame) => frame.type === 'stream.heartbeat' && frame.data.clients === 3;
  for (const { frames } of clients)
    await eventually(frames, (all) => all.some(isCounted), 'three are counted');
  const before = clients.map(({ frames }) => frames().length);
  await house.publish('for all of them');
  for (const [i, { frames }] of clients.entries()) {
    const [next] = (await eventually(frames, (all) => all.length > before[i]!, 'the event comes')).slice(
      before[i],
    );
    assert.equal(next!.data, 'for all of them');
  }
  await house.close();
});

test('while nobody is there many commits share a look, the first is announced at once, and who comes then waits for nothing', async () => {
  let looks = 0;
  const house = await open({
    pass: async (name) => {
      if (name === 'position') looks += 1;
    },
  });
  const turns = async () => {
    for (const _ of range(1, 5)) await nextTurn();
  };
  const { lastEventId } = await house.publish(1);
  await turns();
  assert.equal(house.hub.lastEventId, lastEventId, 'announced within some turns');
  await house.publish(2); // the next look waits
  await nextTurn();
  const { client, events } = join(house.hub, { cursor: house.oldest, behind: 2 });
  await turns();
  assert.equal(events()[0]?.data, 1, 'what was announced comes within some turns');
  await eventually(events, (all) => all.at(-1)?.data === 2, 'what was committed before it came follows');
  house.hub.remove(client);
  looks = 0;
  const since = performance.now();
  for (const number of range(3, 100)) await house.publish(number);
  const took = performance.now() - since;
  assert.ok(looks <= 1 + took / 15, `${looks} looks for 98 commits in ${took} ms`);
  await house.close();
});

test('one that stands at an event that the log does not hold, at its end or beyond, is told so, and hears what follows', async () => {
  const house = await open({ pass: async () => {} });
  const { lastEventId } = await house.publish(1);
  const { seq } = parseCursor(lastEventId)!;
  const lost = join(house.hub, { cursor: { seq, stamp: 'ffffffff' }, behind: 0 }); // located, then replaced
  const ahead = join(house.hub, { cursor: { seq: seq + 5, stamp: 'ffffffff' }, behind: 0 });
  const good = join(house.hub, { cursor: parseCursor(lastEventId)!, behind: 0 });
  for (const [{ frames }, reason] of [
    [lost, 'unknown-log'],
    [ahead, 'ahead'],
  ] as const) {
    const isReset = (frame: Frame) => frame.type === 'stream.reset';
    const reset = (await eventually(frames, (all) => all.some(isReset), 'a reset comes')).find(isReset)!;
    assert.deepEqual([reset.id, reset.data], [lastEventId, { reason }]);
  }
  await house.publish(2);
  for (const { frames, events } of [lost, ahead, good]) {
    await eventually(frames, (all) => all.at(-1)!.data === 2, 'the next event comes');
    assert.equal(events().length, 1);
  }
  assert.ok(good.frames().every(({ type }) => type !== 'stream.reset'));
  await house.close();
});

test('a stream that came while the database was away has its first frame when it is back, and then everything', async (t) => {
  t.mock.method(console, 'error', () => {});
  const gate: { pass: Gate } = { pass: async () => {} };
  const house = await open(gate, { heartbeatMs: 50 });
  const first = await house.publish(1);
  gate.pass = async () => {
    throw unavailable('away');
  };
  const { client, frames } = join(house.hub, undefined, { wish: { cursor: house.oldest } });
  assert.deepEqual(frames(), []);
  gate.pass = async () => {};
  await house.publish(2);
  await eventually(frames, (all) => all.some(({ data }) => data === 2), 'the events come');
  const told = frames().filter(({ type }) => type !== 'stream.heartbeat');
  assert.deepEqual(
    told.map(({ type }) => type),
    ['stream.ready', 'load', 'load'],
  );
  assert.equal(told[1]!.id, first.lastEventId);
  assert.equal(client.cursor.seq, 2);
  await house.close();
});

test('heartbeats go on while a read of the log hangs', async () => {
  const gate: { pass: Gate } = { pass: async () => {} };
  const house = await open(gate, { heartbeatMs: 50 });
  const { frames } = join(house.hub, await house.hub.locate({}));
  let release = () => {};
  gate.pass = () => new Promise<void>((resolve) => (release = resolve));
  await house.publish(1);
  const beats = () => frames().filter(({ type }) => type === 'stream.heartbeat').length;
  const before = beats();
  await eventually(beats, (count) => count >= before + 3, 'three heartbeats come');
  gate.pass = async () => {};
  release();
  await eventually(frames, (all) => all.some(({ data }) => data === 1), 'the event comes');
  await house.close();
});

test('a round is finished before the head moves: nobody gets the next event while another waits for this one', async () => {
  const house = await open({ pass: async () => {} });
  const heard: string[] = [];
  for (const _ of range(1, 100)) {
    const { stream } = memoryStream();
    const write = stream.out.write.bind(stream.out) as (bytes: Buffer) => boolean;
    stream.out.write = (bytes: Buffer) => {
      for (const [, data] of String(bytes).matchAll(/"data":"(first|second)"/g)) heard.push(data!);
      const end = performance.now() + 0.3; // so that a round takes several turns of the event loop
      while (performance.now() < end);
      return write(bytes);
    };
    house.hub.add(stream, { cursor: house.oldest, behind: 0 });
  }
  await house.publish('first');
  while (heard.length === 0) await nextTurn();
  await house.publish('second');
  assert.ok(heard.length < 100, 'the second event was committed in the middle of the round');
  await eventually(
    () => heard.length,
    (length) => length === 200,
    'everyone has both',
  );
  assert.equal(heard.lastIndexOf('first'), 99, `somebody was ahead: ${heard.join()}`);
  await house.close();
});

test('a client hears where it stands at each heartbeat, while its filter hides all that it passes', async () => {
  const gate = { pass: (name: string) => (name === 'readEvents' ? delay(10) : Promise.resolve()) };
  const { hub, store, oldest, close } = await open(gate, { heartbeatMs: 5, eventRetention: 100_000 });
  const event = { type: 'load', source: '/x', data: '1', extensions: null };
  await store.write({ op: 'publish', events: Array(3000).fill(event), isList: true });
  const other = memoryStream({ types: 'other' });
  hub.add(other.stream, undefined, { cursor: oldest });
  const positions = () => other.frames().map(({ id }) => Number(id.split('-')[1]));
  await eventually(positions, (all) => all.at(-1) === 3000, 'it is at the head', 2000);
  const onTheWay = new Set(positions().filter((seq) => seq > 0 && seq < 3000));
  assert.ok(onTheWay.size > 1, `it was told of ${positions().join()} before it was through`);
  assert.deepEqual(other.events(), []);
  await close();
});
