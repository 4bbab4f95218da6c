// A LiveTable is the table: whatever is written by whom, cut, killed, pruned or restored. And no row of it ever
// shows what was never true of that row, or goes back to what it was before.
import assert from 'node:assert/strict';
import { copyFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { WebSocket } from 'ws';
import { LiveTable } from '../../public/changebell.js';
import { fakeStream } from '../support/fake-stream.ts';
import {
  del,
  eventually,
  get,
  patch,
  post,
  type Server,
  startServer,
  temporaryFolder,
  within,
} from '../support/helpers.ts';

type Customer = { id: number; name: string; email: string | null; createdAt: string; updatedAt: string };
type Engine = Awaited<ReturnType<typeof onSqlite>>;

const SEED = Number(process.env.SEED ?? Date.now() % 1e9);
const ENV = { HEARTBEAT_SECONDS: '1', EVENT_RETENTION: '30' };
const ROWS = 520; // more than one page

const tables = new Set<LiveTable<Customer>>();
let world: Engine;
before(async () => {
  world = await onSqlite();
});
after(async () => {
  for (const table of tables) table.close();
  await world.server().stop();
});

/** The program, a writer beside it, and a witness in the database itself: every state that a row ever had. */
async function onSqlite() {
  let server: Server = await startServer(ENV);
  const file = server.databaseFile;
  const db = new Database(file);
  db.exec(`CREATE TABLE witness (n INTEGER PRIMARY KEY, key TEXT, state TEXT);
    CREATE TRIGGER witness AFTER INSERT ON changebell_events WHEN NEW.source GLOB '/api/customers/*' BEGIN
      INSERT INTO witness (key, state)
      VALUES (substr(NEW.source, 16), iif(NEW.type GLOB '*.deleted', 'gone', NEW.data));
    END`);
  return {
    server: () => server,
    /** SQL by another program. */
    write: (sql: string, ...values: unknown[]) => void db.prepare(sql).run(...values),
    states(): Map<string, string[]> {
      const all = new Map<string, string[]>();
      const rows = db.prepare('SELECT key, state FROM witness ORDER BY n').all() as {
        key: string;
        state: string;
      }[];
      for (const { key, state } of rows) all.set(key, [...(all.get(key) ?? []), state]);
      return all;
    },
    async crash() {
      await server.kill9();
      server = await startServer({ ...ENV, PORT: String(server.port), DATABASE_URL: file });
    },
  };
}

/** A table, and what it told of each row. */
function open(server: Server, transport: 'WebSocket' | 'server-sent events') {
  const stream = transport === 'WebSocket' ? undefined : `${server.url}/api/events`;
  const table = new LiveTable<Customer>(`${server.url}/api/customers`, {
    WebSocket,
    ...(stream ? { stream } : {}),
  });
  tables.add(table);
  const told = new Map<string, string[]>();
  table.addEventListener('change', ({ key, row, before }) => {
    assert.deepEqual(row, table.get(key));
    assert.notDeepEqual(row, before);
    told.set(key, [...(told.get(key) ?? []), row ? JSON.stringify(row) : 'gone']);
  });
  return { table, told };
}

async function list({ url }: Server) {
  const rows = new Map<string, Customer>();
  let lastEventId = '';
  for (let next = '/api/customers?limit=500'; next; ) {
    const { body } = await get(url + next);
    for (const customer of body.customers) rows.set(String(customer.id), customer);
    lastEventId = body.lastEventId;
    next = body.next;
  }
  return { rows, lastEventId };
}

const sorted = (rows: Iterable<[string, Customer]>) => [...rows].sort(([a], [b]) => Number(a) - Number(b));

/** It is the table, at the very moment at which it says that it has reached the newest position. */
async function assertIsTable(table: LiveTable<Customer>, server: Server, when: string) {
  await within(table.ready, `ready: ${table.state} ${table.stream.closeReason}`, 10_000);
  const { rows, lastEventId } = await list(server);
  await within(
    table.reached(lastEventId),
    `${lastEventId} from ${table.stream.lastEventId}, ${table.state}`,
    10_000,
  );
  assert.deepEqual(sorted(table), sorted(rows), when);
}

/** These states, in this order, perhaps not all of them. */
function isPartOf(told: string[], states: string[]): boolean {
  let at = 0;
  return told.every((state) => {
    at = states.indexOf(state, at) + 1;
    return at > 0;
  });
}

const pick = fc.nat(ROWS * 2);
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ does: fc.constantFrom('add', 'rename', 'remove'), row: pick }) },
    {
      weight: 4,
      arbitrary: fc.record({
        does: fc.constantFrom('addOutside', 'renameOutside', 'removeOutside'),
        row: pick,
      }),
    },
    { weight: 2, arbitrary: fc.record({ does: fc.constantFrom('cut', 'disconnect', 'burst'), row: pick }) },
    { weight: 1, arbitrary: fc.record({ does: fc.constantFrom('openLate', 'crash'), row: pick }) },
  ),
  { minLength: 5, maxLength: 25 },
);

test('after any story every copy is the table, and no row ever showed what was not true of it', async () => {
  world.write(
    `INSERT INTO customers (name) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
     SELECT 'row ' || i FROM n`,
  );
  const copies = [open(world.server(), 'WebSocket'), open(world.server(), 'server-sent events')];
  const url = (row: number) => `${world.server().url}/api/customers/${1 + row}`;
  let writes = 0;
  const deeds: Record<string, (row: number) => unknown> = {
    add: () => post(`${world.server().url}/api/customers`, { name: `added ${writes}` }),
    rename: (row) => patch(url(row), { name: `renamed ${writes}` }),
    remove: (row) => del(url(row)),
    addOutside: () => world.write('INSERT INTO customers (name) VALUES (?)', `added outside ${writes}`),
    renameOutside: (row) =>
      world.write('UPDATE customers SET name = ? WHERE id % 3 = ? % 3 AND id < 30', `outside ${writes}`, row),
    removeOutside: (row) => world.write('DELETE FROM customers WHERE id = ?', 1 + row),
    cut: (row) => copies[row % copies.length]?.table.stream.send('{"lab":"cut"}'),
    disconnect: (row) => copies[row % copies.length]?.table.stream.disconnect(),
    // More than is kept, while some are away: they have to begin anew.
    burst: () => world.write('UPDATE customers SET name = ? WHERE id > 480 AND id <= 560', `burst ${writes}`),
    openLate: (row) =>
      copies.length < 6 && copies.push(open(world.server(), row % 2 ? 'WebSocket' : 'server-sent events')),
    crash: () => world.crash(),
  };
  await fc.assert(
    fc.asyncProperty(steps, async (story) => {
      const underWay: Promise<unknown>[] = [];
      for (const { does, row } of story) {
        writes += 1;
        const deed = Promise.resolve(deeds[does]?.(row));
        underWay.push(deed.catch(() => {})); // a write of a server that crashes may fail
        if (does === 'crash' || row % 2) await deed; // the others go on at once
      }
      await Promise.all(underWay); // none may come after the look below
      await post(`${world.server().url}/api/customers`, { name: 'the end of a story' });
      const context = story.map(({ does, row }) => `${does} ${row}`).join(', ');
      for (const { table } of copies) await assertIsTable(table, world.server(), context);
      const states = world.states();
      for (const { told } of copies)
        for (const [key, seen] of told)
          assert.ok(
            isPartOf(seen, states.get(key) ?? []),
            `${key}: ${seen} is not part of ${states.get(key)}: ${context}`,
          );
    }),
    {
      seed: SEED,
      numRuns: Number(process.env.PROPERTY_RUNS || 6),

      endOnFailure: true,
      includeErrorInReport: true,
    },
  );
});

test('a backup that is restored: the copy is the table again', async () => {
  const server = await startServer(ENV);
  const backup = `${temporaryFolder()}/backup.db`;
  await post(`${server.url}/api/customers`, { name: 'kept' });
  const db = new Database(server.databaseFile);
  await db.backup(backup);
  db.close();
  const { table } = open(server, 'WebSocket');
  await table.ready;
  for (const name of ['lost 1', 'lost 2', 'lost 3']) await post(`${server.url}/api/customers`, { name });
  await assertIsTable(table, server, 'before');
  assert.equal(table.size, 4);
  await server.kill9();
  for (const end of ['-wal', '-shm']) rmSync(server.databaseFile + end, { force: true });
  copyFileSync(backup, server.databaseFile);
  const restored = await startServer({
    ...ENV,
    PORT: String(server.port),
    DATABASE_URL: server.databaseFile,
  });
  await post(`${restored.url}/api/customers`, { name: 'afterwards' });
  await eventually(
    () => table.size,
    (size) => size === 2,
    'the rows that are there',
  );
  await assertIsTable(table, restored, 'after');
  table.close();
  await restored.stop();
});

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

test('a watched table: its keys are those of its events, and events that only look alike change nothing', async (t) => {
  const rows = [
    { tenant: 'a', no: 1 },
    { tenant: 'b/c', no: 2 },
  ];
  const api = createServer((_, response) => {
    response.end(JSON.stringify({ rows, keys: ['a,1', 'b%2Fc,2'], lastEventId: 'abcdef-1', next: null }));
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
  assert.equal(asked[0]?.get('types'), 'order_lines.*');
  assert.equal(asked[0]?.get('sources'), '/watch/Order%20lines/*');
  table.close();
});

test('a table that is not there, or not for this token, says so', async () => {
  const locked = await startServer({ API_TOKEN: 'open-sesame' });
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
