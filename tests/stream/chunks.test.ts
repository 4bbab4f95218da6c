// Stretches of the log that many clients share: where they begin and end, that each is read and encoded once, and
// that nothing stale is ever handed out. The log is a real one, in memory; its reads are counted.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Cursor } from '../../lib/event.ts';
import { parseFilter } from '../../lib/filter.ts';
import { openSqliteStore } from '../../lib/store/sqlite-store.ts';
import type { Store } from '../../lib/store/store.ts';
import { type Chunk, Chunks, type Kind, kindOf } from '../../lib/stream/chunks.ts';
import { EVENT_STREAM, type Transport, WEBSOCKET } from '../../lib/stream/frames.ts';
import { range } from '../support/helpers.ts';

const open: Store[] = [];
after(() => Promise.all(open.map((store) => store.close())));

/** A log of so many events, and chunks of it; `reads` are the places that were read after. */
async function openLog(count: number, { bytes = 10, type = (_: number): string => 'test' } = {}) {
  const store = await openSqliteStore({ databaseUrl: ':memory:', eventRetention: 100_000, watch: new Set() });
  open.push(store);
  const append = async (first: number, last: number) => {
    const data = JSON.stringify('x'.repeat(bytes));
    const events = range(first, last).map((seq) => ({
      type: type(seq),
      source: '/x',
      data,
      extensions: null,
    }));
    // In lists of a megabyte, as the API takes them: each has its own two seconds, also on a machine that is busy.
    while (events.length > 0) {
      const list = events.splice(0, Math.ceil(1_000_000 / bytes));
      await store.write({ op: 'publish', events: list, isList: true });
    }
  };
  await append(1, count);
  const { events, head, pruned } = await store.readEvents((await store.position()).head, 0, 1, 1);
  assert.deepEqual(events, []);
  const all = (await store.readEvents(pruned, head.seq, 100_000, 1e9)).events;
  const reads: number[] = [];
  const chunks = new Chunks({
    readEvents: (cursor, ...asked) => {
      reads.push(cursor.seq);
      return store.readEvents(cursor, ...asked);
    },
  });
  const at = (seq: number): Cursor => (seq === 0 ? pruned : all[seq - 1]!);
  const load = async (from: number, to = head.seq) => {
    const chunk = await chunks.load(at(from), at(to));
    assert.ok(typeof chunk === 'object', `no chunk after ${from}, but ${String(chunk)}`);
    return chunk;
  };
  return { store, append, chunks, reads, at, load };
}

const MAX_CACHE_BYTES = 16 * 1024 * 1024;
const seqsIn = (chunk: Chunk) => chunk.events.map(({ seq }) => seq);

/** Clients that get their frames this way. */
const kind = (transport: Transport, types: string | null = null, isConflated = false) =>
  kindOf(transport, parseFilter(types), isConflated);

test('a chunk begins with the event after the cursor, and ends at the head where that is near', async () => {
  const { load } = await openLog(300);
  const chunk = await load(100);
  assert.deepEqual(seqsIn(chunk), range(101, 300));
  assert.deepEqual([chunk.end.seq, chunk.endsBelowHead], [300, false]);
});

test('far from the head it ends at a multiple of 256, so that cursors converge', async () => {
  const { load } = await openLog(1000);
  for (const [from, end] of [
    [0, 256],
    [1, 256],
    [255, 256],
    [256, 512],
    [511, 512],
  ] as const) {
    const chunk = await load(from);
    assert.deepEqual(seqsIn(chunk), range(from + 1, end), `after ${from}`);
    assert.equal(chunk.endsBelowHead, true);
  }
});

test('from any cursor the chunks are the log after it: each event once, in order', async () => {
  const { load } = await openLog(1000);
  for (const start of [0, 1, 200, 256, 700, 743, 744, 999]) {
    const seen: number[] = [];
    for (let at = start; at < 1000; ) {
      const chunk = await load(at);
      assert.ok(chunk.events.length > 0 && chunk.events.length <= 256, `${chunk.events.length} after ${at}`);
      seen.push(...seqsIn(chunk));
      at = chunk.end.seq;
    }
    assert.deepEqual(seen, range(start + 1, 1000), `from ${start}`);
  }
});

test('a chunk holds 128 KiB at most, and one event however large it is', async () => {
  const { load } = await openLog(10, { bytes: 50_000 });
  assert.deepEqual(seqsIn(await load(0)), [1, 2]);
  const large = await openLog(3, { bytes: 500_000 });
  assert.deepEqual(seqsIn(await large.load(0)), [1]);
});

test('what was read is found again, without another read', async () => {
  const { chunks, load, reads, at } = await openLog(1000);
  const [middle, tail] = [await load(0), await load(900)];
  assert.equal(chunks.find(at(0), at(1000)), middle);
  assert.equal(chunks.find(at(900), at(1000)), tail);
  assert.deepEqual(reads, [0, 900]);
  assert.equal(chunks.find(at(1), at(1000)), undefined, 'nobody has read there');
});

test('a chunk that ended at the head is not handed out once the log has grown', async () => {
  const { append, chunks, load, store, at } = await openLog(300);
  await load(290);
  await append(301, 310);
  const { head } = await store.position();
  assert.equal(chunks.find(at(290), head), undefined, 'it would end where the log did');
  const chunk = await chunks.load(at(290), head);
  assert.ok(typeof chunk === 'object');
  assert.deepEqual(seqsIn(chunk), range(291, 310));
});

test('a cursor of another history finds nothing that was read for this one', async () => {
  const { chunks, load, at } = await openLog(300);
  await load(100);
  assert.equal(chunks.find({ seq: 100, stamp: 'ffffffff' }, at(300)), undefined);
  assert.equal(await chunks.load({ seq: 100, stamp: 'ffffffff' }, at(300)), 'unknown-log');
});

test('after clear nothing is known any more', async () => {
  const { chunks, load, at } = await openLog(300);
  await load(0);
  chunks.clear();
  assert.equal(chunks.find(at(0), at(300)), undefined);
});

test('what is kept is bounded by 16 MiB, texts and frames together: the oldest goes, and is read again', async () => {
  const { chunks, load, at } = await openLog(100, { bytes: 120_000 });
  const kinds = [kind(WEBSOCKET), kind(EVENT_STREAM)];
  for (const from of range(0, 98)) {
    const chunk = await load(from);
    for (const each of kinds) chunks.encode(chunk, each);
    assert.ok(chunks.bytes <= MAX_CACHE_BYTES, `${chunks.bytes} bytes are kept`);
  }
  const known = range(0, 98).filter((from) => chunks.find(at(from), at(100)));
  assert.ok(known.length > 35 && known.length < 50, `${known.length} chunks of three times 120 kB are kept`);
  assert.deepEqual(known, range(99 - known.length, 98), 'the newest');
  assert.deepEqual(seqsIn(await load(0)), [1]);
});

test('the bytes of a chunk are made once for all clients of a kind', async () => {
  const { chunks, load } = await openLog(10);
  const chunk = await load(0);
  const bytes = chunks.encode(chunk, kind(WEBSOCKET));
  assert.equal(chunks.encode(chunk, kind(WEBSOCKET)), bytes, 'the very same buffer');
  const others = [kind(EVENT_STREAM), kind(WEBSOCKET, 'other')];
  for (const other of others) assert.notDeepEqual(chunks.encode(chunk, other), bytes);
});

test('a filter leaves out what it does not name, and a chunk of nothing wanted is no bytes', async () => {
  const { chunks, load } = await openLog(9, { type: (seq) => (seq % 3 === 0 ? 'third' : 'other') });
  const chunk = await load(0);
  const text = String(chunks.encode(chunk, kind(EVENT_STREAM, 'third')));
  assert.deepEqual(
    [...text.matchAll(/^id: \w+-(\d+)$/gm)].map(([, seq]) => Number(seq)),
    [3, 6, 9],
  );
  assert.equal(chunks.encode(chunk, kind(EVENT_STREAM, 'nothing')).length, 0);
});

test('ten thousand filters do not stay with a chunk for ever', async () => {
  const { chunks, load } = await openLog(100, { bytes: 1000, type: (seq) => (seq % 2 ? 'odd' : 'even') });
  const chunk = await load(0);
  const before = chunks.bytes;
  for (const number of range(1, 200)) chunks.encode(chunk, kind(WEBSOCKET, `odd,type-${number}`));
  const kept = [...chunk.filtered.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  assert.ok(kept <= 2 * 1024 * 1024, `${kept} bytes are kept, of 200 filters with 60 kB each`);
  assert.ok(
    chunks.bytes - before >= kept && chunks.bytes - before < 2.5 * 1024 * 1024,
    'and all are counted',
  );
});

test('of an event, a filter is asked once, however many clients have it; and it is encoded once, however many filters', async () => {
  const { chunks, load } = await openLog(100, { type: (seq) => `type-${seq % 7}` });
  const chunk = await load(0);
  const work = { asked: 0, encoded: 0 };
  const transport: Transport = {
    ...WEBSOCKET,
    encode: (items) => {
      work.encoded += items.length;
      return WEBSOCKET.encode(items);
    },
  };
  const counting = (types: string): Kind => {
    const plain = kind(transport, types);
    const matches: Kind['filter']['matches'] = (event) => {
      work.asked += 1;
      return plain.filter.matches(event);
    };
    return { ...plain, filter: { ...plain.filter, matches } };
  };
  chunks.encode(chunk, counting('type-1'));
  const quiet = { ...work };
  assert.deepEqual(quiet, { asked: 100, encoded: 100 });
  const filters = range(1, 300).map((number) => `type-${number % 7},other-${number}`);
  for (const _ of range(1, 20)) for (const types of filters) chunks.encode(chunk, counting(types));
  assert.equal(work.asked - quiet.asked, 300 * quiet.asked, '300 filters of 6,000 clients');
  assert.equal(work.encoded, quiet.encoded);
});

test('of several events of one source a client that conflates gets the newest, in the order of the log', async () => {
  const { chunks, load } = await openLog(9);
  const chunk = await load(0);
  chunk.events.forEach((event, i) => {
    event.source = `/source/${i % 3}`;
  });
  const text = String(chunks.encode(chunk, kind(EVENT_STREAM, null, true)));
  assert.deepEqual(
    [...text.matchAll(/^id: \w+-(\d+)$/gm)].map(([, seq]) => Number(seq)),
    [7, 8, 9],
  );
});
