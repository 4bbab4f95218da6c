// What `lib/store.ts` promises, asked of a real database: one suite that every store passes. `run` is another
// program on the same database; its SQL is such as all of them understand.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type EtagList, etagOf } from '../../lib/etag.ts';
import { type Cursor, eventId, toCloudEvent } from '../../lib/event.ts';
import type { Idempotency } from '../../lib/idempotency.ts';
import type { NewEvent } from '../../lib/new-event.ts';
import { Problem } from '../../lib/problem.ts';
import type { Fields } from '../../lib/resource.ts';
import type { Store } from '../../lib/store/store.ts';
import { eventually, range, within } from '../support/helpers.ts';

/** How the suite gets at a kind of store. */
export type Backend = {
  /** Opens the database of this name, made anew at the first time. */
  open: (database: string, eventRetention?: number) => Promise<Store>;
  /** Another program's connection to it. */
  connect: (database: string) => Promise<{
    run: (sql: string) => Promise<unknown>;
    close: () => Promise<void>;
  }>;
};

type Program = Awaited<ReturnType<Backend['connect']>>;

const TIME = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z';
const hasStatus = (status: number) => (error: unknown) => error instanceof Problem && error.status === status;
const event = (fields: Partial<NewEvent> = {}): NewEvent => ({
  type: 'test',
  source: '/test',
  data: 'null',
  extensions: null,
  ...fields,
});

// A store takes orders; the tests say in short what they order.
const create = (store: Store, name: string, email: string | null = null, idempotency?: Idempotency) =>
  store.write({ op: 'create', fields: { name, email }, idempotency });
const update = async (store: Store, id: number, fields: Fields, ifMatch?: EtagList) =>
  (await store.write({ op: 'update', id, fields, preconditions: { ifMatch } })).json;
const remove = (store: Store, id: number, ifMatch?: EtagList) =>
  store.write({ op: 'delete', id, preconditions: { ifMatch } });
const publish = (store: Store, fields: Partial<NewEvent> = {}, idempotency?: Idempotency) =>
  store.write({ op: 'publish', events: [event(fields)], isList: false, idempotency });

/** Registers the tests. */
export function testStore(backend: Backend): void {
  let store: Store;
  let other: Program;
  before(async () => {
    store = await backend.open('shared');
    other = await backend.connect('shared');
  });
  after(async () => {
    await other?.close();
    await store?.close();
  });

  // A new index is found by a look at the schema, at any time after it was made, and that may be an event of its own.
  const isOfRow = ({ type }: { type: string }) => type !== 'customer.reset';
  const head = async () => (await store.position()).head;
  const eventsAfter = async (cursor: Cursor) =>
    (await store.readEvents(cursor, 2 ** 52, 1000, 2 ** 20)).events;
  const make = async (name: string, email: string | null = null) =>
    JSON.parse((await create(store, name, email)).json);

  test('a customer is the same JSON in the answer, in a read, in a page and in its event, to the byte', async () => {
    const start = await head();
    for (const name of ['Ada "Q" \\ Lovelace', '日本語 🔔', 'x\u2028y\u00e9/</script>']) {
      const { json } = await create(store, name);
      const { id } = JSON.parse(json);
      const shape = `^{"id":${id},"name":"[^]*","email":null,"createdAt":"(${TIME})","updatedAt":"\\1"}$`;
      assert.match(json, new RegExp(shape));
      assert.equal(JSON.parse(json).name, name);
      assert.ok(json.includes(JSON.stringify(name)), 'escaped as JSON.stringify does');
      assert.equal(await store.readRow('customers', `${id}`), json);
      assert.deepEqual((await store.readRows('customers', `${id - 1}`, 1))!.rows, [json]);
      const [written] = (await eventsAfter(start)).slice(-1);
      assert.deepEqual(
        [written!.type, written!.source, written!.data],
        ['customer.created', `/api/customers/${id}`, json],
      );
      assert.match(written!.time, new RegExp(`^${TIME}$`));
    }
  });

  test('an update is an event with the customer after it; one that changes nothing is none', async () => {
    const { id, updatedAt } = await make('Ada', 'ada@example.com');
    const start = await head();
    const same = await update(store, id, { name: 'Ada', email: 'ada@example.com' });
    assert.equal(JSON.parse(same!).updatedAt, updatedAt);
    assert.deepEqual(await head(), start);
    const renamed = await update(store, id, { name: 'Ada King' });
    const cleared = await update(store, id, { email: null });
    assert.equal(JSON.parse(renamed!).email, 'ada@example.com');
    assert.equal(JSON.parse(cleared!).email, null);
    assert.ok(JSON.parse(cleared!).updatedAt >= updatedAt);
    assert.deepEqual(
      (await eventsAfter(start)).map(({ type, data }) => [type, data]),
      [
        ['customer.updated', renamed],
        ['customer.updated', cleared],
      ],
    );
  });

  test('a deletion is an event with the customer as it last was, and its id is never given again', async () => {
    const { json } = await create(store, 'Ada');
    const { id } = JSON.parse(json);
    const start = await head();
    const { lastEventId } = await remove(store, id);
    const [gone] = await eventsAfter(start);
    assert.ok(gone, 'it is an event');
    assert.equal(lastEventId, eventId(gone!));
    assert.deepEqual([gone!.type, gone!.data], ['customer.deleted', json]);
    assert.equal(await store.readRow('customers', `${id}`), undefined);
    await assert.rejects(update(store, id, { name: 'x' }), hasStatus(404));
    await assert.rejects(remove(store, id), hasStatus(404));
    assert.ok((await make('Next')).id > id);
  });

  test('If-Match is checked inside the transaction: of concurrent changes one wins', async () => {
    const { json } = await create(store, 'Ada');
    const { id } = JSON.parse(json);
    const changes = range(1, 5).map((number) =>
      update(store, id, { name: `Ada ${number}` }, ['"other"', etagOf(json)]),
    );
    const settled = await Promise.allSettled(changes);
    assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const result of settled) if (result.status === 'rejected') assert.ok(hasStatus(412)(result.reason));
    await assert.rejects(remove(store, id, [etagOf(json)]), hasStatus(412));
    await remove(store, id, '*');
    await assert.rejects(remove(store, id, '*'), hasStatus(412));
    await assert.rejects(update(store, id, { name: 'x' }, [etagOf(json)]), hasStatus(412));
  });

  test('what was published is stored as it was given, to the byte', async () => {
    for (const data of [
      'null',
      '0',
      '"\\u0000\\ud800 \u2028 🔔 \\n"',
      '{"b":1,"a":1.50,"":[]}',
      '12345678901234567890',
      `${'['.repeat(64)}${']'.repeat(64)}`,
    ]) {
      const start = await head();
      const { json, isReplay, lastEventId } = await publish(store, {
        type: 'order.shipped',
        source: '/s?a=%C3',
        data,
      });
      const [stored] = await eventsAfter(start);
      assert.equal(stored!.data, data);
      assert.deepEqual([json, isReplay, lastEventId], [toCloudEvent(stored!), false, eventId(stored!)]);
    }
  });

  test('a key gives the first answer again, with either kind of POST; another request with it is a 422', async () => {
    const start = await head();
    const one = { key: 'one', request: 'a' };
    const answers = await Promise.all(range(1, 5).map(() => create(store, 'Once', null, one)));
    assert.equal(new Set(answers.map(({ json }) => json)).size, 1);
    assert.deepEqual(answers.map(({ isReplay }) => isReplay).sort(), [false, true, true, true, true]);
    const two = { key: 'two', request: 'a' };
    const first = await publish(store, { data: '"\\u0000"' }, two);
    assert.deepEqual(await publish(store, {}, two), { ...first, isReplay: true });
    await assert.rejects(publish(store, {}, { ...two, request: 'b' }), hasStatus(422));
    assert.equal((await head()).seq, start.seq + 2);
  });

  test('an event with a key of its own is stored once, also in a list beside others', async () => {
    const start = await head();
    const keyed = (data: string) => ({ ...event({ data }), idempotency: { key: ' own', request: data } });
    const list = (...events: NewEvent[]) => store.write({ op: 'publish', events, isList: true });
    const first = await list(keyed('1'));
    const second = await list(event({ data: '2' }), keyed('1'), event({ data: '3' }));
    const stored = (await eventsAfter(start)).map(toCloudEvent);
    assert.equal(stored.length, 3);
    assert.deepEqual([first.json, first.isReplay], [`[${stored[0]}]`, false]);
    assert.deepEqual([second.json, second.isReplay], [`[${stored[1]},${stored[0]},${stored[2]}]`, false]);
    assert.deepEqual(await list(keyed('1')), { ...first, isReplay: true });
    await assert.rejects(list(event({ data: '4' }), keyed('5')), hasStatus(422));
    assert.equal((await head()).seq, start.seq + 3, 'of a list that is refused nothing is stored');
  });

  test('a list of a thousand events that fills its body is written, and so are several at once', async () => {
    const start = await head();
    const events = range(1, 1000).map((n) => event({ data: JSON.stringify(`${n} `.padEnd(900, 'x')) }));
    const list = () => store.write({ op: 'publish', events, isList: true });
    for (const { json } of [await list(), ...(await Promise.all([list(), list(), list()]))])
      assert.deepEqual(
        JSON.parse(json).map(({ data }: { data: string }) => Number.parseInt(data, 10)),
        range(1, 1000),
      );
    assert.equal((await head()).seq, start.seq + 4000);
  });

  test('of many writes in one turn one that breaks a rule fails alone', async (t) => {
    t.mock.method(console, 'error', () => {});
    // A database of its own: SQLite tells a little later that the table was altered, and other tests count their events.
    const [own, program] = [await backend.open('rule'), await backend.connect('rule')];
    await program.run('CREATE UNIQUE INDEX one_email ON customers (email)');
    const emails = ['a@unique', 'b@unique', 'a@unique', 'c@unique'];
    const { head: start } = await own.position();
    const settled = await Promise.allSettled(
      emails.map((email) => create(own, 'Ada', email, { key: `${eventId(start)}${email}`, request: '' })),
    );
    // The third is a repeat by its key; without one it breaks the rule.
    assert.deepEqual(
      settled.map(({ status }) => status),
      Array(4).fill('fulfilled'),
    );
    const again = await Promise.allSettled(
      ['d@unique', 'a@unique', 'e@unique'].map((email) => create(own, 'Ada', email)),
    );
    assert.deepEqual(
      again.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.ok(hasStatus(409)((again[1] as PromiseRejectedResult).reason));
    const { events } = await own.readEvents(start, 2 ** 52, 1000, 2 ** 20);
    assert.deepEqual(
      events.filter(isOfRow).map(({ data }) => JSON.parse(data).email),
      ['a@unique', 'b@unique', 'c@unique', 'd@unique', 'e@unique'],
    );
    await program.close();
    await own.close();
  });

  test('seq has no gaps, whatever happens at once', async () => {
    const start = await head();
    await other.run("BEGIN; INSERT INTO customers (name) VALUES ('never'); ROLLBACK");
    const writes = range(1, 300).map((number) => (number % 2 ? make(`c${number}`) : publish(store)));
    await Promise.all(writes);
    await other.run("INSERT INTO customers (name) VALUES ('outside'), ('and another')");
    const told = await eventsAfter(start);
    const last = start.seq + told.length;
    assert.deepEqual(
      told.map(({ seq }) => seq),
      range(start.seq + 1, last),
    );
    assert.equal((await head()).seq, last);
    assert.equal(told.filter(isOfRow).length, 302);
  });

  test('a page is short of its limit only at the end, and the head is of the same moment', async () => {
    const ids: number[] = [];
    for (const number of range(1, 5)) ids.push((await make(`page ${number}`)).id);
    const first = (await store.readRows('customers', `${ids[0]! - 1}`, 3))!;
    assert.deepEqual(
      first.rows.map((json) => JSON.parse(json).id),
      ids.slice(0, 3),
    );
    assert.deepEqual([first.hasMore, first.last, first.head], [true, `${ids[2]}`, await head()]);
    const second = (await store.readRows('customers', first.last, 2))!;
    assert.deepEqual(
      [second.keys, second.hasMore, second.last],
      [ids.slice(3).map(String), false, `${ids[4]}`],
    );
    const third = await store.readRows('customers', second.last, 2);
    assert.deepEqual(third, { rows: [], keys: [], hasMore: false, last: undefined, head: await head() });
  });

  test('a stretch of the log ends at its limit, at its bytes, or where it was told; one event always fits', async () => {
    const start = await head();
    for (const number of range(1, 6)) await publish(store, { data: `"${String(number).repeat(100)}"` });
    // Attributes of a CloudEvent go over the wire as well, and may be longer than its data.
    const extensions = JSON.stringify({ note: 'x'.repeat(100) });
    for (const _ of [7, 8]) await publish(store, { data: '1', extensions });
    const all = [start, ...(await eventsAfter(start))].map(({ seq, stamp }) => ({ seq, stamp }));
    const seqs = async (from: number, upTo: number, limit: number, maxBytes: number) => {
      const { events, end, head, pruned } = await store.readEvents(
        all[from]!,
        start.seq + upTo,
        limit,
        maxBytes,
      );
      assert.deepEqual({ head, pruned, resets: [] }, await store.position());
      assert.deepEqual(end, all[from + events.length]);
      return events.map(({ seq }) => seq - start.seq);
    };
    assert.deepEqual(await seqs(0, 6, 100, 10_000), [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(await seqs(2, 4, 100, 10_000), [3, 4]);
    assert.deepEqual(await seqs(0, 6, 4, 10_000), [1, 2, 3, 4]);
    assert.deepEqual(await seqs(0, 6, 100, 250), [1, 2]);
    assert.deepEqual(await seqs(0, 6, 100, 1), [1]);
    assert.deepEqual(await seqs(6, 8, 100, 200), [7]);
    assert.deepEqual(await seqs(8, 9, 100, 10_000), []);
  });

  test('a commit of another program wakes the readers of a store that does nothing itself', async () => {
    const [quiet, program] = [await backend.open('quiet'), await backend.connect('quiet')];
    const woken = new Promise<void>((resolve) => quiet.onCommit(() => resolve()));
    await program.run("INSERT INTO customers (name) VALUES ('Grace')");
    await within(woken, 'the store to notice');
    await Promise.all([quiet.close(), program.close()]);
  });

  test('what another program changes is an event like any other', async () => {
    const start = await head();
    await other.run("INSERT INTO customers (name, email) VALUES ('Grace', 'grace@example.com')");
    await other.run("UPDATE customers SET name = 'Grace Hopper' WHERE name = 'Grace'");
    await other.run("UPDATE customers SET name = name WHERE name = 'Grace Hopper'");
    await other.run("DELETE FROM customers WHERE name = 'Grace Hopper'");
    const events = await eventsAfter(start);
    assert.deepEqual(
      events.map(({ type, data }) => [type, JSON.parse(data).name]),
      [
        ['customer.created', 'Grace'],
        ['customer.updated', 'Grace Hopper'],
        ['customer.deleted', 'Grace Hopper'],
      ],
    );
    assert.equal(events[1]!.data, events[2]!.data);
  });

  test('a customer that another program gave an id by hand is in nobody’s way', async () => {
    const { id } = await make('before');
    const start = await head();
    await other.run(`INSERT INTO customers (id, name) VALUES (${id + 2}, 'by hand')`);
    await eventually(
      () => eventsAfter(start),
      ({ length }) => length > 0,
      'it is told',
    );
    assert.equal((await make('after')).id > id + 2, true);
    const [fresh, program] = [await backend.open('by_hand'), await backend.connect('by_hand')];
    await program.run("INSERT INTO customers (id, name) VALUES (1, 'the very first')");
    const { json } = await create(fresh, 'second');
    assert.equal(JSON.parse(json).id, 2);
    await Promise.all([fresh.close(), program.close()]);
    await assert.rejects(
      other.run(`UPDATE customers SET id = ${id + 1000} WHERE id = ${id}`),
      /id of a customer/,
    );
  });

  test('a row that another program puts into the log is an event, if it has the form of one', async () => {
    const start = await head();
    await other.run(`INSERT INTO changebell_events (type, data) VALUES ('order.shipped', '{"a":\n1}')`);
    const [stored] = await eventsAfter(start);
    assert.deepEqual(
      [stored!.type, stored!.source, stored!.data],
      ['order.shipped', '/api/events', '{"a": 1}'],
    );
    for (const [column, value] of [
      ['type', 'stream.ready'],
      ['type', 'Upper'],
      ['type', 'a b'],
      ['type', ''],
      ['type', 'x'.repeat(101)],
      ['type', 'a\n'],
      ['source', ''],
      ['source', 'white space'],
      ['source', 'ä'],
      ['source', 'x'.repeat(8193)],
      ['time', '2026-11-24'],
      ['time', '2026-11-24T10:00:00.000+01'],
      ['data', ''],
      ['data', 'not json'],
      ['data', '{} {}'],
    ]) {
      await assert.rejects(
        other.run(`INSERT INTO changebell_events (${column}) VALUES ('${value}')`),
        /constraint|json/i,
        `${column} ${value}`,
      );
    }
    await assert.rejects(
      other.run(`INSERT INTO changebell_events (data) VALUES ('"${'x'.repeat(1024 * 1024)}"')`),
      /1 MiB|constraint/i,
    );
    for (const seq of [1, start.seq + 1000]) // below the newest nobody would read it, above there would be a gap
      await assert.rejects(
        other.run(`INSERT INTO changebell_events (seq, type) VALUES (${seq}, 'a')`),
        /leave seq out|constraint/i,
      );
    await assert.rejects(other.run("UPDATE changebell_events SET type = 'other'"), /cannot be changed/);
    assert.equal((await head()).seq, start.seq + 1);
  });

  test('retention deletes the oldest events; a reader can tell that they are gone', async () => {
    const small = await backend.open('small', 10);
    const program = await backend.connect('small');
    const beginning = (await small.position()).head;
    for (const _ of range(1, 5)) {
      await Promise.all(range(1, 20).map(() => publish(small)));
      small.announced((await small.position()).head.seq);
    }
    await publish(small); // what is pruned goes with the next write
    const seqs = async () => {
      const { head, pruned } = await small.position();
      return [pruned.seq, head.seq];
    };
    assert.deepEqual(await seqs(), [91, 101]);
    const { pruned, head } = await small.position();
    assert.deepEqual((await small.readEvents(beginning, 200, 100, 1e6)).reset, 'expired');
    const { events, reset } = await small.readEvents(pruned, 200, 100, 1e6);
    assert.deepEqual([events.map(({ seq }) => seq), reset], [range(92, 101), undefined]);
    await program.run('DELETE FROM changebell_events WHERE seq <= 95');
    assert.deepEqual(await seqs(), [95, 101]);
    await program.run('DELETE FROM changebell_events');
    assert.deepEqual(
      (await small.position([head])).resets,
      [undefined],
      'the place of the newest proves itself still',
    );
    assert.deepEqual(await seqs(), [101, 101]);
    await publish(small);
    assert.deepEqual(await seqs(), [101, 102]);
    await program.close();
    await small.close();
  });

  test('retention takes no event that was not announced', async () => {
    const quiet = await backend.open('quiet', 5);
    for (const _ of range(1, 4)) await Promise.all(range(1, 10).map(() => publish(quiet)));
    assert.equal((await quiet.position()).pruned.seq, 0);
    await quiet.close();
  });

  test('an event that a foreign key of another program holds is not pruned, and nobody’s write is refused for it', async () => {
    const held = await backend.open('held', 5);
    const program = await backend.connect('held');
    await publish(held);
    for (const [i, when] of ['', 'DEFERRABLE INITIALLY DEFERRED'].entries()) {
      await program.run(`DROP TABLE IF EXISTS notes;
        CREATE TABLE notes (event bigint REFERENCES changebell_events (seq) ${when});
        INSERT INTO notes SELECT max(seq) FROM changebell_events`);
      for (const _ of range(1, 3)) {
        await assert.doesNotReject(Promise.all(range(1, 10).map((n) => publish(held, { data: `${n}` }))));
        held.announced((await held.position()).head.seq);
      }
      const { head, pruned } = await held.position();
      assert.ok(head.seq - pruned.seq > 30 && pruned.seq < 1 + 30 * (i + 1), when);
    }
    await program.close();
    await held.close();
  });

  test('a cursor is judged by the event at its place: of another history, expired, ahead, or good', async () => {
    const { head: before } = await store.position();
    await publish(store);
    const { head } = await store.position();
    const forged = { seq: head.seq, stamp: before.stamp === '00000000' ? '11111111' : '00000000' };
    const ahead = { ...head, seq: head.seq + 1 };
    const { resets } = await store.position([before, head, forged, ahead]);
    assert.deepEqual(resets, [undefined, undefined, 'unknown-log', 'ahead']);
    assert.equal((await store.readEvents(forged, 2 ** 52, 10, 1e6)).reset, 'unknown-log');
  });

  test('a time leads to the newest event from before it, or to the place before all', async () => {
    const [fresh, program] = [await backend.open('times'), await backend.connect('times')];
    const { pruned } = await fresh.position();
    assert.deepEqual(await fresh.findTime('2026-01-01T00:00:00.000Z'), pruned);
    for (const second of range(1, 4))
      await program.run(`INSERT INTO changebell_events (time) VALUES ('2026-01-01T00:00:0${second}.000Z')`);
    const { events } = await fresh.readEvents(pruned, 10, 10, 1e6);
    const places = [pruned, ...events.map(({ seq, stamp }) => ({ seq, stamp }))];
    for (const [time, place] of [
      ['2020-01-01T00:00:00.000Z', 0],
      ['2026-01-01T00:00:01.000Z', 0],
      ['2026-01-01T00:00:02.001Z', 2],
      ['2026-01-01T00:00:03.000Z', 2],
      ['2026-01-01T00:00:09.000Z', 4],
    ] as const)
      assert.deepEqual(await fresh.findTime(time), places[place], time);
    await program.run('DELETE FROM changebell_events WHERE seq <= 2');
    assert.deepEqual(
      await fresh.findTime('2026-01-01T00:00:02.000Z'),
      places[2],
      'the newest that isn’t kept',
    );
    await Promise.all([program.close(), fresh.close()]);
  });

  test('closing waits for the writes under way, and all of it is there when it is opened again', async () => {
    const first = await backend.open('reopened');
    const writes = Promise.all(range(1, 50).map((number) => create(first, `${number}`)));
    await first.close();
    const made = await writes;
    const second = await backend.open('reopened');
    const { rows, head } = (await second.readRows('customers', undefined, 100))!;
    assert.deepEqual([rows, head.seq], [made.map(({ json }) => json), 50]);
    await second.close();
  });
}
