// Backup, restore, upgrade and the way back, with the very commands of lib/operations/README.md, while a server runs
// and clients listen: each of them hears everything, or is told what it has lost.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  type Client,
  connect,
  get,
  post,
  range,
  type Server,
  seqOf,
  seqsOf,
  skipWithout,
  startServer,
  temporaryFolder,
} from '../support/helpers.ts';
import { INITDB, startCluster } from '../support/postgres-cluster.ts';
import { recipe, runShell } from '../support/recipes.ts';

const withSqlite = { skip: skipWithout('/usr/bin/sqlite3', 'sqlite3') };
const withPostgres = { skip: skipWithout(INITDB, 'postgresql') };

const say = async (server: Server, message: string): Promise<string> => {
  const { status, body, text } = await post(`${server.url}/api/events`, { message });
  assert.equal(status, 201, text);
  return body.id;
};

/** Writes without a pause while something is done. */
async function underLoad(server: Server, work: () => Promise<unknown>): Promise<void> {
  let isDone = false;
  const writing = (async () => {
    for (let i = 0; !isDone; i += 1) await say(server, `during ${i}`);
  })();
  await work().finally(() => {
    isDone = true;
  });
  await writing;
}

/** This client goes on from where it stands: what it hears from now on begins right after, and has this at its end. */
async function assertGoesOn(client: Client, after: string, newest: string): Promise<void> {
  await client.event(newest);
  assert.deepEqual(seqsOf(client.events()), range(seqOf(after) + 1, seqOf(newest)));
}

test(
  'SQLite is backed up under writes and restored under a server that runs: who had read more is told',
  withSqlite,
  async () => {
    const folder = temporaryFolder();
    const server = await startServer({ DATABASE_URL: join(folder, 'changebell.db') });
    const kept = await say(server, 'kept');
    const backup = () => runShell(recipe('sh', '.backup'), folder);
    await underLoad(server, backup);
    const lost = await say(server, 'lost');
    const ahead = await connect(server.wsUrl, { query: { lastEventId: kept } });
    await ahead.event(lost);

    await runShell(recipe('sh', '.restore'), folder);
    const reset = await ahead.until((frame) => frame.type === 'stream.reset');
    assert.ok(seqOf(reset.id) < seqOf(lost), 'the log went back');
    const newest = await say(server, 'after the restore');
    await ahead.event(newest);

    const shared = await connect(server.wsUrl, { query: { lastEventId: kept } });
    assert.equal((await shared.next()).type, 'stream.ready', 'what the backup has is still known');
    await assertGoesOn(shared, kept, newest);
    assert.equal((await get(`${server.url}/api/events?lastEventId=${lost}`)).status, 410);
    for (const client of [ahead, shared]) await client.close();
    await server.stop();
  },
);

test(
  'PostgreSQL is dumped under writes and restored into another database: cursors of what it has go on',
  withPostgres,
  async () => {
    const folder = temporaryFolder();
    const cluster = await startCluster();
    const DATABASE_URL = await cluster.createDatabase('shop');
    const server = await startServer({ DATABASE_URL });
    const { body: customer } = await post(`${server.url}/api/customers`, { name: 'Ada' });
    const kept = await say(server, 'kept');
    await underLoad(server, () => runShell(recipe('sh', 'pg_dump'), folder, { DATABASE_URL }));
    const lost = await say(server, 'lost');
    await server.stop();
    await runShell(`psql -c 'DROP DATABASE shop' '${cluster.url('postgres')}'`, folder); // lost as a whole

    await runShell(recipe('sh', 'pg_restore'), folder, { DATABASE_URL });
    const restored = await startServer({ DATABASE_URL: cluster.url('restored') });
    const shared = await connect(restored.wsUrl, { query: { lastEventId: kept } });
    assert.equal((await shared.next()).type, 'stream.ready');
    const ahead = await connect(restored.wsUrl, { query: { lastEventId: lost } });
    assert.equal((await ahead.next()).type, 'stream.reset');
    const { body: next } = await post(`${restored.url}/api/customers`, { name: 'Grace' });
    assert.ok(next.id > customer.id, 'ids go on');
    const newest = await say(restored, 'after the restore');
    await assertGoesOn(shared, kept, newest);
    await ahead.event(newest);
    for (const client of [ahead, shared]) await client.close();
    await restored.stop();
    await cluster.stop();
  },
);

test(
  'an upgrade keeps every cursor, and the backup from before leads back to what the old program reads',
  withSqlite,
  async () => {
    const folder = temporaryFolder();
    const DATABASE_URL = join(folder, 'changebell.db');
    const old = openDatabase(DATABASE_URL);
    const dump = new URL('../store/fixtures/sqlite-version-1-last.sql', import.meta.url);
    old.exec(readFileSync(dump, 'utf8'));
    const ids = old
      .prepare<[], string>("SELECT name || '-' || seq FROM changebell_log, changebell_events ORDER BY seq")
      .pluck()
      .all();
    old.close();
    await runShell(recipe('sh', '.backup'), folder);

    const server = await startServer({ DATABASE_URL });
    assert.match(server.output.stdout, /brought up to date: its tables were made anew/);
    const client = await connect(server.wsUrl, { query: { lastEventId: ids[0]! } });
    assert.equal((await client.next()).type, 'stream.ready');
    const newest = await say(server, 'in the new version');
    await assertGoesOn(client, ids[0]!, newest);
    await client.close();
    await server.stop();

    await runShell(recipe('sh', '.restore'), folder);
    const version = () => spawnSync('sqlite3', [DATABASE_URL, 'SELECT version FROM changebell_log']).stdout;
    assert.equal(String(version()).trim(), '1', 'what the old program made');
    copyFileSync(DATABASE_URL, join(folder, 'again.db')); // the old program isn't here, but its database can be read
    const again = await startServer({ DATABASE_URL: join(folder, 'again.db') });
    const ahead = await connect(again.wsUrl, { query: { lastEventId: newest } });
    assert.equal((await ahead.next()).type, 'stream.reset', 'what only the new version had is gone');
    await ahead.close();
    await again.stop();
  },
);
