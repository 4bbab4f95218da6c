// Other programs on the same database: what they commit is announced like anything else, since it is
// triggers that write the event. Here the other program is a second SQLite connection, or a second server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type Database from 'better-sqlite3';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  connect,
  eventually,
  get,
  openEventStream,
  post,
  put,
  range,
  type Server,
  seqOf,
  seqsOf,
  startServer,
} from '../support/helpers.ts';

let server: Server;
let db: Database.Database;
before(async () => {
  server = await startServer();
  db = openDatabase(server.databaseFile, { timeout: 5000 });
});
after(async () => {
  db.close();
  await server.stop();
});

test('an update is one event, also of a writer that has set recursive_triggers', async () => {
  const client = await connect(server.wsUrl);
  await client.next();
  db.pragma('recursive_triggers = ON');
  db.exec(
    "INSERT INTO customers (name) VALUES ('once'); UPDATE customers SET name = 'twice' WHERE name = 'once'",
  );
  db.pragma('recursive_triggers = OFF');
  const { body: last } = await post(`${server.url}/api/events`, { type: 'last' });
  await client.event(last.id);
  assert.deepEqual(
    client.events().map(({ type }) => type),
    ['customer.created', 'customer.updated', 'last'],
  );
  await client.close();
});

test('the id of a customer stays, by whichever of its names SQLite is asked to change it', () => {
  db.exec("INSERT INTO customers (name) VALUES ('stays')");
  for (const name of ['id', 'rowid', 'oid', '_rowid_'])
    assert.throws(
      () => db.exec(`UPDATE customers SET ${name} = ${name} + 1000 WHERE name = 'stays'`),
      /id of a customer cannot be changed/,
      name,
    );
});

test('a customer whose deletion another program ignores, or undoes, is not told as deleted', async () => {
  const client = await connect(server.wsUrl, { query: { types: 'customer.*' } });
  await client.next();
  const ours = db
    .prepare<[], string>("SELECT sql FROM sqlite_schema WHERE name = 'changebell_customer_deleted'")
    .pluck()
    .get();
  // Made last, ours is the first that SQLite runs: so an upgrade may leave it.
  db.exec(`CREATE TRIGGER kept BEFORE DELETE ON customers WHEN OLD.name = 'kept' BEGIN SELECT RAISE(IGNORE); END;
    DROP TRIGGER changebell_customer_deleted; ${ours};
    CREATE TRIGGER back AFTER DELETE ON customers WHEN OLD.name = 'back' BEGIN
      INSERT INTO customers (id, name) VALUES (OLD.id, 'again');
    END`);
  db.exec(`INSERT INTO customers (name) VALUES ('kept'), ('back'), ('gone');
    DELETE FROM customers WHERE name IN ('kept', 'back', 'gone'); DROP TRIGGER kept; DROP TRIGGER back`);
  const heard = [];
  for (const _ of range(1, 5)) heard.push(await client.nextEvent());
  assert.deepEqual(
    heard.map(({ type, data }) => `${type.slice(9)} ${data.name}`),
    ['created kept', 'created back', 'created gone', 'created again', 'deleted gone'],
  );
  await client.close();
});

test('a customer that gives way under another program’s UNIQUE index is told as deleted', async () => {
  db.exec('CREATE UNIQUE INDEX app_email ON customers (email)');
  const find = db
    .prepare("SELECT count(*) FROM sqlite_schema WHERE name GLOB 'changebell_watch_customers_*'")
    .pluck();
  await eventually(
    () => Number(find.get()),
    (many) => many > 0,
    'triggers know of the index',
    1500,
  );
  db.exec("INSERT INTO customers (name, email) VALUES ('p', 'p@x'), ('q', 'q@x')");
  const client = await connect(server.wsUrl);
  await client.next();
  db.exec("UPDATE OR REPLACE customers SET email = 'p@x' WHERE name = 'q'");
  const heard = [await client.nextEvent(), await client.nextEvent()].map(
    ({ type, data }) => `${type} ${data.name}`,
  );
  assert.deepEqual(heard.sort(), ['customer.deleted p', 'customer.updated q']);
  db.exec('DROP INDEX app_email');
  await client.close();
});

test('a row that another program inserts, updates and deletes is announced within 250 ms', async () => {
  const client = await connect(server.wsUrl);
  await client.next();
  const expectEvent = async (sql: string, type: string) => {
    db.exec(sql);
    const committedAt = performance.now();
    const event = await client.nextEvent();
    const waitedMs = performance.now() - committedAt;
    assert.equal(event.type, type);
    assert.ok(waitedMs < 250 + 100, `${type} after ${waitedMs} ms`); // 100 ms for a busy test machine
    return event;
  };
  const created = await expectEvent(
    "INSERT INTO customers (name, email) VALUES ('Grace', 'grace@example.com')",
    'customer.created',
  );
  const { id } = created.data;
  assert.equal(created.source, `/api/customers/${id}`);
  assert.deepEqual((await get(`${server.url}/api/customers/${id}`)).body, created.data);
  const updated = await expectEvent(
    `UPDATE customers SET name = 'Grace Hopper' WHERE id = ${id}`,
    'customer.updated',
  );
  assert.deepEqual([updated.data.name, updated.data.email], ['Grace Hopper', 'grace@example.com']);
  assert.deepEqual((await get(`${server.url}/api/customers/${id}`)).body, updated.data);
  const deleted = await expectEvent(`DELETE FROM customers WHERE id = ${id}`, 'customer.deleted');
  assert.deepEqual(deleted.data, updated.data);
  await client.close();
});

test('what is rolled back, or changes nothing, is not announced', async () => {
  const id = db.prepare("INSERT INTO customers (name) VALUES ('Same')").run().lastInsertRowid;
  const client = await connect(server.wsUrl);
  await client.next();
  db.exec("BEGIN; INSERT INTO customers (name) VALUES ('Never'); ROLLBACK");
  db.exec(`UPDATE customers SET name = name WHERE id = ${id}`);
  const { body: next } = await post(`${server.url}/api/events`, { message: 'next' });
  let event = await client.nextEvent();
  while (event.type === 'customer.created' && event.data.name === 'Same') event = await client.nextEvent();
  assert.deepEqual(event, next);
  await client.close();
});

test('a transaction of many rows is announced whole and in order, to both transports', async () => {
  const [socket, stream] = [await connect(server.wsUrl), await openEventStream(`${server.url}/api/events`)];
  const first = seqOf((await socket.next()).id) + 1;
  await stream.next();
  const insert = db.prepare('INSERT INTO customers (name) VALUES (?)');
  db.transaction(() => {
    for (const number of range(1, 2000)) insert.run(`row ${number}`);
  })();
  for (const client of [socket, stream]) {
    await client.until((frame) => seqOf(frame.id) === first + 1999);
    const events = client.events();
    assert.deepEqual(seqsOf(events), range(first, first + 1999));
    assert.deepEqual(
      events.map((event) => event.data.name),
      range(1, 2000).map((number) => `row ${number}`),
    );
  }
  stream.close();
  await socket.close();
});

test('a row put into the log itself is an event', async () => {
  const client = await connect(server.wsUrl);
  const { id: before } = await client.next();
  db.prepare('INSERT INTO changebell_events (type, source, data) VALUES (?, ?, ?)').run(
    'order.shipped',
    '/shop/7',
    '{\n "id": 7\r\n}',
  );
  const event = await client.nextEvent();
  assert.deepEqual([event.type, event.source, event.data], ['order.shipped', '/shop/7', { id: 7 }]);
  const stream = await openEventStream(`${server.url}/api/events?lastEventId=${before}`);
  assert.deepEqual(await stream.nextEvent(), event, 'line breaks in the JSON break no event stream');
  stream.close();
  await client.close();
});

test('the log refuses what is no event, and what would rewrite history', async () => {
  const insert = db.prepare('INSERT INTO changebell_events (type, source, data) VALUES (?, ?, ?)');
  const bad: [string, string, string][] = [
    ['stream.ready', '/x', 'null'],
    ['Upper', '/x', 'null'],
    ['', '/x', 'null'],
    ['a b', '/x', 'null'],
    ['a', '/x', 'not json'],
    ['a', '', 'null'],
    ['a', 'white space', 'null'],
    ['a', '/x', '1\0 is no JSON'],
    ['a"', '/x', 'null'],
  ];
  for (const row of bad) assert.throws(() => insert.run(...row), /constraint/i, row.join(' | '));
  assert.throws(() => db.exec("UPDATE changebell_events SET type = 'other'"));
  assert.throws(() => db.exec("INSERT INTO changebell_events (seq, type) VALUES (1, 'a')"));
  assert.equal((await get(`${server.url}/healthz`)).status, 200);
});

test('two servers on one file announce what either of them commits, with the same ids', async () => {
  const second = await startServer({ DATABASE_URL: server.databaseFile });
  const clients = [await connect(server.wsUrl), await connect(second.wsUrl)];
  const first = seqOf((await clients[0]!.next()).id) + 1;
  await clients[1]!.next();
  const posts = range(1, 40).map((number) =>
    post(`${(number % 2 ? server : second).url}/api/customers`, { name: `customer ${number}` }),
  );
  for (const answer of await Promise.all(posts)) assert.equal(answer.status, 201, answer.text);
  for (const client of clients) {
    await client.until((frame) => seqOf(frame.id) === first + 39);
    assert.deepEqual(seqsOf(client.events()), range(first, first + 39));
  }
  assert.deepEqual(clients[0]!.events(), clients[1]!.events());

  const last = clients[0]!.events().at(-1)!;
  const moved = await put(`${second.url}${last.source}`, { name: 'Moved' });
  assert.equal(moved.status, 200);
  const resumed = await connect(second.wsUrl, { query: { lastEventId: last.id } });
  assert.deepEqual((await resumed.nextEvent()).data, moved.body);
  await Promise.all([...clients, resumed].map((client) => client.close()));
  await second.stop();
});

test('a database locked by another program makes writes 503 with Retry-After, while reads and streams go on', async () => {
  const client = await connect(server.wsUrl);
  await client.next();
  db.exec('BEGIN IMMEDIATE');
  try {
    const refused = await post(`${server.url}/api/customers`, { name: 'Locked out' });
    assert.equal(refused.status, 503, refused.text);
    assert.match(refused.headers.get('retry-after')!, /^\d+$/);
    assert.match(refused.headers.get('content-type')!, /^application\/problem\+json/);
    assert.equal((await get(`${server.url}/api/customers?limit=1`)).status, 200);
  } finally {
    db.exec('ROLLBACK');
  }
  const { body, status } = await post(`${server.url}/api/customers`, { name: 'In again' });
  assert.equal(status, 201);
  assert.deepEqual((await client.nextEvent()).data, body);
  assert.equal(db.prepare("SELECT count(*) FROM customers WHERE name = 'Locked out'").pluck().get(), 0);
  await client.close();
});
