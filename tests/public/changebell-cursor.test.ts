// What a program saves of a stream is what it has done: the cursor moves with the work, also where the work
// takes time, and a snapshot never comes after what is newer than it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { ChangeStream, type Options } from '../../public/changebell.js';
import { fakeStream, type Script } from '../support/fake-stream.ts';
import { eventually, get, post, range, within } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';

let server: OpenServer;
const opened = new Set<ChangeStream>();
before(async () => {
  server = await openServer({ HEARTBEAT_SECONDS: '1', EVENT_RETENTION: '500' });
});
after(async () => {
  for (const stream of opened) stream.close();
  await server.stop();
});

function open(url: string, options: Options = {}) {
  const stream = new ChangeStream(url, options);
  opened.add(stream);
  return stream;
}
const streamUrl = () => `${server.url}/api/events`;
const publish = async (message: string): Promise<string> =>
  (await post(streamUrl(), { message })).body.id as string;
const newest = async (): Promise<string> => (await get(`${server.url}/healthz`)).body.lastEventId;
const inState = (stream: ChangeStream, state: string) =>
  eventually(
    () => stream.state,
    (now) => now === state,
    `state ${state}`,
  );

/** Work that a test ends. */
function gate() {
  let open = () => {};
  const opens = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opens, open };
}

test('an async listener: the next event waits, and lastEventId is that of the last one that was done', async () => {
  const start = await newest();
  const ids = [await publish('a'), await publish('b'), await publish('c')];
  const stream = open(streamUrl(), { lastEventId: start });
  const gates = ids.map(gate);
  const begun: string[] = [];
  stream.addEventListener('message', async ({ lastEventId }) => {
    begun.push(lastEventId);
    await gates[begun.length - 1]!.opens;
  });
  for (const [i, { open }] of gates.entries()) {
    await eventually(
      () => begun.length,
      (length) => length === i + 1,
      `event ${i + 1} is begun`,
    );
    assert.equal(stream.lastEventId, ids[i - 1] ?? start, 'what is in work does not count');
    assert.equal(stream.state, 'catching-up');
    open();
  }
  await stream.reached(ids[2]!);
  assert.deepEqual([begun, stream.lastEventId, stream.state], [ids, ids[2], 'live']);
  stream.close();
});

test('waitUntil() holds an event, a listener is removed as on any EventTarget, and its failure is not the end', async () => {
  const stream = open(streamUrl());
  await inState(stream, 'live');
  const work = gate();
  const told: string[] = [];
  const once = (message: {
    data: { data: { message: string } };
    waitUntil: (work: Promise<void>) => void;
  }) => {
    told.push(message.data.data.message);
    message.waitUntil(work.opens);
  };
  stream.addEventListener('message', once);
  stream.addEventListener('message', once); // the same: once
  const first = await publish('held');
  await eventually(() => told.length, Boolean, 'the first event');
  const second = await publish('next');
  assert.notEqual(stream.lastEventId, first);
  stream.removeEventListener('message', once);
  work.open();
  await stream.reached(second);
  assert.deepEqual(told, ['held']);
  const failures: unknown[] = [];
  const note = (reason: unknown) => failures.push(reason);
  const others = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', note);
  stream.addEventListener('message', () => Promise.reject(new Error('it failed')), { once: true });
  await stream.reached(await publish('fails'));
  await eventually(
    () => failures.length,
    (length) => length === 1,
    'the failure is reported',
  );
  process.removeAllListeners('unhandledRejection');
  for (const other of others) process.on('unhandledRejection', other);
  stream.close();
});

test('a listener that was added with a signal is gone when that is aborted', async () => {
  const stream = open(streamUrl(), { lastEventId: await newest() });
  const listening = new AbortController();
  let heard = 0;
  stream.addEventListener('message', () => (heard += 1), { signal: listening.signal });
  await stream.reached(await publish('heard'));
  listening.abort();
  await stream.reached(await publish('not heard'));
  assert.equal(heard, 1);
  stream.close();
});

test('for await: an event is done when the loop asks for the next; to break leaves it undone, and closes', async () => {
  const start = await newest();
  const ids = [await publish('1'), await publish('2'), await publish('3')];
  const stream = open(streamUrl(), { lastEventId: start });
  const seen: string[] = [];
  for await (const event of stream) {
    assert.equal(stream.lastEventId, seen.at(-1) ?? start);
    seen.push(event.id);
    if (seen.length === 3) break;
  }
  assert.deepEqual([seen, stream.lastEventId, stream.state], [ids, ids[1], 'closed']);

  const other = open(streamUrl(), { lastEventId: start });
  const taken: string[] = [];
  for await (const { id } of other) {
    taken.push(id);
    if (taken.length === 2) other.close(); // as SIGTERM would: this one is finished, and counts
  }
  assert.deepEqual([taken, other.lastEventId], [ids.slice(0, 2), ids[1]]);
});

test('a loop that begins late gets what came while nobody listened', async () => {
  const start = await newest();
  const ids = [await publish('early 1'), await publish('early 2')];
  const stream = open(streamUrl(), { lastEventId: start });
  await stream.reached(ids[1]!);
  assert.equal(stream.lastEventId, ids[1], 'nobody listens: like an EventSource it goes on');
  const seen: string[] = [];
  for await (const { id } of stream) {
    seen.push(id);
    if (seen.length === 2) break;
  }
  assert.deepEqual(seen, ids);
});

test('a snapshot is loaded first, again where it fails, and what comes meanwhile follows it', async () => {
  const stale = await publish('in the snapshot');
  const loading = gate();
  let loads = 0;
  const stream = open(server.wsUrl, {
    async load() {
      loads += 1;
      if (loads === 1) throw new Error('the network is down');
      await loading.opens;
      return stale;
    },
  });
  const seen: string[] = [];
  stream.addEventListener('message', ({ lastEventId }) => seen.push(lastEventId));
  const states: string[] = []; // as they come: it may wait for no time at all
  stream.addEventListener('state', () => states.push(stream.state));
  await eventually(
    () => states,
    (passed) => passed.includes('waiting'),
    'a load that fails is tried again later',
  );
  assert.equal(stream.closeReason, 'the network is down');
  await eventually(
    () => loads,
    (count) => count === 2,
    'the second load',
  );
  const ids = [await publish('meanwhile 1'), await publish('meanwhile 2')];
  assert.deepEqual([seen, stream.lastEventId], [[], undefined]);
  loading.open();
  await stream.reached(ids[1]!);
  assert.deepEqual([seen, loads], [ids, 2]);
  stream.close();
});

const RESET: Script = [
  ['stream.reset', 10, { reason: 'expired' }],
  ['notification', 11, '11'],
  ['notification', 12, '12'],
  ['notification', 13, '13'],
];

test('after a reset what comes is held until the snapshot is there, and begins behind it', async (t) => {
  const { url, asked } = await fakeStream(t, () => RESET);
  const loading = gate();
  const tokens: unknown[] = [];
  const stream = open(url, {
    lastEventId: 'aaaaaaaa-3',
    token: 'sesame',
    async load({ token }) {
      tokens.push(token);
      await loading.opens;
      return 'abcdef-12';
    },
  });
  const seen: string[] = [];
  stream.addEventListener('message', ({ data }) => seen.push(data.data));
  const reached = stream.reached('00000000-5').then(() => seen.push('reached'));
  const [{ detail }] = (await within(once(stream, 'reset'), 'a reset')) as [CustomEvent];
  assert.equal(detail.reason, 'expired');
  await eventually(() => tokens.length, Boolean, 'the load');
  assert.deepEqual([seen, stream.state, stream.lastEventId], [[], 'catching-up', 'aaaaaaaa-3']);
  loading.open();
  await inState(stream, 'live');
  await reached;
  assert.deepEqual([new Set(seen), stream.lastEventId], [new Set(['13', 'reached']), 'abcdef-13']);
  assert.deepEqual([tokens, asked.length], [['sesame'], 1], 'the connection stayed');
  stream.close();
});

test('who asks while a snapshot is read waits for what was written meanwhile; who asked before does not', async (t) => {
  for (const isLoaded of [true, false]) {
    const { url, send } = await fakeStream(t, () => [['stream.reset', 10, { reason: 'expired' }]]);
    const [begun, reading] = [gate(), gate()];
    const load = async () => {
      begun.open();
      await reading.opens;
      return 'abcdef-10';
    };
    const stream = open(url, { lastEventId: 'aaaaaaaa-3', ...(isLoaded ? { load } : {}) });
    if (!isLoaded) stream.addEventListener('reset', load); // who reads it without us
    const passed: string[] = [];
    const lost = stream.reached('aaaaaaaa-99').then(() => passed.push('lost'));
    await within(begun.opens, 'the reset');
    const later = stream.reached('abcdef-11').then(() => passed.push('later'));
    reading.open();
    await within(lost, 'an end to the wait for what is lost');
    await inState(stream, 'live');
    assert.deepEqual(passed, ['lost']);
    send(['notification', 11, 'written meanwhile']);
    await within(later, 'what was written meanwhile');
    stream.close();
  }
});

test('a snapshot from a position that the connection did not pass: the server is asked to go on there', async (t) => {
  const { url, asked } = await fakeStream(t, (query) =>
    query.get('lastEventId') === 'abcdef-40' ? [['stream.ready', 40, { behind: 0 }]] : RESET,
  );
  const stream = open(url, { lastEventId: 'aaaaaaaa-3', load: async () => 'abcdef-40' });
  const seen: string[] = [];
  stream.addEventListener('message', ({ data }) => seen.push(data.data));
  await inState(stream, 'live');
  assert.deepEqual([seen, stream.lastEventId, asked.length], [[], 'abcdef-40', 2]);
  stream.close();
});

test('a reset during a load aborts it, and the next snapshot counts', async (t) => {
  const { url, send } = await fakeStream(t, () => RESET);
  const signals: AbortSignal[] = [];
  const stream = open(url, {
    lastEventId: 'aaaaaaaa-3',
    load: ({ signal }) => {
      signals.push(signal);
      return signals.length === 1 ? new Promise(() => {}) : Promise.resolve('fedcba-2');
    },
  });
  const seen: string[] = [];
  stream.addEventListener('message', ({ data }) => seen.push(data.data));
  await eventually(() => signals.length, Boolean, 'the first load');
  send(['stream.reset', 2, { reason: 'unknown-log' }], 'fedcba');
  send(['notification', 3, 'of the new log'], 'fedcba');
  await eventually(() => seen.length, Boolean, 'what follows the second');
  assert.deepEqual([seen, signals.map(({ aborted }) => aborted)], [['of the new log'], [true, false]]);
  assert.equal(stream.lastEventId, 'fedcba-3');
  stream.close();
});

test('a load that fails after its connection is one loss, and the next connection begins with a snapshot', async (t) => {
  const { url, asked, end } = await fakeStream(t, () => RESET);
  let fail = (_: Error) => {};
  let loads = 0;
  const load = () => {
    loads += 1;
    if (loads > 1) return Promise.resolve('abcdef-13');
    return new Promise<string>((_, reject) => {
      fail = reject;
    });
  };
  const stream = open(url, { lastEventId: 'aaaaaaaa-3', load });
  await eventually(() => loads, Boolean, 'the load');
  const waiting = once(stream, 'state'); // by its event: the wait itself may be shorter than any poll
  end();
  await waiting;
  stream.retry(60_000);
  fail(new Error('the same line'));
  await new Promise(setImmediate);
  assert.equal(stream.tries, 1);
  assert.ok((stream.nextTryAt ?? 0) - Date.now() > 50_000, 'the wait goes on as it was');
  stream.retry();
  await eventually(
    () => asked.length,
    (length) => length === 2,
    'a second connection',
  );
  assert.equal(asked[1]?.get('lastEventId'), 'abcdef-13');
  stream.close();
});

test('a cursor of a store that was empty is none: a snapshot is loaded, or the log is read from where it is said', async () => {
  const id = await publish('before');
  for (const lastEventId of [null, '']) {
    let loads = 0;
    const loading = open(streamUrl(), {
      lastEventId,
      load: async () => {
        loads += 1;
        return id;
      },
    });
    const reading = open(streamUrl(), { lastEventId, from: 'earliest' });
    const read: unknown[] = [];
    reading.addEventListener('message', ({ lastEventId: at }) => read.push(at));
    await Promise.all([inState(loading, 'live'), inState(reading, 'live')]);
    assert.equal(loads, 1);
    assert.ok(read.includes(id));
    for (const stream of [loading, reading]) stream.close();
  }
});

test('closed by its own load or token, a stream stays closed', async () => {
  for (const option of ['load', 'token'] as const) {
    let calls = 0;
    const stream = open(streamUrl(), {
      [option]: () => {
        calls += 1;
        if (calls === 1) throw new Error('not yet');
        stream.close();
      },
    });
    await eventually(() => calls, Boolean, `the first call of ${option}`);
    stream.retry(); // or its own wait was over sooner
    await inState(stream, 'closed');
    assert.equal(calls, 2, option);
  }
});

test('closed during a load, a stream has not moved', async (t) => {
  const { url } = await fakeStream(t, () => RESET);
  const aborted = gate();
  const load = ({ signal }: { signal: AbortSignal }) =>
    new Promise<string>((resolve) => {
      signal.addEventListener('abort', () => resolve('abcdef-12')); // who doesn't care about the signal
      aborted.open();
    });
  const stream = open(url, { lastEventId: 'aaaaaaaa-3', load });
  await aborted.opens;
  stream.close();
  await new Promise(setImmediate);
  assert.equal(stream.lastEventId, 'aaaaaaaa-3');
});

test('reached() resolves when a write has been processed, also one that a filter hides, and not before', async () => {
  const stream = open(server.wsUrl, { types: ['customer.*'] });
  await inState(stream, 'live');
  const hidden = await publish('hidden from this stream');
  await within(stream.reached(hidden), 'the position in a heartbeat');
  const visible = open(server.wsUrl);
  await inState(visible, 'live');
  const work = gate();
  visible.addEventListener('message', () => work.opens);
  let isReached = false;
  const reached = visible.reached(await publish('in work')).then(() => {
    isReached = true;
  });
  await stream.reached(await publish('later'));
  assert.equal(isReached, false);
  work.open();
  await within(reached, 'the work is over');
  await assert.rejects(visible.reached(undefined as unknown as string), /wants an id, not undefined/);
  const never = visible.reached('00000000-999999');
  visible.close();
  await assert.rejects(never, /the stream was closed/);
  await assert.rejects(visible.reached(hidden), /the stream was closed/);
  stream.close();
});

test('a cursor that was never an id is dropped, as after a reset; other malformed questions are refused', async () => {
  const bad = open(server.wsUrl, { lastEventId: 'what is this' });
  const [{ detail }] = (await within(once(bad, 'reset'), 'a reset')) as [CustomEvent];
  assert.equal(detail.reason, 'no-id');
  await inState(bad, 'live');
  bad.close();
  const loaded = open(server.wsUrl, { lastEventId: 'what is this', load: newest });
  await inState(loaded, 'live');
  loaded.close();
  const start = await newest();
  for (const load of [undefined, newest]) {
    const refused = open(server.wsUrl, { lastEventId: start, types: ['*'], load });
    await inState(refused, 'refused');
    assert.equal(refused.status, 400);
    assert.match(refused.detail ?? '', /^types has "\*"/);
    assert.equal(refused.lastEventId, start);
    refused.close();
  }
});

test('a consumer that is slower than its stream holds only so much: the rest stays in the log', async () => {
  const start = await newest();
  const big = 'x'.repeat(60_000);
  const ids: string[] = [];
  for (const n of range(1, 200))
    ids.push((await post(streamUrl(), { type: 'big', data: `${n} ${big}` })).body.id);
  const stream = open(streamUrl(), { lastEventId: start });
  const work = gate();
  const seen: string[] = [];
  stream.addEventListener('message', ({ lastEventId }) => {
    seen.push(lastEventId);
    return work.opens;
  });
  const connected = async () => (await get(`${server.url}/healthz`)).body.clients;
  await eventually(connected, (clients) => clients === 1, 'it reads');
  await eventually(connected, (clients) => clients === 0, 'it has let go');
  work.open();
  await stream.reached(ids[199]!);
  assert.deepEqual(seen, ids);
  stream.close();
});
