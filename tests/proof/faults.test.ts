// What the machine under a database does to it: the disk is full, the file is moved away, may not be
// written, or isn't what it seems. A write is then refused whole, and the server is well again by itself.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  type Answer,
  connect,
  eventually,
  get,
  launch,
  openEventStream,
  post,
  range,
  refusedHandshake,
  seqsOf,
  skipWithout,
  startServer,
  temporaryFolder,
  within,
} from '../support/helpers.ts';
import { INITDB, startCluster } from '../support/postgres-cluster.ts';
import { isRoot, needsMount, smallDisk } from '../support/small-disk.ts';

function assertUnavailable(answer: Answer): void {
  assert.equal(answer.status, 503, answer.text);
  assert.match(answer.headers.get('retry-after')!, /^\d+$/);
  assert.match(answer.headers.get('content-type')!, /^application\/problem\+json/);
  assert.doesNotMatch(answer.text, /SQLITE|ENOSPC|\.db/);
}

/** One line on standard error, exit code 1. */
async function refusalToStart(databaseFile: string): Promise<string> {
  const { output, exited } = launch({ PORT: '0', DATABASE_URL: databaseFile });
  assert.equal((await within(exited, 'the program to end', 5000)).code, 1, output.stdout + output.stderr);
  assert.match(output.stderr, /^[^\n]+\n$/);
  return output.stderr;
}

test('a full disk makes writes 503 with nothing half-written, reads and streams go on, and room heals it', {
  skip: needsMount,
}, async () => {
  const disk = smallDisk(2 * 1024 * 1024);
  const ballast = join(disk, 'ballast');
  writeFileSync(ballast, Buffer.alloc(1024 * 1024));
  const server = await startServer({ DATABASE_URL: join(disk, 'test.db') });
  const client = await connect(server.wsUrl);
  await client.next();

  const acknowledged: string[] = [];
  const refused: Answer[] = [];
  for (let i = 0; i < 100 && refused.length < 5; i++) {
    const batch = range(1, 4).map((number) =>
      post(
        `${server.url}/api/events`,
        { data: `${i} ${number}`.padEnd(20_000) },
        { 'Idempotency-Key': `${i}.${number}` },
      ),
    );
    for (const answer of await Promise.all(batch)) {
      if (answer.status === 201) acknowledged.push(answer.body.id);
      else refused.push(answer);
    }
  }
  assert.ok(acknowledged.length > 4 && refused.length >= 5, `${acknowledged.length}, ${refused.length}`);
  for (const answer of refused) assertUnavailable(answer);
  assert.equal((await get(`${server.url}/api/customers`)).status, 200);
  assert.equal((await get(`${server.url}/api/events?limit=1000`)).body.events.length > 0, true);

  rmSync(ballast);
  const { status, body } = await post(
    `${server.url}/api/events`,
    { data: 'room' },
    { 'Idempotency-Key': '0.0' },
  );
  assert.equal(status, 201);
  acknowledged.push(body.id);
  await client.event(body.id);
  assert.deepEqual(
    client
      .events()
      .map((event) => event.id)
      .sort(),
    acknowledged.sort(),
  );
  assert.deepEqual(
    seqsOf(client.events()),
    range(1, acknowledged.length),
    'no gap where writes were refused',
  );
  await client.close();
  await server.stop();
});

test('a file that is moved away makes writes 503; once it is back they are saved again', async () => {
  const server = await startServer();
  const away = `${server.databaseFile}.away`;
  const client = await connect(server.wsUrl, {});
  await client.next();
  const write = (name: string) => post(`${server.url}/api/customers`, { name });
  assert.equal((await write('before')).status, 201);
  renameSync(server.databaseFile, away);
  assertUnavailable(await write('lost'));
  assert.equal((await get(`${server.url}/api/customers`)).body.customers.length, 1);
  renameSync(away, server.databaseFile);
  assert.equal((await write('after')).status, 201);
  assert.deepEqual(
    [(await client.nextEvent()).data.name, (await client.nextEvent()).data.name],
    ['before', 'after'],
  );
  await client.close();
  await server.stop();
});

test('a file that may only be read is refused at the start, before every write fails', async () => {
  const made = await startServer();
  await made.stop();
  const folder = isRoot ? smallDisk(1024 * 1024) : temporaryFolder();
  const file = join(folder, 'test.db');
  copyFileSync(made.databaseFile, file);
  if (isRoot) execFileSync('mount', ['-o', 'remount,ro', folder]);
  else chmodSync(file, 0o444);
  assert.match(await refusalToStart(file), /test\.db.*read and write.*permissions/);
});

test('tables that only have the names of ours, and a file that is cut off, are refused with one line', async () => {
  const folder = temporaryFolder();
  const foreign = join(folder, 'foreign.db');
  const db = openDatabase(foreign);
  db.exec('CREATE TABLE changebell_log (one, version, name, pruned)');
  db.close();
  assert.match(await refusalToStart(foreign), /foreign\.db/);
  const made = await startServer();
  await post(`${made.url}/api/customers`, { name: 'Ada' });
  await made.stop();
  execFileSync('truncate', ['--size=8192', made.databaseFile]);
  assert.match(await refusalToStart(made.databaseFile), /test\.db/);
});

test('a stream of server-sent events that is opened while the database is away waits for it, and has everything', {
  skip: skipWithout(INITDB, 'postgresql'),
}, async () => {
  const cluster = await startCluster();
  const DATABASE_URL = await cluster.createDatabase('outage');
  const server = await startServer({ DATABASE_URL, HEARTBEAT_SECONDS: '1' });
  const publish = async (data: string) => (await post(`${server.url}/api/events`, { data })).body;
  const [seen, missed] = [await publish('seen'), await publish('missed')];
  await cluster.crash();
  await eventually(
    () => get(`${server.url}/readyz`),
    ({ status }) => status === 503,
    'the database is away',
  );
  const resumed = await openEventStream(`${server.url}/api/events`, { 'Last-Event-ID': seen.id });
  const fresh = await openEventStream(`${server.url}/api/events`);
  assert.deepEqual([resumed.status, fresh.status], [200, 200], 'EventSource gives up for good at any other');
  await eventually(resumed.text, (text) => /^: /m.test(text), 'its connection is kept by comments', 1000);
  assert.deepEqual((await refusedHandshake(server.wsUrl)).status, 503, 'a WebSocket comes back by itself');
  await cluster.restart();
  assert.equal((await within(resumed.next(), 'its first frame', 10_000)).data.behind, 1);
  assert.equal((await resumed.nextEvent()).id, missed.id);
  assert.equal((await within(fresh.next(), 'its first frame', 10_000)).type, 'stream.ready');
  const { id } = await eventually(
    () => publish('afterwards'),
    (event) => event.id !== undefined,
    'it is written',
  );
  for (const stream of [resumed, fresh]) assert.equal((await stream.event(id)).data, 'afterwards');
  await server.stop();
  await cluster.stop();
});
