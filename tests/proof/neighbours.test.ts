// What a neighbour notices of those who do their worst: nothing. They are a process of their own, and what others
// wait for is judged beside what they waited for before, in the same run.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { startCrowd } from '../support/crowd.ts';
import {
  connect,
  eventually,
  get,
  post,
  range,
  rawRequest,
  type Server,
  seqOf,
  startServer,
  temporaryFolder,
} from '../support/helpers.ts';
import { processorTime } from '../support/many-clients.ts';
import { besideFlooders, besideHerd, quantile } from '../support/neighbours.ts';
import { handshake } from '../support/raw-websocket.ts';

test('beside a herd that resumes all over the log, a live event comes soon after the answer to its POST', async (t) => {
  const { posts, after, herdMs } = await besideHerd({ clients: 200, events: 8000 });
  const [post, late] = [quantile(posts, 0.75), quantile(after, 0.75)];
  t.diagnostic(`${late} ms after an answer that takes ${post} ms, beside a herd of ${Math.round(herdMs)} ms`);
  // On a quiet machine 0.3 at most, on a busy one 0.45; served in the sequence in which they came, 0.9 and more.
  assert.ok(late < 0.6 * post, `three of four came within ${late} ms of the answer, which took ${post} ms`);
});

test('a client hears where it stands while its filter hides all that it passes, and then what it names', async () => {
  const server = await startServer({ HEARTBEAT_SECONDS: '1', EVENT_RETENTION: '1000000' });
  const { lastEventId: start } = (await get(`${server.url}/healthz`)).body;
  insert(server, 60_000, "'noise'", "'{}'");
  const { body: wanted } = await post(`${server.url}/api/events`, { type: 'wanted' });
  const beatsOnTheWay = async () => {
    const client = await connect(server.wsUrl, { query: { lastEventId: start, types: 'wanted' } });
    assert.equal((await client.next()).id, start);
    await delay(20);
    server.process.kill('SIGSTOP'); // in the midst of its way, until the next heartbeat is due
    await delay(1100);
    server.process.kill('SIGCONT');
    const beats: number[] = [];
    for (let frame = await client.next(); frame.id !== wanted.id; frame = await client.next()) {
      assert.equal(frame.type, 'stream.heartbeat');
      beats.push(seqOf(frame.id));
    }
    await client.close();
    return beats.filter((seq) => seq > seqOf(start) && seq < seqOf(wanted.id));
  };
  // On a busy machine this process may be too late, and the client be through already.
  await eventually(beatsOnTheWay, ({ length }) => length > 0, 'it is told where it stands', 10_000);
  await server.stop();
});

test('hundreds of filters, no two the same, take no more memory than a bound says, and an event little more work', async (t) => {
  const cost: number[] = [];
  for (const different of [0, 1]) {
    const server = await startServer();
    const openings = range(1, 300).map((n) => handshake(`?types=load,f${different * n}`));
    await startCrowd({ port: server.port, openings });
    const limit = await metric(server, 'log_cache_limit_bytes');
    let before = 0;
    for (const round of range(1, 2)) {
      if (round === 2) before = processorTime(server); // the first is for warming up
      insert(server, 100, "iif(i % 10 = 1, 'noise', 'load')", `'"${'x'.repeat(1000)}"'`); // each filter's bytes are a copy
      const delivered = () => metric(server, 'deliveries_total');
      await eventually(delivered, (count) => count >= round * 100 * 300, 'all is handed out', 10_000);
      const kept = await metric(server, 'log_cache_bytes');
      assert.ok(kept > 0 && kept < 1.2 * limit, `${kept} bytes are kept, the bound is ${limit}`);
    }
    cost.push(processorTime(server) - before);
    await server.stop();
  }
  const [alike, different] = cost as [number, number];
  t.diagnostic(`100 events cost ${alike} ms with one filter, ${different} ms with 300`);
  assert.ok(
    different < 4 * alike + 200,
    `${different} ms of processor time, and ${alike} where all are alike`,
  );
});

/** Another program puts so many events into the log at once; type and data are SQL, and `i` is the number of each. */
function insert(server: Server, count: number, type: string, data: string): void {
  const db = openDatabase(server.databaseFile, { timeout: 5000 });
  db.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO changebell_events (type, data) SELECT ${type}, ${data} FROM n`);
  db.close();
}

async function metric(server: Server, name: string): Promise<number> {
  const { text } = await get(`${server.url}/metrics`);
  return Number(new RegExp(`^changebell_${name} (\\d+)$`, 'm').exec(text)?.[1]);
}

test("twenty flooders that send frames without end, and come back when they are cut off, double nobody's wait", async (t) => {
  // On a machine that is busy with other files, one try may be slow.
  const tries: string[] = [];
  while (tries.length < 3) {
    const { usual, slow } = await besideFlooders(2, 250);
    tries.push(`nine of ten within ${usual.toFixed(1)} ms alone, ${slow.toFixed(1)} ms under the flood`);
    t.diagnostic(tries.at(-1)!);
    if (slow < 2 * usual) return;
  }
  assert.fail(tries.join('; '));
});

test('a reader of the log that stops reading blocks nobody, fills no memory, and sees later lines again', async () => {
  const fifo = join(temporaryFolder(), 'log');
  execFileSync('mkfifo', [fifo]);
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  const log = openSync(fifo, constants.O_WRONLY);
  const server = await startServer({}, undefined, { stdio: ['ignore', 'pipe', log] });
  const db = openDatabase(server.databaseFile, { timeout: 5000 });
  // Ten lines of 36 KB: as many different ones as a minute has, and more than a pipe takes.
  const names = range(1, 10).map((number) => `Ada ${number}`);
  for (const name of names)
    db.exec(`CREATE TRIGGER "no ${name}" BEFORE INSERT ON customers WHEN NEW.name = '${name}' BEGIN
      SELECT raise(ABORT, '${`no ${name} `.repeat(4000)}'); END`);
  db.close();
  // Whatever Node starts with our end of the pipe makes it one that waits; tsx starts such a program.
  execFileSync('true', { stdio: ['ignore', 'ignore', log] });
  for (const name of names) assert.equal((await post(`${server.url}/api/customers`, { name })).status, 409);
  assert.equal((await get(`${server.url}/healthz`)).status, 200);
  const read = () => linesIn(reader);
  const kept = await untilSilent(read);
  assert.ok(kept > 0 && kept < 10, `${kept} lines of 10 were kept`);
  await rawRequest(server.port, 'GET /healthz', { Host: 'elsewhere.example' }); // a refusal is a line
  await eventually(read, (lines) => lines > 0, 'a line that comes afterwards is read');
  await server.stop();
  for (const file of [reader, log]) closeSync(file);
});

/** How many lines can be read from a pipe just now. */
function linesIn(pipe: number): number {
  const bytes = Buffer.alloc(4096);
  let lines = 0;
  try {
    for (let length = readSync(pipe, bytes); length > 0; length = readSync(pipe, bytes))
      lines += bytes.subarray(0, length).filter((byte) => byte === 10).length;
  } catch {} // EAGAIN: there is no more
  return lines;
}

/** The sum of what comes until nothing has come for a while. */
async function untilSilent(read: () => number): Promise<number> {
  let sum = 0;
  for (let quiet = 0; quiet < 10; quiet += 1) {
    const lines = read();
    sum += lines;
    if (lines > 0) quiet = 0;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return sum;
}
