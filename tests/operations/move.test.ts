// The move from SQLite to PostgreSQL: the customers are the same to the byte, their ids go on, whoever followed is
// told, and a move that can't be made leaves both databases as they were.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  connect,
  del,
  get,
  post,
  ROOT,
  range,
  seqOf,
  skipWithout,
  startServer,
  temporaryFolder,
} from '../support/helpers.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';
import { stripTypes } from '../support/typescript.ts';

const MANY = 2300; // more than two pages of the move

async function move(...args: string[]) {
  const script = join(ROOT, 'lib/operations/sqlite-to-postgres.ts');
  const child = spawn(process.execPath, [...stripTypes, script, ...args], { cwd: ROOT });
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = await once(child, 'close');
  const [stdout, stderr] = await said;
  return { code, stdout, stderr };
}

/** The text of every page. */
async function customersOf(url: string): Promise<unknown[]> {
  const all: unknown[] = [];
  for (let next: string | null = '/api/customers?limit=500'; next !== null; ) {
    const { body } = await get(new URL(next, url).href);
    all.push(...body.customers);
    next = body.next;
  }
  return all;
}

describe('a move to PostgreSQL', { skip: skipWithout(INITDB, 'postgresql') }, () => {
  const file = join(temporaryFolder(), 'shop.db');
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster?.stop());

  test('keeps every customer and goes on with ids that were never given; streams are told, and go on', async () => {
    const old = await startServer({ DATABASE_URL: file });
    await post(`${old.url}/api/customers`, { name: 'Zoë 🛎 "Ω"', email: 'zoe@example.com' });
    const db = openDatabase(file, { timeout: 5000 });
    const insert = db.prepare('INSERT INTO customers (name) VALUES (?)');
    db.transaction(() => range(2, MANY).forEach((i) => void insert.run(`c${i}`)))();
    db.close();
    const gone = await post(`${old.url}/api/customers`, { name: 'soon deleted' });
    await del(`${old.url}/api/customers/${gone.body.id}`);
    const before = await customersOf(old.url);
    const { body } = await get(`${old.url}/healthz`);
    await old.stop();

    const url = await cluster.createDatabase('shop');
    assert.deepEqual(await move(file, url), {
      code: 0,
      stdout: `Moved ${MANY} customers from ${file} to the PostgreSQL database shop at 127.0.0.1:${cluster.port}; the next one gets the id ${MANY + 2}.\n`,
      stderr: '',
    });

    const server = await startServer({ DATABASE_URL: url });
    assert.deepEqual(await customersOf(server.url), before);
    const follower = await connect(server.wsUrl, { query: { lastEventId: body.lastEventId } });
    const reset = await follower.next();
    assert.equal(reset.type, 'stream.reset', 'a cursor of the old log is not one of the new');
    const { body: snapshot } = await get(`${server.url}/api/customers?limit=1`);
    assert.ok(seqOf(reset.id) <= seqOf(snapshot.lastEventId), 'the snapshot is at least as new');
    const made = await post(`${server.url}/api/customers`, { name: 'new' });
    assert.equal(made.body.id, MANY + 2, 'the id of a deleted customer was used again');
    await follower.until((frame) => frame.data?.name === 'new');

    const again = await move(file, url);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^Nothing was moved\. .*has customers already[^\n]*\n$/);
    assert.equal((await customersOf(server.url)).length, MANY + 1);
    await follower.close();
    await server.stop();
  });

  test('that fails in the middle leaves nothing behind, and says what is wrong in one line', async () => {
    const path = join(temporaryFolder(), 'wrong.db');
    const server = await startServer({ DATABASE_URL: path });
    await server.stop();
    const db = openDatabase(path);
    const insert = db.prepare('INSERT INTO customers (name, created_at) VALUES (?, ?)');
    db.transaction(() =>
      range(1, 1500).forEach((i) => void insert.run(`c${i}`, i === 1500 ? 'yesterday-ish' : '2026-01-01')),
    )();
    db.close();
    const url = await cluster.createDatabase('half');
    const { code, stderr } = await move(path, url);
    assert.equal(code, 1);
    assert.match(stderr, /^Nothing was moved\. [^\n]*yesterday-ish[^\n]*\n$/);
    const program = await cluster.connect('half');
    const { rows } = await program.query(
      'SELECT (SELECT count(*) FROM customers) AS customers, (SELECT count(*) FROM changebell_events) AS events',
    );
    await program.end();
    assert.deepEqual(rows, [{ customers: '0', events: '0' }]);
  });

  test('is refused with one line where there is nothing to move, or nowhere to', async () => {
    const other = join(temporaryFolder(), 'other.db');
    const db = openDatabase(other);
    db.exec('CREATE TABLE customers (id integer PRIMARY KEY)');
    db.close();
    const url = await cluster.createDatabase('empty');
    for (const args of [[], [file], [file, 'mysql://x'], [other, url], [`${other}.gone`, url]]) {
      const { code, stderr } = await move(...args);
      assert.equal(code, 1, args.join(' '));
      assert.match(stderr, /^Nothing was moved\. [^\n]+\n$/);
    }
  });
});
