// Databases that older programs made are brought up to date at the start: events keep their ids, answers their keys,
// and what another program added stays. The fixtures are what `sqlite3 old.db .dump` says of each schema that was.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { temporaryFolder } from '../support/helpers.ts';
import { openStore } from '../support/open-store.ts';

const folder = temporaryFolder();
let count = 0;

const FIXTURES = [
  'version-1-first',
  'version-1-without-nul',
  'version-1-watch',
  'version-1-last',
  'version-2-strict',
  'version-2-short',
];

/** What SQLite has of everything, in any order and however it is laid out. */
const SCHEMA =
  "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*' ORDER BY name";

/** A database as an older program left it: three customers, and a log of which the newest three events are kept. */
function restore(name: string) {
  const path = join(folder, `${name}-${++count}.db`);
  const db = openDatabase(path, { timeout: 5000 });
  db.exec(readFileSync(new URL(`fixtures/sqlite-${name}.sql`, import.meta.url), 'utf8'));
  return { path, db };
}

async function makeFresh() {
  const path = join(folder, 'fresh.db');
  const db = openDatabase(path, { timeout: 5000 });
  db.exec('CREATE TABLE IF NOT EXISTS orders (id integer PRIMARY KEY, item text)');
  await (await openStore({ DATABASE_URL: path, WATCH: 'orders' })).close();
  return db.prepare(SCHEMA).all();
}

for (const name of FIXTURES) {
  test(`a database of ${name} becomes what a new one is, with the events that it had`, async () => {
    const { path, db } = restore(name);
    const idSql = name.startsWith('version-1')
      ? "SELECT name || '-' || seq FROM changebell_log, changebell_events ORDER BY seq"
      : "SELECT stamp || '-' || seq FROM changebell_events ORDER BY seq";
    const ids = db.prepare<[], string>(idSql).pluck().all();
    const customers = db.prepare('SELECT * FROM customers').all();
    assert.ok(ids.length >= 3);

    const store = await openStore({ DATABASE_URL: path, WATCH: 'orders' });
    assert.deepEqual(db.prepare(SCHEMA).all(), await makeFresh());
    assert.deepEqual(db.prepare('SELECT * FROM customers').all(), customers);
    const cursors = ids.map((id) => ({ stamp: id.split('-')[0]!, seq: Number(id.split('-')[1]) }));
    const { head, resets } = await store.position(cursors);
    assert.deepEqual(new Set(resets), new Set([undefined]), 'each old id can be resumed from');
    const { events } = await store.readEvents(cursors[0]!, head.seq, 100, 1e6);
    assert.deepEqual(
      events.slice(0, -1).map(({ seq }) => seq),
      cursors.slice(1).map(({ seq }) => seq),
    );
    assert.equal(events.at(-1)?.type, 'orders.reset', 'what became of the table meanwhile, nobody knows');

    const request = db.prepare<[], string>('SELECT request FROM changebell_idempotency').pluck().get()!;
    const event = { type: 'notification', source: '/api/events', data: '{}', extensions: null };
    const idempotency = { key: 'k', request };
    const replay = await store.write({ op: 'publish', events: [event], isList: false, idempotency });
    assert.equal(replay.isReplay, true);
    assert.equal(JSON.parse(replay.json).id, ids.at(-1));
    assert.equal(replay.lastEventId, ids.at(-1));

    const created = await store.write({ op: 'create', fields: { name: 'Eve', email: null } });
    assert.equal(JSON.parse(created.json).id, 5, 'the id of a customer is never used again');
    assert.match(created.lastEventId, new RegExp(`-${head.seq + 1}$`));
    db.exec("INSERT INTO orders (item) VALUES ('bell')");
    assert.equal((await store.position()).head.seq, head.seq + 2);
    await store.close();
    db.close();
  });
}

test('what another program has built on an old database is there after the upgrade, and works', async () => {
  const { path, db } = restore('version-1-last');
  db.exec(`CREATE TABLE invoices (id integer PRIMARY KEY, customer integer REFERENCES customers (id));
    INSERT INTO invoices VALUES (1, 1);
    CREATE VIEW names AS SELECT name FROM customers;
    CREATE INDEX their_index ON changebell_events (source);
    CREATE TABLE seen (seq); CREATE TRIGGER their_trigger AFTER INSERT ON changebell_events
      BEGIN INSERT INTO seen VALUES (NEW.seq); END`);
  const theirs =
    "SELECT name, sql FROM sqlite_schema WHERE name IN ('invoices', 'names', 'their_index', 'their_trigger', 'seen') ORDER BY 1";
  const before = db.prepare(theirs).all();
  const store = await openStore({ DATABASE_URL: path });
  assert.deepEqual(db.prepare(theirs).all(), before);
  assert.equal(
    db.prepare('SELECT count(*) FROM seen').pluck().get(),
    0,
    'old events were inserted once more',
  );
  await store.write({ op: 'update', id: 1, fields: { name: 'Ada King' } });
  assert.equal(db.prepare('SELECT count(*) FROM seen').pluck().get(), 1);
  assert.deepEqual(db.pragma('foreign_key_check'), []);
  assert.equal(db.prepare('SELECT max(name) FROM names WHERE name GLOB ?').pluck().get('Ada*'), 'Ada King');
  await store.close();
  db.close();
});
