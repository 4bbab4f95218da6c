// A resource of one's own: the patch that the reference shows is put on a copy of the program, and that runs, on both
// engines. So what it says of how little there is to do stays true.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { LiveTable } from '../../public/changebell.js';
import { Copy } from '../mutate/copy.ts';
import { needsChromium, openPage } from '../support/browser.ts';
import { compile } from '../support/declarations.ts';
import { eventually, ROOT, type Server, skipWithout, startServer, within } from '../support/helpers.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';
import { stripTypes } from '../support/typescript.ts';

const PATCH = join(ROOT, 'public/reference/orders.patch.txt');
const copy = new Copy();
execFileSync('git', ['apply', PATCH], { cwd: copy.folder });
const start = (env: Record<string, string> = {}) =>
  startServer(env, [...stripTypes, join(copy.folder, 'server.ts')]);

test('the patch has at most 150 lines, and what comes of it compiles', () => {
  const { length } = readFileSync(PATCH, 'utf8').trimEnd().split('\n');
  assert.ok(length <= 150, `${length} lines`);
  compile(copy.folder);
  compile(copy.folder, '-p', 'public');
});

type Engine = { name: string; skip: string | false; url: () => Promise<string | undefined> };
let cluster: Cluster | undefined;
const engines: Engine[] = [
  { name: 'SQLite', skip: false, url: async () => undefined },
  {
    name: 'PostgreSQL',
    skip: skipWithout(INITDB, 'postgresql'),
    url: async () => {
      cluster = await startCluster();
      return cluster.createDatabase('shop');
    },
  },
];
after(() => cluster?.stop());

for (const { name, skip, url } of engines) {
  describe(`orders on ${name}`, { skip }, () => {
    let server: Server;
    let path: string;
    before(async () => {
      const databaseUrl = await url();
      server = await start(databaseUrl ? { DATABASE_URL: databaseUrl } : {});
      path = `${server.url}/api/orders`;
    });
    after(() => server?.stop());

    async function send(method: string, to: string, body?: unknown, headers: Record<string, string> = {}) {
      const response = await fetch(to, {
        method,
        headers: { ...(body ? { 'Content-Type': 'application/json' } : {}), ...headers },
        body: body ? JSON.stringify(body) : null,
      });
      const text = await response.text();
      return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : '' };
    }

    test('a row is made, read, changed and deleted, and each change is one event with the row', async () => {
      const first = (await send('GET', path)).body.lastEventId;
      const made = await send('POST', path, { customer: 1, item: ' Analytical Engine ' });
      assert.deepEqual([made.status, made.headers.get('location')], [201, `/api/orders/${made.body.id}`]);
      const { id, created_at } = made.body;
      assert.deepEqual(made.body, { id, customer: 1, item: 'Analytical Engine', quantity: 1, created_at });
      const one = `${path}/${id}`;
      const read = await send('GET', one);
      assert.deepEqual([read.status, read.body], [200, made.body]);
      const etag = made.headers.get('etag')!;
      assert.equal(read.headers.get('etag'), etag);
      assert.equal((await send('GET', one, undefined, { 'If-None-Match': etag })).status, 304);
      const changed = await send('PATCH', one, { quantity: 3 }, { 'If-Match': etag });
      assert.deepEqual(changed.body, { ...made.body, quantity: 3 });
      assert.equal((await send('PUT', one, { customer: 2, item: 'Loom' }, { 'If-Match': etag })).status, 412);
      const put = await send('PUT', one, { customer: 2, item: 'Loom' });
      assert.deepEqual(put.body, { ...made.body, customer: 2, item: 'Loom' });
      const same = await send('PATCH', one, {});
      assert.deepEqual([same.status, same.body], [200, put.body]);
      const gone = await send('DELETE', one);
      assert.equal(gone.status, 204);
      assert.deepEqual([(await send('DELETE', one)).status, (await send('GET', one)).status], [404, 404]);
      assert.equal((await send('PATCH', one, {}, { 'If-Match': '*' })).status, 412);
      const { body: log } = await send('GET', `${server.url}/api/events?lastEventId=${first}`);
      const source = `/watch/orders/${id}`;
      assert.deepEqual(
        log.events.map(({ id: _, time: __, specversion: ___, ...event }: Record<string, unknown>) => event),
        [
          { type: 'orders.created', source, data: made.body },
          { type: 'orders.updated', source, data: changed.body },
          { type: 'orders.updated', source, data: put.body },
          { type: 'orders.deleted', source, data: put.body },
        ],
      );
      const positions = [made, changed, put, gone].map(({ headers }) => headers.get('last-event-id'));
      assert.deepEqual(
        log.events.map((event: { id: string }) => event.id),
        positions,
        'each answer names its event',
      );
    });

    test('/openapi.json tells of the orders as of the customers, with the names of their fields', async () => {
      const { paths, components, tags } = (await send('GET', `${server.url}/openapi.json`)).body;
      for (const end of ['', '/{id}'])
        assert.deepEqual(
          Object.keys(paths[`/api/orders${end}`]),
          Object.keys(paths[`/api/customers${end}`]),
          'the same methods',
        );
      const ids = Object.values<Record<string, { operationId?: string }>>(paths).flatMap((path) =>
        Object.values(path).flatMap(({ operationId }) => operationId ?? []),
      );
      assert.equal(new Set(ids).size, ids.length, 'each operation has a name of its own');
      assert.equal(paths['/api/orders'].post.operationId, 'createOrder');
      assert.deepEqual(components.schemas.NewOrder.required, ['customer', 'item']);
      assert.ok(tags.some(({ name }: { name: string }) => name === 'Orders'));
    });

    test('what is wrong is named, nothing of it is stored, and a repeat with its key is one order', async () => {
      const before = (await send('GET', path)).body.orders.length;
      const bad = await send('POST', path, { customer: 'Ada', quantity: 0, colour: 'red', id: 7 });
      assert.equal(bad.status, 422);
      assert.deepEqual(bad.body.errors, [
        { pointer: '#/item', detail: 'is required' },
        { pointer: '#/customer', detail: 'must be the id of a customer' },
        { pointer: '#/quantity', detail: 'must be an integer from 1 to 1000' },
        { pointer: '#/colour', detail: 'is not a field of an order' },
      ]);
      assert.equal((await send('GET', path)).body.orders.length, before);
      const key = { 'Idempotency-Key': 'an-order' };
      const [first, second] = [
        await send('POST', path, { customer: 1, item: 'Card' }, key),
        await send('POST', path, { customer: 1, item: 'Card' }, key),
      ];
      assert.deepEqual(second!.body, first!.body);
      assert.equal(second!.headers.get('idempotency-replayed'), 'true');
      assert.equal((await send('GET', path)).body.orders.length, before + 1);
    });

    test('pages follow each other, and a LiveTable is the table', async () => {
      const all = Array.from({ length: 7 }, (_, i) => send('POST', path, { customer: 1, item: `item ${i}` }));
      await Promise.all(all);
      const rows: { id: number }[] = [];
      for (let next: string | null = '/api/orders?limit=3'; next; ) {
        const { body } = await send('GET', server.url + next);
        rows.push(...body.orders);
        next = body.next;
      }
      const table = new LiveTable<{ id: number }>(`${server.url}/api/watch/orders`, { WebSocket });
      await within(table.ready, 'the table');
      assert.deepEqual([...table.values()], rows);
      const { body, headers } = await send('POST', path, { customer: 1, item: 'the last' });
      await within(table.reached(headers.get('last-event-id')!), 'the last one');
      assert.deepEqual(table.get(body.id), body);
      table.close();
    });
  });
}

test('what another program orders is announced too', async () => {
  const server = await start();
  const db = openDatabase(server.databaseFile);
  db.exec("INSERT INTO orders (customer, item, quantity) VALUES (1, 'by hand', 2)");
  db.close();
  const log = await eventually(
    () => fetch(`${server.url}/api/events`).then((response) => response.json()),
    ({ events }) => events.length > 0,
    'the event',
  );
  assert.deepEqual([log.events[0].type, log.events[0].data.item], ['orders.created', 'by hand']);
  await server.stop();
});

test('the page has a line of the orders, which follows them', needsChromium, async () => {
  const server = await start();
  const { page, faults } = await openPage(server.url);
  const order = (item: string) =>
    fetch(`${server.url}/api/orders`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ customer: 1, item, quantity: 2 }),
    });
  await order('Engine');
  await page.getByText('1 order, the newest of 2 × Engine').waitFor();
  await order('Loom');
  await page.getByText('2 orders, the newest of 2 × Loom').waitFor();
  assert.deepEqual(faults, []);
  await server.stop();
});
