// The files of a SQLite database, and what others do to them while the server runs: nothing is written into a file that
// nobody will find again, and what takes its place is found.
import assert from 'node:assert/strict';
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  connect,
  eventually,
  get,
  launch,
  post,
  range,
  seqOf,
  startServer,
  temporaryFolder,
  within,
} from '../support/helpers.ts';
import { openStore, refusalToStart } from '../support/open-store.ts';

const folder = temporaryFolder();
const fileOf = (name: string) => join(folder, `${name}.db`);

for (const ending of ['-wal', '-shm']) {
  test(`a ${ending} file that is removed is found out: what is 201 after that is there after kill -9`, async () => {
    const DATABASE_URL = fileOf(`removed${ending}`);
    const server = await startServer({ DATABASE_URL });
    await post(`${server.url}/api/events`, { message: 'before' });
    rmSync(DATABASE_URL + ending);
    const first = await post(`${server.url}/api/events`, { message: 'at once' });
    assert.equal(first.status, 503, first.text);
    assert.match(first.body.detail, new RegExp(`${ending} file`));
    const again = () => post(`${server.url}/api/events`, { message: 'later' });
    const answer = await eventually(again, ({ status }) => status === 201, 'a write is taken again', 1000);
    await server.kill9();
    const store = await openStore({ DATABASE_URL });
    const { head } = await store.position();
    assert.equal(`${head.stamp}-${head.seq}`, answer.body.id);
  });
}

test('what was 201 before the -wal was removed is there after kill -9 as soon as a write is refused for it', async () => {
  const DATABASE_URL = fileOf('rescued');
  const server = await startServer({ DATABASE_URL });
  for (const _ of range(1, 20)) await post(`${server.url}/api/events`, { data: 'x'.repeat(10_000) });
  const { body: last } = await post(`${server.url}/api/events`, { message: 'the last one' });
  rmSync(`${DATABASE_URL}-wal`);
  assert.equal((await post(`${server.url}/api/events`, { message: 'refused' })).status, 503);
  await server.kill9();
  const store = await openStore({ DATABASE_URL });
  const { head } = await store.position();
  assert.equal(`${head.stamp}-${head.seq}`, last.id);
});

test('a database file that is replaced is opened, and a stream of the old history is reset', async () => {
  const DATABASE_URL = fileOf('replaced');
  const server = await startServer({ DATABASE_URL });
  const client = await connect(server.wsUrl);
  await client.next();
  await post(`${server.url}/api/events`, { message: 'lost' });
  await client.nextEvent();
  const other = await openStore({ DATABASE_URL: fileOf('other') });
  const event = { type: 'other', source: '/x', data: 'null', extensions: null };
  for (const _ of range(1, 5)) await other.write({ op: 'publish', events: [event], isList: false });
  const { head } = await other.position();
  await other.close();
  renameSync(DATABASE_URL, fileOf('before'));
  renameSync(fileOf('other'), DATABASE_URL);
  const first = await post(`${server.url}/api/events`, { message: 'at once' });
  if (first.status === 201) assert.equal(seqOf(first.body.id), head.seq + 1, 'written into the old file');
  else assert.equal(first.status, 503, first.text);
  const reset = await client.until((frame) => frame.type === 'stream.reset');
  assert.ok(seqOf(reset.id) >= head.seq, reset.id);
  const { status, body } = await post(`${server.url}/api/events`, { message: 'new' });
  assert.equal(status, 201);
  assert.deepEqual(await client.event(body.id), body);
  await client.close();
  await server.stop();
  for (const [name, seq] of [
    ['before', 1],
    ['replaced', seqOf(body.id)],
  ] as const) {
    const db = openDatabase(fileOf(name));
    assert.equal(db.pragma('integrity_check', { simple: true }), 'ok');
    assert.equal(db.prepare('SELECT max(seq) FROM changebell_events').pluck().get(), seq, name);
    db.close();
  }
});

test('a database file that is gone makes writes 503; reads go on, and when it is back, writes do', async () => {
  const DATABASE_URL = fileOf('gone');
  const server = await startServer({ DATABASE_URL });
  await post(`${server.url}/api/events`, { message: 'before' });
  renameSync(DATABASE_URL, `${DATABASE_URL}.away`);
  assert.equal((await post(`${server.url}/api/events`, { message: 'gone' })).status, 503);
  assert.equal((await get(`${server.url}/readyz`)).status, 503);
  assert.equal((await get(`${server.url}/healthz`)).status, 200);
  renameSync(`${DATABASE_URL}.away`, DATABASE_URL);
  assert.equal((await post(`${server.url}/api/events`, { message: 'back' })).status, 201);
  await server.stop();
});

test('a database file that is emptied makes writes 503, until it has again what it had', async () => {
  const DATABASE_URL = fileOf('emptied');
  const server = await startServer({ DATABASE_URL });
  await post(`${server.url}/api/events`, { message: 'before' });
  const bytes = readFileSync(DATABASE_URL);
  truncateSync(DATABASE_URL);
  const refused = await post(`${server.url}/api/events`, { message: 'emptied' });
  assert.deepEqual(
    [refused.status, refused.body.detail],
    [503, 'The database file was emptied. Nothing was changed.'],
  );
  writeFileSync(DATABASE_URL, bytes);
  const back = await post(`${server.url}/api/events`, { message: 'back' });
  assert.equal(back.status, 201);
  await server.kill9();
  const store = await openStore({ DATABASE_URL });
  const { head } = await store.position();
  assert.equal(`${head.stamp}-${head.seq}`, back.body.id);
});

test('where another file took the place of the database and is gone again, no empty database is made', async () => {
  const DATABASE_URL = fileOf('garbage');
  const server = await startServer({ DATABASE_URL });
  await post(`${server.url}/api/events`, { message: 'before' });
  writeFileSync(fileOf('text'), 'this is a text');
  renameSync(DATABASE_URL, fileOf('kept'));
  renameSync(fileOf('text'), DATABASE_URL);
  const reason = async () => (await get(`${server.url}/readyz`)).body.detail;
  await eventually(reason, (detail) => /not a SQLite database/.test(detail), 'the reason is told', 3000);
  rmSync(DATABASE_URL);
  await eventually(reason, (detail) => /file is gone/.test(detail), 'it is not there, and not made', 3000);
  assert.equal((await post(`${server.url}/api/events`, { message: 'gone' })).status, 503);
  assert.equal(existsSync(DATABASE_URL), false);
  renameSync(fileOf('kept'), DATABASE_URL);
  const again = () => post(`${server.url}/api/events`, { message: 'back' });
  await eventually(again, ({ status }) => status === 201, 'a write is taken again', 3000);
  assert.equal((await get(`${server.url}/api/events`)).body.events.length, 2);
  await server.stop();
});

test('a view that has the name of one of our tables is refused, and stays', async () => {
  const DATABASE_URL = fileOf('view');
  await (await openStore({ DATABASE_URL })).close();
  const db = openDatabase(DATABASE_URL);
  db.exec(`DROP TABLE changebell_watching;
    CREATE VIEW changebell_watching AS SELECT 1 AS server, 2 AS watched, 3 AS until`);
  assert.match(await refusalToStart({ DATABASE_URL }), /changebell_watching is not as this program made it/);
  assert.equal(db.prepare('SELECT until FROM changebell_watching').pluck().get(), 3);
  db.close();
});

test('a start beside customers of which a column was renamed is one line, and breaks no other program', async () => {
  const DATABASE_URL = fileOf('renamed');
  await openStore({ DATABASE_URL }).then((store) => store.close());
  const db = openDatabase(DATABASE_URL);
  db.exec('ALTER TABLE customers RENAME COLUMN name TO full_name');
  for (const CUSTOMERS of ['1', '0'])
    assert.match(
      await refusalToStart({ DATABASE_URL, CUSTOMERS }),
      /that Changebell made, but without name: give/,
    );
  db.exec("INSERT INTO customers (full_name) VALUES ('Ada')");
  db.exec('ALTER TABLE customers RENAME COLUMN full_name TO name');
  db.close();
  const server = await startServer({ DATABASE_URL });
  assert.equal((await get(`${server.url}/api/customers/1`)).body.name, 'Ada');
  await server.stop();
});

test('a backup that is restored in place resets who is ahead of it, and nobody else', async () => {
  const DATABASE_URL = fileOf('restored');
  const server = await startServer({ DATABASE_URL });
  const db = openDatabase(DATABASE_URL, { timeout: 5000 });
  const { body: kept } = await post(`${server.url}/api/events`, { message: 'kept' });
  await db.backup(fileOf('backup'));
  db.close();
  const { body: lost } = await post(`${server.url}/api/events`, { message: 'lost' });
  await server.stop();
  for (const ending of ['-wal', '-shm']) rmSync(DATABASE_URL + ending, { force: true });
  copyFileSync(fileOf('backup'), DATABASE_URL);
  const again = await startServer({ DATABASE_URL });
  const { body: next } = await post(`${again.url}/api/events`, { message: 'next' });
  const goesOn = await get(`${again.url}/api/events?lastEventId=${kept.id}`);
  assert.deepEqual(goesOn.body.events, [next]);
  assert.equal((await get(`${again.url}/api/events?lastEventId=${lost.id}`)).status, 410);
  await again.stop();
});

test('two servers that watch different tables both announce what either names; CUSTOMERS=0 makes no customers', async () => {
  const DATABASE_URL = fileOf('watched');
  const db = openDatabase(DATABASE_URL, { timeout: 5000 });
  db.exec('CREATE TABLE a (id integer PRIMARY KEY, v); CREATE TABLE b (id integer PRIMARY KEY)');
  const one = await startServer({ DATABASE_URL, WATCH: 'a', CUSTOMERS: '0' });
  const two = await startServer({ DATABASE_URL, WATCH: 'b', CUSTOMERS: '0' });
  assert.equal((await get(`${one.url}/api/customers`)).status, 404);
  assert.equal(db.prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'customers'").pluck().get(), 0);
  const clients = [await connect(one.wsUrl), await connect(two.wsUrl)];
  for (const client of clients) await client.next();
  db.exec('INSERT INTO a (id) VALUES (1); INSERT INTO b VALUES (1)');
  for (const client of clients) {
    assert.equal((await client.nextEvent()).type, 'a.created');
    assert.equal((await client.nextEvent()).type, 'b.created');
  }
  await two.stop();
  db.prepare('INSERT INTO a VALUES (2, ?)').run('x'.repeat(1_100_000));
  const long = await clients[0]!.nextEvent();
  assert.deepEqual([long.source, long.data, long.truncated], ['/watch/a/2', { id: 2 }, true]);
  for (const client of clients) await client.close();
  await one.stop();
  db.close();
});

test('a backup that is put back under the server is pruned like any log, though it is shorter than the one before', async () => {
  const DATABASE_URL = fileOf('shorter');
  const server = await startServer({ DATABASE_URL, EVENT_RETENTION: '10', HEARTBEAT_SECONDS: '1' });
  const client = await connect(server.wsUrl);
  const db = openDatabase(DATABASE_URL, { timeout: 5000 });
  await db.backup(fileOf('short'));
  const { body: published } = await post(
    `${server.url}/api/events`,
    range(1, 300)
      .map(String)
      .map((message) => ({ message })),
  );
  // Whoever has not heard of what is lost need not be told.
  await client.until(({ id }) => id === published.at(-1).id);
  const backup = openDatabase(fileOf('short'), { timeout: 5000 });
  // Where the server holds the lock at that moment it ends without a page, and calls that success.
  while ((await backup.backup(DATABASE_URL)).totalPages === 0);
  backup.close();
  await client.until(({ type }) => type === 'stream.reset');
  const insert = db.prepare("INSERT INTO changebell_events (type) VALUES ('theirs')");
  for (const _ of range(1, 100)) insert.run();
  const kept = db.prepare('SELECT count(*) FROM changebell_events').pluck();
  await eventually(
    () => kept.get() as number,
    (many) => many < 30,
    'what another program pushes out is pruned',
  );
  await client.close();
  db.close();
  await server.stop();
});

test('what another program pushes out of the retention is announced first, and pruned without a write of ours', async () => {
  const DATABASE_URL = fileOf('retention');
  const server = await startServer({ DATABASE_URL, EVENT_RETENTION: '10' });
  const client = await connect(server.wsUrl);
  await client.next();
  const db = openDatabase(DATABASE_URL, { timeout: 5000 });
  const insert = db.prepare("INSERT INTO changebell_events (type) VALUES ('theirs')");
  db.transaction(() => {
    for (const _ of range(1, 2000)) insert.run();
  })();
  await client.until((frame) => seqOf(frame.id) === 2000);
  assert.equal(client.events().length, 2000, 'each was announced, though only ten are kept');
  const kept = db.prepare<[], number>('SELECT count(*) FROM changebell_events').pluck();
  await eventually(
    () => kept.get()!,
    (count) => count === 10,
    'ten events are kept',
  );
  await client.close();
  await server.stop();
  db.close();
});

test('a file that is spoiled makes reads 503, and is not opened anew for each of them', async () => {
  const DATABASE_URL = fileOf('spoiled');
  const server = await startServer({ DATABASE_URL });
  for (const _ of range(1, 50)) await post(`${server.url}/api/events`, { data: 'x'.repeat(4000) });
  const db = openDatabase(DATABASE_URL, { timeout: 5000 });
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();
  const file = openSync(DATABASE_URL, 'r+');
  const half = Math.ceil(statSync(DATABASE_URL).size / 2); // what is behind it is events alone: it can be opened
  writeSync(file, Buffer.alloc(half, 0xff), 0, half, half);
  closeSync(file);
  const read = () => get(`${server.url}/api/events?from=earliest`);
  await eventually(read, ({ status }) => status === 503, 'the damage is found');
  for (const _ of range(1, 30)) {
    assert.equal((await read()).status, 503);
    assert.equal((await get(`${server.url}/healthz`)).status, 200);
  }
  assert.equal(server.output.stderr.match(/opened anew/g)?.length, 1);
  await server.kill9();
});

for (const encoding of ['UTF-16le', 'UTF-16be']) {
  test(`a database in ${encoding} is as good as any`, async () => {
    const DATABASE_URL = fileOf(encoding);
    const db = openDatabase(DATABASE_URL, { timeout: 5000 });
    db.exec(`PRAGMA encoding = '${encoding}'; CREATE TABLE notes (id text PRIMARY KEY, v)`);
    const server = await startServer({ DATABASE_URL, WATCH: 'notes' });
    const client = await connect(server.wsUrl);
    await client.next();
    db.exec(`INSERT INTO notes VALUES ('ß€🔔', x'00ff')`);
    const event = await client.nextEvent();
    assert.deepEqual(
      [event.source, event.data],
      [`/watch/notes/${encodeURIComponent('ß€🔔')}`, { id: 'ß€🔔', v: 'AP8=' }],
    );
    const data = 'ä'.repeat(400_000); // 800 KB in UTF-8
    const { status } = await post(`${server.url}/api/events`, { data });
    assert.equal(status, 201);
    assert.equal((await client.nextEvent()).data, data);
    await client.close();
    await server.stop();
    db.close();
  });
}

test('a mistyped file with WATCH is one line that names both, and no file is left behind', async () => {
  const DATABASE_URL = fileOf('mistyped');
  const line = await refusalToStart({ DATABASE_URL, WATCH: 'orders' });
  assert.match(line, /"orders".*no such table.*mistyped\.db.*DATABASE_URL/);
  assert.ok(!existsSync(DATABASE_URL));
});

test('where better-sqlite3 was not compiled, one line says what to run', async () => {
  const hide = join(folder, 'hide.cjs'); // what npm ci --ignore-scripts leaves: a package without its addon
  writeFileSync(
    hide,
    `const Module = require('node:module');
     const find = Module._resolveFilename;
     Module._resolveFilename = function (name, ...rest) {
       if (!String(name).endsWith('.node')) return find.call(this, name, ...rest);
       throw Object.assign(new Error('Cannot find module'), { code: 'MODULE_NOT_FOUND' });
     };`,
  );
  const env = { DATABASE_URL: fileOf('uncompiled'), PORT: '0', NODE_OPTIONS: `--require ${hide}` };
  const { output, exited } = launch(env);
  assert.equal((await within(exited, 'its end', 5000)).code, 1);
  assert.match(output.stderr, /^better-sqlite3 has no native file.*npm ci.*compiler\.\n$/);
});
