// What `lib/store.ts` promises, asked of a real database: one suite that every store passes. `run` is another
// program on the same database; its SQL is such as all of them understand.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { etagOf } from '../../lib/etag.ts';
import { type NewEvent, toCloudEvent } from '../../lib/event.ts';
import { Problem } from '../../lib/problem.ts';
import type { Store } from '../../lib/store/store.ts';
import { range, within } from '../support/helpers.ts';

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
  ...fields,
});

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

  const head = async () => (await store.position()).head;
  const eventsAfter = async (seq: number) => (await store.readEvents(seq, 2 ** 52, 1000, 2 ** 20)).events;
  const make = async (name: string, email: string | null = null) =>
    JSON.parse((await store.createCustomer({ name, email })).json);

  test('a customer is the same JSON in the answer, in a read, in a page and in its event, to the byte', async () => {
    const start = await head();
    for (const name of ['Ada "Q" \\ Lovelace', '日本語 🔔', 'x\u2028y\u00e9/</script>']) {
      const { json } = await store.createCustomer({ name, email: null });
      const { id } = JSON.parse(json);
      const shape = `^{"id":${id},"name":"[^]*","email":null,"createdAt":"(${TIME})","updatedAt":"\\1"}$`;
      assert.match(json, new RegExp(shape));
      assert.equal(JSON.parse(json).name, name);
      assert.ok(json.includes(JSON.stringify(name)), 'escaped as JSON.stringify does');
      assert.equal(await store.getCustomer(id), json);
      assert.deepEqual((await store.listCustomers(id - 1, 1)).customers, [json]);
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
    const same = await store.updateCustomer(id, { name: 'Ada', email: 'ada@example.com' });
    assert.equal(JSON.parse(same!).updatedAt, updatedAt);
    assert.equal(await head(), start);
    const renamed = await store.updateCustomer(id, { name: 'Ada King' });
    const cleared = await store.updateCustomer(id, { email: null });
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
    const { json } = await store.createCustomer({ name: 'Ada', email: null });
    const { id } = JSON.parse(json);
    assert.equal(await store.deleteCustomer(id), true);
    const [gone] = (await eventsAfter(0)).slice(-1);
    assert.deepEqual([gone!.type, gone!.data], ['customer.deleted', json]);
    assert.equal(await store.getCustomer(id), undefined);
    assert.equal(await store.updateCustomer(id, { name: 'x' }), undefined);
    assert.equal(await store.deleteCustomer(id), false);
    assert.ok((await make('Next')).id > id);
  });

  test('If-Match is checked inside the transaction: of concurrent changes one wins', async () => {
    const { json } = await store.createCustomer({ name: 'Ada', email: null });
    const { id } = JSON.parse(json);
    const changes = range(1, 5).map((number) =>
      store.updateCustomer(id, { name: `Ada ${number}` }, ['"other"', etagOf(json)]),
    );
    const settled = await Promise.allSettled(changes);
    assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const result of settled) if (result.status === 'rejected') assert.ok(hasStatus(412)(result.reason));
    await assert.rejects(store.deleteCustomer(id, [etagOf(json)]), hasStatus(412));
    assert.equal(await store.deleteCustomer(id, '*'), true);
    await assert.rejects(store.deleteCustomer(id, '*'), hasStatus(412));
    await assert.rejects(store.updateCustomer(id, { name: 'x' }, [etagOf(json)]), hasStatus(412));
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
      const { json, isReplay } = await store.publish(
        event({ type: 'order.shipped', source: '/s?a=%C3', data }),
      );
      const [stored] = (await eventsAfter((await head()) - 1)).slice(-1);
      assert.equal(stored!.data, data);
      assert.deepEqual([json, isReplay], [toCloudEvent(store.log, stored!), false]);
    }
  });

  test('a key gives the first answer again, with either kind of POST; another request with it is a 422', async () => {
    const start = await head();
    const one = { key: 'one', request: 'a' };
    const answers = await Promise.all(
      range(1, 5).map(() => store.createCustomer({ name: 'Once', email: null }, one)),
    );
    assert.equal(new Set(answers.map(({ json }) => json)).size, 1);
    assert.deepEqual(answers.map(({ isReplay }) => isReplay).sort(), [false, true, true, true, true]);
    const two = { key: 'two', request: 'a' };
    const { json } = await store.publish(event({ data: '"\\u0000"' }), two);
    assert.deepEqual(await store.publish(event(), two), { json, isReplay: true });
    await assert.rejects(store.publish(event(), { ...two, request: 'b' }), hasStatus(422));
    assert.equal(await head(), start + 2);
  });

  test('of many writes in one turn one that breaks a rule fails alone', async (t) => {
    t.mock.method(console, 'error', () => {});
    await other.run("CREATE UNIQUE INDEX one_email ON customers (email) WHERE email LIKE '%@unique'");
    const emails = ['a@unique', 'b@unique', 'a@unique', 'c@unique'];
    const start = await head();
    const settled = await Promise.allSettled(
      emails.map((email) =>
        store.createCustomer({ name: 'Ada', email }, { key: `${start}${email}`, request: '' }),
      ),
    );
    // The third is a repeat by its key; without one it breaks the rule.
    assert.deepEqual(
      settled.map(({ status }) => status),
      Array(4).fill('fulfilled'),
    );
    const again = await Promise.allSettled(
      ['d@unique', 'a@unique', 'e@unique'].map((email) => store.createCustomer({ name: 'Ada', email })),
    );
    assert.deepEqual(
      again.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.ok(hasStatus(409)((again[1] as PromiseRejectedResult).reason));
    assert.deepEqual(
      (await eventsAfter(start)).map(({ data }) => JSON.parse(data).email),
      ['a@unique', 'b@unique', 'c@unique', 'd@unique', 'e@unique'],
    );
  });

  test('seq has no gaps, whatever happens at once', async () => {
    const start = await head();
    await other.run("BEGIN; INSERT INTO customers (name) VALUES ('never'); ROLLBACK");
    const writes = range(1, 300).map((number) => (number % 2 ? make(`c${number}`) : store.publish(event())));
    await Promise.all(writes);
    await other.run("INSERT INTO customers (name) VALUES ('outside'), ('and another')");
    const seqs = (await eventsAfter(start)).map(({ seq }) => seq);
    assert.deepEqual(seqs, range(start + 1, start + 302));
    assert.equal(await head(), start + 302);
  });

  test('a page is short of its limit only at the end, and the head is of the same moment', async () => {
    const ids: number[] = [];
    for (const number of range(1, 5)) ids.push((await make(`page ${number}`)).id);
    const first = await store.listCustomers(ids[0]! - 1, 3);
    assert.deepEqual(
      first.customers.map((json) => JSON.parse(json).id),
      ids.slice(0, 3),
    );
    assert.deepEqual([first.hasMore, first.lastId, first.head], [true, ids[2], await head()]);
    const second = await store.listCustomers(ids[2]!, 2);
    assert.deepEqual([second.customers.length, second.hasMore, second.lastId], [2, false, ids[4]]);
    assert.deepEqual(await store.listCustomers(ids[4]!, 2), {
      customers: [],
      hasMore: false,
      lastId: ids[4],
      head: await head(),
    });
  });

  test('a stretch of the log ends at its limit, at its bytes, or where it was told; one event always fits', async () => {
    const start = await head();
    for (const number of range(1, 6)) await store.publish(event({ data: `"${String(number).repeat(100)}"` }));
    const seqs = async (...asked: [number, number, number, number]) => {
      const { events, upTo, ...position } = await store.readEvents(...asked);
      assert.deepEqual(position, await store.position());
      return [events.map(({ seq }) => seq - start), upTo - start];
    };
    assert.deepEqual(await seqs(start, start + 6, 100, 10_000), [[1, 2, 3, 4, 5, 6], 6]);
    assert.deepEqual(await seqs(start + 2, start + 4, 100, 10_000), [[3, 4], 4]);
    assert.deepEqual(await seqs(start, start + 6, 4, 10_000), [[1, 2, 3, 4], 4]);
    assert.deepEqual(await seqs(start, start + 6, 100, 250), [[1, 2], 2]);
    assert.deepEqual(await seqs(start, start + 6, 100, 1), [[1], 1]);
    assert.deepEqual(await seqs(start + 6, start + 9, 100, 10_000), [[], 9]);
  });

  test('what another program changes is an event like any other, and wakes the readers', async () => {
    const start = await head();
    const woken = new Promise<void>((resolve) => store.onCommit(resolve));
    await other.run("INSERT INTO customers (name, email) VALUES ('Grace', 'grace@example.com')");
    await within(woken, 'the store to notice', 2000);
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
    await other.run(`INSERT INTO customers (id, name) VALUES (${id + 2}, 'by hand')`);
    assert.equal((await make('after')).id > id + 2, true);
    const [fresh, program] = [await backend.open('by_hand'), await backend.connect('by_hand')];
    await program.run("INSERT INTO customers (id, name) VALUES (1, 'the very first')");
    const { json } = await fresh.createCustomer({ name: 'second', email: null });
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
      ['source', 'x'.repeat(201)],
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
      other.run("INSERT INTO changebell_events (seq, type) VALUES (1, 'a')"),
      /leave seq out|constraint/i,
    );
    await assert.rejects(other.run("UPDATE changebell_events SET type = 'other'"), /cannot be changed/);
    assert.equal(await head(), start + 1);
  });

  test('retention deletes the oldest events; a reader can tell that they are gone', async () => {
    const small = await backend.open('small', 10);
    const program = await backend.connect('small');
    for (const _ of range(1, 5)) await Promise.all(range(1, 20).map(() => small.publish(event())));
    const { pruned, head } = await small.position();
    assert.deepEqual([pruned, head], [90, 100]);
    const { events, ...rest } = await small.readEvents(0, 100, 100, 1e6);
    assert.deepEqual([events.map(({ seq }) => seq), rest], [range(91, 100), { pruned, head, upTo: 100 }]);
    await program.run('DELETE FROM changebell_events WHERE seq <= 95');
    assert.deepEqual(await small.position(), { head: 100, pruned: 95 });
    await program.run('DELETE FROM changebell_events');
    assert.deepEqual(await small.position(), { head: 100, pruned: 100 });
    await small.publish(event());
    assert.deepEqual(await small.position(), { head: 101, pruned: 100 });
    await program.close();
    await small.close();
  });

  test('closing waits for the writes under way, and all of it is there when it is opened again', async () => {
    const first = await backend.open('reopened');
    const writes = Promise.all(
      range(1, 50).map((number) => first.createCustomer({ name: `${number}`, email: null })),
    );
    await first.close();
    const made = await writes;
    const second = await backend.open('reopened');
    assert.equal(second.log, first.log);
    assert.match(second.log, /^[0-9a-f]{6,}$/);
    const { customers, head } = await second.listCustomers(0, 100);
    assert.deepEqual([customers, head], [made.map(({ json }) => json), 50]);
    await second.close();
  });
}
