// Each write of a batch stands alone: whatever rule of another program one of them breaks, and whenever SQLite finds
// out, it gets its own answer and the others theirs; and there is no row without its event.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type Database from 'better-sqlite3';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { del, eventually, get, post, range } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';

let server: OpenServer;
let db: Database.Database;
const open = async () => {
  server = await openServer();
  db = openDatabase(server.databaseFile, { timeout: 5000 });
};
const close = async () => {
  db.close();
  await server.stop();
};
before(open);
after(close);

/** After a rule was broken, writes don't go together for a while: a new server suspects nobody. */
const openAnew = async () => {
  await close();
  await open();
};

test('each of many writes at once gets what it wrote, and the id of the event that says so', async () => {
  const write = (n: number) =>
    n % 3 === 0
      ? post(`${server.url}/api/events`, { type: 'order.placed', data: { name: `${n}` } })
      : post(`${server.url}/api/customers`, { name: `${n}` });
  const answers = await Promise.all(range(1, 60).map(write));
  const event = db.prepare<[number], string>('SELECT data FROM changebell_events WHERE seq = ?').pluck();
  for (const [i, { body, headers }] of answers.entries()) {
    const written = body.data ?? body;
    assert.equal(written.name, `${i + 1}`, `the answer to write ${i + 1} is that of another`);
    const seq = Number(headers.get('last-event-id')?.split('-')[1]);
    assert.deepEqual(JSON.parse(event.get(seq) ?? 'null'), written, `its event is not at ${seq}`);
  }
});

test("what another program's trigger makes of a customer is what the caller is told", async () => {
  db.exec(`CREATE TRIGGER theirs AFTER INSERT ON customers WHEN NEW.email <> lower(NEW.email)
    BEGIN UPDATE customers SET email = lower(email) WHERE id = NEW.id; END`);
  const write = (n: number) =>
    post(`${server.url}/api/customers`, {
      name: 'x',
      email: n % 2 ? `A${n}@example.com` : `a${n}@example.com`,
    });
  const answers = await Promise.all(range(1, 20).map(write));
  db.exec('DROP TRIGGER theirs');
  assert.deepEqual(
    answers.map(({ body }) => body.email),
    range(1, 20).map((n) => `a${n}@example.com`),
  );
});

/** What is sent at once, one that breaks the rule among twenty that don't: its status, and theirs. */
async function sendTogether(bad: () => Promise<{ status: number }>) {
  const good = (n: number) => post(`${server.url}/api/customers`, { name: `good ${n}` });
  const answers = await Promise.all([...range(1, 10).map(good), bad(), ...range(11, 20).map(good)]);
  const statuses = answers.map(({ status }) => status);
  const [ofBad] = statuses.splice(10, 1);
  assert.deepEqual(new Set(statuses), new Set([201]), 'the answers to those that break no rule');
  return ofBad;
}

const count = (sql: string) => db.prepare<[], number>(`SELECT count(*) FROM ${sql}`).pluck().get()!;

const RULES: [string, string, number][] = [
  ['RAISE(ABORT)', "SELECT RAISE(ABORT, 'no') WHERE NEW.name = 'bad'", 409],
  ['RAISE(FAIL)', "SELECT RAISE(FAIL, 'no') WHERE NEW.name = 'bad'", 409],
  ['RAISE(ROLLBACK)', "SELECT RAISE(ROLLBACK, 'no') WHERE NEW.name = 'bad'", 409],
  ['RAISE(IGNORE)', "SELECT RAISE(IGNORE) WHERE NEW.name = 'bad'", 409],
];

for (const [rule, sql, status] of RULES) {
  test(`a write that a trigger refuses with ${rule} is refused alone`, async () => {
    await openAnew();
    db.exec(`CREATE TRIGGER theirs AFTER INSERT ON customers BEGIN ${sql}; END`);
    try {
      const bad = () => post(`${server.url}/api/customers`, { name: 'bad' });
      for (const _ of [1, 2, 3]) assert.equal(await sendTogether(bad), status);
    } finally {
      db.exec('DROP TRIGGER theirs');
    }
    assert.equal(count("customers WHERE name = 'bad'"), 0, 'the refused row is there');
    assert.equal(
      count("changebell_events WHERE json_extract(data, '$.name') = 'bad'"),
      0,
      'its event is there',
    );
    assert.equal(
      count("customers WHERE name LIKE 'good%'"),
      60,
      'rows of the others, of which each is there once',
    );
    assert.equal(count('customers'), count("changebell_events WHERE type = 'customer.created'"));
  });

  test(`a published event that a trigger on the log refuses with ${rule} is refused alone`, async () => {
    await openAnew();
    const onType = sql.replace('NEW.name', 'NEW.type');
    db.exec(`CREATE TRIGGER theirs BEFORE INSERT ON changebell_events BEGIN ${onType}; END`);
    const publish = (type: string) => post(`${server.url}/api/events`, { type });
    const answers = await Promise.all(range(1, 21).map((n) => publish(n === 11 ? 'bad' : 'good')));
    db.exec('DROP TRIGGER theirs');
    const statuses = answers.map((answer) => answer.status);
    assert.deepEqual(
      statuses,
      range(1, 21).map((n) => (n === 11 ? status : 201)),
    );
    assert.equal(count("changebell_events WHERE type = 'good'"), 20);
    assert.equal(count("changebell_events WHERE type = 'bad'"), 0);
  });
}

test('a foreign key that is checked at COMMIT refuses the one delete that breaks it', async () => {
  await openAnew();
  const { body } = await post(`${server.url}/api/customers`, { name: 'has an invoice' });
  db.exec(`CREATE TABLE invoices (id integer PRIMARY KEY,
    customer integer REFERENCES customers (id) DEFERRABLE INITIALLY DEFERRED)`);
  db.prepare('INSERT INTO invoices (customer) VALUES (?)').run(body.id);
  try {
    assert.equal(await sendTogether(() => del(`${server.url}/api/customers/${body.id}`)), 409);
  } finally {
    db.exec('DROP TABLE invoices');
  }
  assert.equal(count(`customers WHERE id = ${body.id}`), 1);
  assert.equal(count(`changebell_events WHERE type = 'customer.deleted'`), 0);
});

test('of two equal writes under a UNIQUE index one is 201, the other 409', async () => {
  await openAnew();
  db.exec('CREATE UNIQUE INDEX theirs ON customers (email)');
  const twin = () => post(`${server.url}/api/customers`, { name: 'twin', email: 'twin@example.com' });
  const answers = await Promise.all([twin(), twin(), twin()]);
  db.exec('DROP INDEX theirs');
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 409, 409]);
  assert.equal(count("changebell_events WHERE json_extract(data, '$.name') = 'twin'"), 1);
});

test("another program's trigger that is broken makes the write 503, and nobody else's", async () => {
  await openAnew();
  db.exec(
    `CREATE TRIGGER theirs AFTER INSERT ON customers WHEN NEW.name = 'bad' BEGIN SELECT json('{'); END`,
  );
  const status = await sendTogether(() => post(`${server.url}/api/customers`, { name: 'bad' }));
  db.exec('DROP TRIGGER theirs');
  assert.equal(status, 503);
  assert.equal(count("customers WHERE name = 'bad'"), 0);
});

test("another program's trigger that was broken before the start keeps nobody from starting", async () => {
  const folder = await mkdtemp(join(tmpdir(), 'changebell-'));
  const databaseFile = join(folder, 'changebell.db');
  await (await openServer({ DATABASE_URL: databaseFile })).stop();
  const theirs = openDatabase(databaseFile);
  theirs.exec(
    'CREATE TRIGGER theirs AFTER INSERT ON customers BEGIN INSERT INTO nowhere VALUES (NEW.id); END',
  );
  theirs.close();
  const again = await openServer({ DATABASE_URL: databaseFile });
  const refused = await post(`${again.url}/api/customers`, { name: 'x' });
  assert.equal(refused.status, 503, refused.body.detail);
  assert.match(refused.body.detail, /rule that another program put into the database/);
  const published = await post(`${again.url}/api/events`, { message: 'x' });
  assert.equal(published.status, 201, 'what fires no broken trigger is written');
  await again.stop();
  await rm(folder, { recursive: true });
});

test('an event that a foreign key of another program holds stays in the log, and refuses nobody’s write', async () => {
  for (const when of ['', 'DEFERRABLE INITIALLY DEFERRED']) {
    const full = await openServer({ EVENT_RETENTION: '5' });
    const theirs = openDatabase(full.databaseFile, { timeout: 5000 });
    const write = (name: string) => post(`${full.url}/api/customers`, { name });
    await write('the first');
    theirs.exec(`CREATE TABLE notes (event INTEGER REFERENCES changebell_events (seq) ${when});
      INSERT INTO notes VALUES (1)`);
    for (const round of range(1, 4)) {
      const answers = await Promise.all(range(1, 10).map((n) => write(`${round} ${n}`)));
      for (const { status, text } of answers) assert.equal(status, 201, `${when}: ${text}`);
    }
    assert.equal((await get(`${full.url}/api/events?limit=1`)).body.events[0].data.name, 'the first');
    theirs.close();
    await full.stop();
  }
});

test('who breaks a rule at each COMMIT doesn’t keep the log from being pruned', async () => {
  const small = await openServer({ EVENT_RETENTION: '5' });
  const theirs = openDatabase(small.databaseFile, { timeout: 5000 });
  const write = (name: string) => post(`${small.url}/api/customers`, { name });
  const { body } = await write('has an invoice');
  theirs.exec(`CREATE TABLE invoices (customer integer REFERENCES customers (id) DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO invoices VALUES (${body.id})`);
  for (const _ of range(1, 4)) {
    const bad = del(`${small.url}/api/customers/${body.id}`);
    await Promise.all(range(1, 10).map((n) => write(`${n}`)));
    assert.equal((await bad).status, 409);
  }
  const oldest = async () =>
    Number((await get(`${small.url}/api/events?limit=1`)).body.events[0].id.split('-')[1]);
  await eventually(oldest, (seq) => seq > 30, 'of 41 events the oldest are gone');
  theirs.close();
  await small.stop();
});

test('every row has its event after all of this', () => {
  assert.equal(count('customers'), count("changebell_events WHERE type = 'customer.created'"));
});
