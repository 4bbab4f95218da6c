// Writes that a client sends without waiting for their answers. Those that are alike wait for one commit together, and
// nobody can tell that from one after the other: their answers, and the log, have the sequence in which they were sent.
import assert from 'node:assert/strict';
import { connect as connectTcp } from 'node:net';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ReadAhead } from '../../lib/http/read-ahead.ts';
import { UnsentBytes } from '../../lib/http/unsent-bytes.ts';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  eventually,
  exchange,
  get,
  head,
  jsonPost,
  post,
  range,
  type Server,
  shareServer,
  skipWithout,
  startServer,
  statusesOf,
} from '../support/helpers.ts';
import { INITDB, startCluster } from '../support/postgres-cluster.ts';

const server = await shareServer();

/** Names of all sorts of lengths, so that the heads of their requests are not the same to the byte. */
const names = (count: number, prefix: string) =>
  range(1, count).map((number) => `${prefix} ${number}${'.'.repeat(number % 97)}`);
const creations = (list: string[], more = '') =>
  list.map((name) => jsonPost('/api/customers', { name }, more)).join('');

/** Another program holds the lock until `while_` is through: nothing is committed, so all that may wait together waits. */
async function locked(of: Server, whileHeld: () => Promise<unknown>): Promise<void> {
  const db = openDatabase(of.databaseFile);
  db.exec('BEGIN IMMEDIATE');
  try {
    await whileHeld();
  } finally {
    db.exec('ROLLBACK');
    db.close();
  }
}

/** How many writes wait for their commit: each counts for 1 KiB and its data. */
async function waitingWrites(of: Server): Promise<number> {
  const { text } = await get(`${of.url}/metrics`);
  return Number(/^changebell_waiting_write_bytes (\d+)/m.exec(text)?.[1]) / 1024;
}

/** Resolves when it takes no more connections, which is the first that it does when it stops. */
const refused = (of: Server) =>
  eventually(
    () =>
      get(`${of.url}/healthz`).then(
        () => false,
        () => true,
      ),
    (isRefused) => isRefused,
    'the server takes no more connections',
  );

const namesIn = (text: string) => [...text.matchAll(/\{"id":\d+,"name":"([^"]*)"/g)].map(([, name]) => name);

/** The names in the log, of the creations whose names begin so. */
async function loggedNames(of: Server, prefix: string): Promise<(string | undefined)[]> {
  const { text } = await get(`${of.url}/api/events?limit=1000`);
  return namesIn(text).filter((name) => name?.startsWith(`${prefix} `));
}

test('pipelined writes that are alike wait for one commit together, up to a hundred of a connection', async () => {
  const sent = names(250, 'gathered');
  let answers: Promise<string> | undefined;
  await locked(server, async () => {
    answers = exchange(server.port, creations(sent));
    await eventually(
      () => waitingWrites(server),
      (count) => count >= 100,
      'a hundred writes of one connection wait behind the lock of another program',
    );
    assert.equal(await waitingWrites(server), 100, 'and no more than a hundred');
  });
  assert.deepEqual(
    namesIn((await answers)!),
    sent,
    'each is answered in its place, also those behind the lock',
  );
  assert.deepEqual(await loggedNames(server, 'gathered'), sent, 'the log has them as they were sent');
});

test('pipelined requests that differ are done one after the other, whatever they are', async () => {
  const key = (text: string) => `Idempotency-Key: "${text}"\r\n`;
  const { body } = await post(`${server.url}/api/customers`, { name: 'Ada' });
  const path = `/api/customers/${body.id}`;
  const patch = `{"email":"new@example.com"}`;
  const text = await exchange(
    server.port,
    jsonPost('/api/customers', { name: 'mixed 1' }) +
      jsonPost('/api/events', { type: 'mixed.two', data: 2 }) +
      jsonPost('/api/customers', { name: 'mixed 3' }, key('mixed')) +
      jsonPost('/api/customers', { name: 'mixed 3' }, key('mixed')) +
      head(`PATCH ${path}`, `Content-Type: application/json\r\nContent-Length: ${patch.length}\r\n`) +
      patch +
      head(`GET ${path}`) +
      head(`DELETE ${path}`) +
      head(`GET ${path}`),
  );
  assert.deepEqual(statusesOf(text), [201, 201, 201, 201, 200, 200, 204, 404]);
  assert.match(text, /Idempotency-Replayed: true/);
  assert.equal(
    text.match(/"email":"new@example.com"/g)?.length,
    2,
    'the read behind the patch shows what it changed',
  );
});

test('what is wrong with one of them is the answer to that one alone', async () => {
  const list = [{ name: 'alone 1' }, { name: '' }, { name: 'alone 2' }, { no: 1 }, { name: 'alone 3' }];
  const text = await exchange(server.port, list.map((body) => jsonPost('/api/customers', body)).join(''));
  assert.deepEqual(statusesOf(text), [201, 422, 201, 422, 201]);
  assert.deepEqual(await loggedNames(server, 'alone'), ['alone 1', 'alone 2', 'alone 3']);
});

test('one that breaks off behind others gets its 400 in its place, after theirs', async () => {
  const sent = names(3, 'broken');
  let answers: Promise<string> | undefined;
  await locked(server, async () => {
    answers = exchange(server.port, creations([...sent, 'half']).slice(0, -2));
    await eventually(
      () => waitingWrites(server),
      (count) => count === sent.length,
      'the whole ones wait behind the lock of another program',
    );
  });
  assert.deepEqual(statusesOf((await answers)!), [201, 201, 201, 400]);
  assert.equal((await get(`${server.url}/healthz`)).status, 200, 'and the server goes on');
});

test('behind a write that asks for the end of its connection nothing is done', async () => {
  const text = await exchange(server.port, creations(names(3, 'last'), 'Connection: close\r\n'));
  assert.deepEqual(statusesOf(text), [201]);
  assert.equal((await loggedNames(server, 'last')).length, 1);
});

test('long writes wait for one another, since their answers are long as well', async () => {
  const sent = ['long 1', 'long 2', 'long 3'].map((text) => text + '.'.repeat(5000));
  let answers: Promise<string> | undefined;
  await locked(server, async () => {
    answers = exchange(server.port, publications(sent));
    await eventually(
      () => waitingWrites(server),
      (count) => count > 0,
      'the first one waits',
    );
    const count = await waitingWrites(server);
    assert.ok(count < 7, `${count} KiB wait, and one write is less than 7`);
  });
  assert.deepEqual(statusesOf((await answers)!), [201, 201, 201]);
  const { body } = await get(`${server.url}/api/events?types=long`);
  assert.deepEqual(
    body.events.map(({ data }: { data: string }) => data),
    sent,
  );
});

const publications = (list: string[]) =>
  list.map((data) => jsonPost('/api/events', { type: 'long', data })).join('');

test('a server that stops answers all that have a place, and does nothing that it does not answer', async () => {
  const own = await startServer();
  let answers: Promise<string> | undefined;
  let ending: Promise<{ code: number | null }> | undefined;
  await locked(own, async () => {
    answers = exchange(own.port, creations(names(250, 'stopped')));
    await eventually(
      () => waitingWrites(own),
      (count) => count >= 100,
      'a hundred writes wait',
    );
    ending = own.stop();
    await refused(own);
  });
  const text = await answers!;
  assert.equal((await ending!).code, 0);
  const done = namesIn(text);
  const db = openDatabase(own.databaseFile);
  const rows = db.prepare('SELECT name FROM customers ORDER BY id').pluck().all();
  db.close();
  assert.deepEqual(rows, done);
  assert.ok(done.length >= 100, `${done.length} were answered`);
});

test('who leaves in the middle of his writes holds nobody up, and no end of the server', async () => {
  const own = await startServer();
  let ending: Promise<{ code: number | null }> | undefined;
  await locked(own, async () => {
    const socket = connectTcp(own.port, '127.0.0.1', () => socket.write(creations(names(50, 'left'))));
    await eventually(
      () => waitingWrites(own),
      (count) => count >= 50,
      'fifty writes wait',
    );
    ending = own.stop();
    await refused(own);
    socket.resetAndDestroy();
  });
  assert.equal((await ending!).code, 0);
  assert.doesNotMatch(own.output.stderr, /cut off/, 'it waited for an answer that nobody takes any more');
});

test('on PostgreSQL they keep their sequence as well', {
  skip: skipWithout(INITDB, 'postgresql'),
}, async () => {
  const cluster = await startCluster();
  const own = await startServer({ DATABASE_URL: await cluster.createDatabase('pipelined') });
  const list = names(250, 'gathered');
  const text = await exchange(own.port, creations(list));
  assert.deepEqual(namesIn(text), list);
  assert.deepEqual(await loggedNames(own, 'gathered'), list);
  await own.stop();
  await cluster.stop();
});

test('of a request that was handed on no byte is kept, while its connection stays open', async () => {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const request = Buffer.from(jsonPost('/api/events', { data: 'x'.repeat(50_000) }));
  const body = request.length - (request.indexOf('\r\n\r\n') + 4);
  collect();
  const before = process.memoryUsage().arrayBuffers;
  const connections = range(1, 100).map(() => {
    const ahead = new ReadAhead(new UnsentBytes());
    ahead.add(Buffer.from(request));
    ahead.take();
    ahead.bodyLeft = body;
    ahead.take();
    assert.ok(ahead.isEmpty);
    return ahead;
  });
  await eventually(
    () => {
      collect(); // what it frees is counted a little later
      return process.memoryUsage().arrayBuffers - before;
    },
    (kept) => kept < 1_000_000,
    `${connections.length} connections keep less than a megabyte of five`,
  );
  assert.ok(connections.every((ahead) => ahead.isEmpty)); // and they are still there
});
