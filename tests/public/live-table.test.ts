// What a LiveTable does with answers and frames of every kind. That it is the table, whatever happens, is proved in
// `tests/proof/live-tables.test.ts`, with real servers and databases.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { SignJWT } from 'jose';
import { WebSocket } from 'ws';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { LiveTable } from '../../public/changebell.js';
import { fakeStream } from '../support/fake-stream.ts';
import { eventually, post, temporaryFolder } from '../support/helpers.ts';
import { openServer } from '../support/open-server.ts';

type Customer = { id: number; name: string; email: string | null; createdAt: string; updatedAt: string };

test('a snapshot of several pages, between which others write, is of one moment', async (t) => {
  const customers = (first: number, name: string) => [
    { id: first, name },
    { id: first + 1, name },
  ];
  const answers: Record<string, unknown> = {
    '/api/customers?limit=500': {
      customers: customers(1, 'old'),
      lastEventId: 'a-10',
      next: '/api/customers?after=2',
    },
    '/api/customers?after=2': { customers: customers(3, 'new'), lastEventId: 'b-12', next: null },
  };
  const asked: string[] = [];
  const event = (seq: number, row: number, name: string) => ({
    id: `c-${seq}`,
    source: `/api/customers/${row}`,
    type: 'customer.updated',
    data: { id: row, name },
  });
  const api = createServer((request, response) => {
    asked.push(request.url ?? '');
    const cursor = new URL(request.url ?? '', 'http://localhost').searchParams.get('lastEventId');
    const caughtUp = { 'a-10': [event(11, 1, 'new'), event(12, 3, 'new')], 'b-12': [] }[cursor ?? ''];
    response.end(
      JSON.stringify(answers[request.url ?? ''] ?? { events: caughtUp, lastEventId: 'd-13', more: false }),
    );
  }).listen(0);
  t.after(() => api.close());
  const { url, asked: streams } = await fakeStream(t, () => [['stream.ready', 13, { behind: 0 }]]);
  const table = new LiveTable(`http://localhost:${(api.address() as { port: number }).port}/api/customers`, {
    stream: url,
  });
  await table.ready;
  assert.deepEqual(
    [...table.values()].map(({ name }) => name),
    ['new', 'old', 'new', 'new'],
  );
  await eventually(() => streams.length, Boolean, 'the stream');
  assert.equal(streams[0]?.get('lastEventId'), 'd-13', 'the position that all rows are true at');
  assert.equal(asked.length, 4, 'the position of the second page was proved');
  table.close();
});

test('a table that is made anew between two pages of a snapshot is loaded again', async (t) => {
  let snapshots = 0;
  const api = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost');
    const row = (n: number) => ({ type: 'orders', rows: [{ n }], keys: [`${n}`] });
    const event = { id: 'b-2', source: '/watch/orders/*', type: 'orders.reset', data: null };
    const isFirst = pathname.startsWith('/api/watch') && !searchParams.has('after');
    if (isFirst) snapshots += 1;
    const [first, second] = snapshots === 1 ? ['a-1', 'b-2'] : ['b-2', 'b-2'];
    const page = isFirst
      ? { ...row(snapshots), lastEventId: first, next: '/api/watch/orders?after=1' }
      : { ...row(10 + snapshots), lastEventId: second, next: null };
    response.end(
      JSON.stringify(
        pathname === '/api/events' ? { events: [event], lastEventId: 'b-2', more: false } : page,
      ),
    );
  }).listen(0);
  t.after(() => api.close());
  const { url } = await fakeStream(t, () => [['stream.ready', 2, { behind: 0 }]]);
  const table = new LiveTable<{ n: number }>(
    `http://localhost:${(api.address() as { port: number }).port}/api/watch/orders`,
    { stream: url },
  );
  await table.ready;
  assert.deepEqual([...table.keys()], ['2', '12'], 'and nothing of the table that was');
  table.close();
});

test('a watched table: its keys are those of its events, and events that only look alike change nothing', async (t) => {
  const rows = [
    { tenant: 'a', no: 1 },
    { tenant: 'b/c', no: 2 },
  ];
  const api = createServer((_, response) => {
    response.end(
      JSON.stringify({
        type: 'order_lines',
        rows,
        keys: ['a,1', 'b%2Fc,2'],
        lastEventId: 'abcdef-1',
        next: null,
      }),
    );
  }).listen(0);
  t.after(() => api.close());
  const send = { source: '/watch/Order%20lines/a,1', data: { tenant: 'a', no: 1, paid: true } };
  const { url, asked } = await fakeStream(t, (_, response) => {
    const line = (seq: number, more: object) =>
      `data: ${JSON.stringify({ id: `abcdef-${seq}`, type: 'order_lines.updated', ...send, ...more })}\n\n`;
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write(line(1, { type: 'stream.ready', data: { behind: 4 } }));
    response.write(
      line(2, { type: 'forged.deleted' }) +
        line(3, { source: '/watch/other/a,1', type: 'order_lines.deleted' }),
    );
    response.write(
      line(4, {}) + line(5, { type: 'order_lines.deleted', source: '/watch/Order%20lines/b%2Fc,2' }),
    );
    return undefined;
  });
  const table = new LiveTable(
    `http://localhost:${(api.address() as { port: number }).port}/api/watch/Order%20lines`,
    { stream: url },
  );
  const changes: unknown[] = [];
  table.addEventListener('change', ({ key, row, before }) => changes.push({ key, row, before }));
  await table.ready;
  await table.reached('abcdef-5');
  assert.deepEqual([...table], [['a,1', send.data]]);
  assert.deepEqual(changes.slice(2), [
    { key: 'a,1', row: send.data, before: rows[0] },
    { key: 'b%2Fc,2', row: undefined, before: rows[1] },
  ]);
  assert.equal(asked[0]?.get('sources'), '/watch/Order%20lines/*');
  table.close();
});

test('a table that is not there, or not for this token, says so', async () => {
  const locked = await openServer({ API_TOKEN: 'open-sesame' });
  const missing = new LiveTable(`${locked.url}/api/watch/nothing`, { token: 'open-sesame', WebSocket });
  await assert.rejects(missing.ready, { status: 404 });
  const table = new LiveTable<Customer>(`${locked.url}/api/customers`, { token: 'wrong', WebSocket });
  await assert.rejects(table.ready, { status: 401, message: /wants its API token/ });
  assert.equal(table.state, 'refused');
  table.stream.token = 'open-sesame';
  await eventually(
    () => table.state,
    (state) => state === 'live',
    'live with the right token',
  );
  for (const { close } of [missing, table].map((one) => ({ close: () => one.close() }))) close();
  await locked.stop();
});

const SECRET = 'a secret of thirty-two bytes or more';

/** For a second, unless it is said otherwise. */
const sign = (changebell: object, seconds = 1) =>
  new SignJWT({ changebell })
    .setProtectedHeader({ alg: 'HS256' })
    .setAudience('changebell')
    .setExpirationTime(Date.now() / 1000 + seconds)
    .sign(new TextEncoder().encode(SECRET));

const FULL = { subscribe: ['customer.*'], write: true };

for (const [what, less] of [
  ['nothing of it any more', { subscribe: ['orders.*'] }],
  ['only some of its changes', { subscribe: ['customer.created', 'customer.updated'] }],
  ['only one of its rows', { subscribe: ['customer.*'], sources: ['/api/customers/1'] }],
] as const)
  for (const transport of ['a WebSocket', 'server-sent events'])
    test(`a token that is renewed and sees ${what} ends the table as refused, over ${transport}`, async () => {
      const server = await openServer({ JWT_SECRET: SECRET });
      const writer = { Authorization: `Bearer ${await sign(FULL, 60)}` };
      const add = (name: string) => post(`${server.url}/api/customers`, { name }, writer);
      await add('Ada');
      const tokens = [await sign(FULL), await sign(less, 60)];
      const table = new LiveTable<Customer>(`${server.url}/api/customers`, {
        token: () => tokens.shift() ?? '',
        WebSocket,
        ...(transport === 'server-sent events' && { stream: `${server.url}/api/events` }),
      });
      await table.ready;
      const state = () => table.state;
      await eventually(state, (is) => is === 'refused', 'it no longer claims to be live', 3000);
      assert.equal(table.stream.status, 403);
      assert.match(table.stream.detail ?? '', /may not read customer/);
      await add('Grace');
      table.stream.token = await sign(FULL, 60);
      await eventually(
        () => table.size,
        (size) => size === 2,
        'it goes on with what it missed',
      );
      table.close();
      await server.stop();
    });

test('a token that is renewed and sees as much goes on without a snapshot, however often', async () => {
  const server = await openServer({ JWT_SECRET: SECRET });
  const writer = { Authorization: `Bearer ${await sign(FULL, 60)}` };
  await post(`${server.url}/api/customers`, { name: 'Ada' }, writer);
  let asked = 0;
  const table = new LiveTable<Customer>(`${server.url}/api/customers`, {
    WebSocket,
    token: () => {
      asked += 1;
      return sign(FULL, asked < 3 ? 1 : 60);
    },
  });
  const told: unknown[] = [];
  table.addEventListener('change', ({ row }) => told.push(row?.name));
  await table.ready;
  await eventually(
    () => [asked, table.state],
    ([times, state]) => times === 3 && state === 'live',
    'two renewals',
    5000,
  );
  const { body } = await post(`${server.url}/api/customers`, { name: 'Grace' }, writer);
  await eventually(
    () => table.get(body.id)?.name,
    (name) => name === 'Grace',
    'it is followed',
  );
  assert.deepEqual(told, ['Ada', 'Grace']);
  table.close();
  await server.stop();
});

test('a token that is said while the table is live is that of the next snapshot, also before the next connection', async (t) => {
  const tokens: (string | undefined)[] = [];
  const api = createServer(({ headers }, response) => {
    tokens.push(headers.authorization);
    response.end(JSON.stringify({ customers: [], lastEventId: 'abcdef-1', next: null }));
  }).listen(0);
  t.after(() => api.close());
  const { url, send } = await fakeStream(t, () => [['stream.ready', 1, { behind: 0 }]]);
  const table = new LiveTable(`http://localhost:${(api.address() as { port: number }).port}/api/customers`, {
    stream: url,
    token: 'old',
  });
  await eventually(
    () => table.state,
    (state) => state === 'live',
    'live',
  );
  table.stream.token = 'new';
  send(['stream.reset', 1, { reason: 'expired' }]);
  await eventually(
    () => tokens.length,
    (many) => many === 2,
    'it is loaded again',
  );
  assert.deepEqual(tokens, ['Bearer old', 'Bearer new']);
  table.close();
});

test('a table that a proxy shows under a path of its own is read to its last page, and followed there', async (t) => {
  const asked: string[] = [];
  const page = (first: number, next: string | null) =>
    JSON.stringify({ customers: [{ id: first }], lastEventId: `abcdef-${first}`, next });
  const proxy = createServer(({ url = '' }, response) => {
    asked.push(url);
    const [, path] = /^\/api\/bell(\/.*)$/.exec(url) ?? [];
    if (!path) return response.writeHead(404).end();
    if (path.startsWith('/api/events?'))
      return response.end('{"events": [], "lastEventId": "abcdef-2", "more": false}');
    response.end(path.includes('after=1') ? page(2, null) : page(1, '/api/customers?limit=500&after=1'));
  }).listen(0);
  t.after(() => proxy.close());
  const handshake = once(proxy, 'upgrade');
  const table = new LiveTable<Customer>(
    `http://localhost:${(proxy.address() as { port: number }).port}/api/bell/api/customers`,
    { WebSocket },
  );
  await assert.doesNotReject(table.ready);
  assert.deepEqual([...table.keys()], ['1', '2']);
  const [{ url }, socket] = await handshake;
  assert.match(url, /^\/api\/bell\/ws\?lastEventId=abcdef-2&/);
  assert.ok(
    asked.every((one) => one.startsWith('/api/bell/api/')),
    asked.join(' '),
  );
  table.close();
  socket.destroy();
});

test('a table that is closed by a listener tells nothing more', async (t) => {
  const api = createServer((_, response) => {
    const customers = [{ id: 1 }, { id: 2 }, { id: 3 }];
    response.end(JSON.stringify({ customers, lastEventId: 'abcdef-1', next: null }));
  }).listen(0);
  t.after(() => api.close());
  const table = new LiveTable(`http://localhost:${(api.address() as { port: number }).port}/api/customers`);
  const told: string[] = [];
  table.addEventListener('change', ({ key }) => {
    told.push(key);
    table.close();
  });
  await table.ready;
  assert.deepEqual(told, ['1']);
});

test('a table of any name is followed, also where that takes long escapes in a URI', async () => {
  const DATABASE_URL = join(temporaryFolder(), 'shop.db');
  const db = openDatabase(DATABASE_URL);
  for (const name of ['Заказы покупателей за прошлый год', '100 % "ü/"', '名'.repeat(60)]) {
    const quoted = `"${name.replaceAll('"', '""')}"`;
    db.exec(
      `CREATE TABLE ${quoted} (id text PRIMARY KEY, n integer); INSERT INTO ${quoted} VALUES ('a,b', 1)`,
    );
    const server = await openServer({ DATABASE_URL, WATCH: name });
    const table = new LiveTable<{ n: number }>(`${server.url}/api/watch/${encodeURIComponent(name)}`, {
      WebSocket,
    });
    await table.ready;
    db.exec(`UPDATE ${quoted} SET n = 2`);
    await eventually(
      () => table.get('a%2Cb')?.n,
      (n) => n === 2,
      name,
    );
    table.close();
    await server.stop();
  }
  db.close();
});
