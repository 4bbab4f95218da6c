// How the program ends: in order when it is asked to, and with one line that helps when it cannot start.
// A user's mistake is exit code 1 and never a stack trace; a file that isn't ours is left as it was.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect as connectTcp, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  connect,
  eventually,
  get,
  launch,
  openEventStream,
  parseRaw,
  post,
  range,
  raw,
  startServer,
  temporaryFolder,
  within,
} from '../support/helpers.ts';
import { openStore, refusalToStart } from '../support/open-store.ts';

/**
 * Starts the program where it must refuse; it exits with 1 and one line on standard error, which is returned. What it
 * refuses, and that it leaves all as it was, is asked of the store alone: `refusalToStart`.
 */
async function refusal(env: Record<string, string>): Promise<string> {
  const { output, exited } = launch({ PORT: '0', DATABASE_URL: ':memory:', ...env });
  const { code } = await within(exited, 'exit', 10_000);
  assert.equal(code, 1, output.stdout + output.stderr);
  assert.match(output.stderr, /^[^\n]+\n$/, 'one line');
  assert.doesNotMatch(output.stderr, /\n\s+at |node:internal/);
  return output.stderr;
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  test(`${signal} closes WebSockets with 1001, ends event streams, and exits with 0`, async () => {
    const server = await startServer();
    const [socket, stream] = [await connect(server.wsUrl), await openEventStream(`${server.url}/api/events`)];
    await Promise.all([socket.next(), stream.next()]);
    const startedAt = performance.now();
    const [exit, closed] = await Promise.all([
      server.stop(signal),
      within(socket.closed, 'close'),
      stream.closed,
    ]);
    assert.deepEqual(exit, { code: 0, signal: null });
    assert.equal(closed.code, 1001);
    await assert.rejects(stream.nextEvent(), /end of the response/);
    assert.ok(performance.now() - startedAt < 5000);
    assert.equal(server.output.stderr, '');
  });
}

test('after SIGTERM the database is closed whole: no log beside it, and everything in it', async () => {
  const server = await startServer();
  const url = `${server.url}/api/customers`;
  await Promise.all(range(1, 20).map((number) => post(url, { name: `customer ${number}` })));
  await server.stop();
  assert.deepEqual(readdirSync(join(server.databaseFile, '..')), ['test.db']);
  const db = openDatabase(server.databaseFile, { readonly: true });
  assert.equal(db.prepare('SELECT count(*) FROM customers').pluck().get(), 20);
  db.close();
});

test('a restarted server knows at once where its log stands, and counts only what it announces itself', async () => {
  const first = await startServer();
  const { body: event } = await post(`${first.url}/api/events`, { message: 'before' });
  await first.stop();
  const second = await startServer({ DATABASE_URL: first.databaseFile });
  assert.equal((await get(`${second.url}/healthz`)).body.lastEventId, event.id);
  assert.match((await get(`${second.url}/metrics`)).text, /^changebell_events_total 0$/m);
  await second.stop();
});

test('a request in flight is finished, reads are still answered, writes are 503, and connections close', async () => {
  const server = await startServer();
  const body = '{"name":"Ada"}';
  const open = () => connectTcp(server.port, '127.0.0.1');
  const post = (length: number) =>
    `POST /api/customers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;
  const answers = [open(), open(), open(), open()].map((socket) => {
    let text = '';
    socket
      .on('error', () => {})
      .on('data', (part) => {
        text += part;
      });
    return { socket, closed: new Promise<string>((resolve) => socket.on('close', () => resolve(text))) };
  });
  type Asked = (typeof answers)[number];
  const [flying, reader, writer, streamer] = answers as [Asked, Asked, Asked, Asked];
  // Half a request each, so that none of the connections is idle when the signal comes.
  flying.socket.write(post(body.length) + body.slice(0, 5));
  reader.socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n');
  writer.socket.write('POST /api/customers HTTP/1.1\r\nHost: localhost\r\n');
  streamer.socket.write('GET /ws HTTP/1.1\r\nHost: localhost\r\n');
  await get(`${server.url}/healthz`); // on a later connection: what came before it has been read
  const exit = server.stop();
  const isRefused = () =>
    raw(server.port, 'nonsense\r\n\r\n').then(
      () => false,
      () => true,
    );
  await eventually(isRefused, (refused) => refused, 'no new connection is accepted');
  reader.socket.write('\r\n');
  writer.socket.write(`Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  streamer.socket.write(
    'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  const [read, written] = [parseRaw(await reader.closed), parseRaw(await writer.closed)];
  const refused = parseRaw(await streamer.closed);
  assert.equal(refused.status, 503);
  flying.socket.write(body.slice(5));
  const flown = parseRaw(await flying.closed);
  assert.equal(flown.status, 201, flown.head);
  assert.equal(read.status, 503);
  assert.match(read.body, /"draining"/);
  assert.equal(written.status, 503);
  for (const answer of [flown, read, written]) assert.match(answer.head, /\r\nConnection: close/i);
  for (const answer of [refused, read, written]) assert.match(answer.head, /\r\nRetry-After: 2\r\n/);
  assert.deepEqual(await exit, { code: 0, signal: null });
  assert.match(
    server.output.stderr,
    /^Refused: .+ \(unavailable\): GET "\/ws"\.$/m,
    'a stream that was refused',
  );
});

test('a refusal that lets its client send on a little is not cut off when the server stops', async () => {
  const server = await startServer();
  const startedAt = performance.now();
  const socket = connectTcp(server.port, '127.0.0.1');
  socket.write(
    'POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n',
  );
  const [answer] = await once(socket, 'data');
  assert.equal(parseRaw(String(answer)).status, 413);
  const [exit] = await Promise.all([server.stop(), once(socket.resume(), 'close')]);
  assert.ok(performance.now() - startedAt > 450, 'half a second, in which what is sent does no harm');
  assert.deepEqual(exit, { code: 0, signal: null });
});

test('a connection that will not end does not keep the server from ending', async () => {
  const server = await startServer();
  const idle = connectTcp(server.port, '127.0.0.1');
  idle.on('error', () => {});
  idle.write(
    'POST /api/customers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\n',
  );
  const deaf = await connect(server.wsUrl, { options: { autoPong: false } });
  deaf.socket.pause(); // never answers the close frame
  const startedAt = performance.now();
  assert.equal((await server.stop()).code, 0);
  assert.ok(performance.now() - startedAt < 5500);
  assert.match(server.output.stderr, /^Stopping: requests [^\n]* are cut off\.\n$/, 'and it says so');
  idle.destroy();
  deaf.socket.terminate();
});

test('a bad setting ends the program with a line that names the variable and what was given', async () => {
  // What is bad, and what is said of it, is asked of `readConfig` alone in tests/config.test.ts.
  const bad = { PORT: '65536', DATABASE_URL: 'mysql://localhost/x', HEARTBEAT_SECONDS: '1s' };
  for (const [name, value] of Object.entries(bad)) {
    const line = await refusal({ [name]: value });
    assert.match(line, new RegExp(`\\b${name}\\b`), line);
    assert.ok(line.includes(value.split(':')[0]!), line);
  }
});

/** As a user's own shell may have them. */
const EMPTY = { HOST: '', API_TOKEN: '', ALLOWED_ORIGINS: '', MAX_CLIENTS: '', LAB: '', EVENT_RETENTION: '' };

test('an empty variable counts as absent; what is printed is the name, the page, the API, the WebSocket and the database', async () => {
  const server = await startServer(EMPTY);
  assert.equal((await get(`${server.url}/healthz`)).body.lab, true);
  const { stdout } = server.output;
  assert.match(stdout, /Changebell/);
  for (const url of [`${server.url}/`, `${server.url}/api`, server.wsUrl, server.databaseFile])
    assert.ok(stdout.includes(url), url);
  assert.equal(server.output.stderr, '');
  assert.equal((await server.stop()).code, 0);
});

test('a port in use is exit code 1 with another port to try', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const line = await refusal({ PORT: String(port) });
  assert.match(line, new RegExp(String(port)));
  assert.match(line, /PORT=\d+ npx tsx server\.ts/);
  other.close();
});

test('a file that is not a database is refused and left as it was', async () => {
  const folder = temporaryFolder();
  const file = join(folder, 'notes.txt');
  writeFileSync(file, 'My dear diary, this is no database at all.\n'.repeat(100));
  const before = readFileSync(file);
  assert.match(await refusalToStart({ DATABASE_URL: file }), /notes\.txt/);
  assert.deepEqual(readFileSync(file), before);
  assert.deepEqual(readdirSync(folder), ['notes.txt']);
});

test('a database of another program keeps its tables, and one with a foreign customers table is left as it was', async () => {
  const folder = temporaryFolder();
  const file = join(folder, 'shop.db');
  const db = openDatabase(file);
  db.exec(
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, full_name TEXT); INSERT INTO customers VALUES (1, 'Ada')",
  );
  db.close();
  const before = readFileSync(file);
  assert.match(await refusalToStart({ DATABASE_URL: file }), /customers/);
  assert.deepEqual(readFileSync(file), before);
  assert.deepEqual(readdirSync(folder), ['shop.db']);
});

test('a database written by a newer version is refused and left as it was', async () => {
  const file = join(temporaryFolder(), 'newer.db');
  await (await openStore({ DATABASE_URL: file })).close();
  const db = openDatabase(file);
  db.exec('UPDATE changebell_log SET version = 999');
  db.pragma('journal_mode = DELETE');
  db.close();
  const before = readFileSync(file);
  assert.match(await refusalToStart({ DATABASE_URL: file }), /newer/);
  assert.deepEqual(readFileSync(file), before);
});

test('a database that cannot be opened is exit code 1 with a line that names it', async () => {
  const folder = temporaryFolder();
  assert.match(await refusal({ DATABASE_URL: join(folder, 'missing', 'x.db') }), /missing/);
  const directory = join(folder, 'directory.db');
  mkdirSync(directory);
  assert.match(await refusalToStart({ DATABASE_URL: directory }), /directory\.db/);
  chmodSync(directory, 0o755);
});

test('the password of a URL is never shown', async () => {
  assert.doesNotMatch(await refusalToStart({ DATABASE_URL: 'mysql://root:hunter2@localhost/x' }), /hunter2/);
});
