// Rows of up to a megabyte in watched tables: what they cost whoever writes them, and whoever reads pages of them.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openDatabase } from '../../lib/store/sqlite.ts';
import type { Store } from '../../lib/store/store.ts';
import { range, skipWithout, temporaryFolder } from '../support/helpers.ts';
import { openStore } from '../support/open-store.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';

/** A table `photos` with bytes of these lengths, whose ids begin with 1, and a server that watches it. */
type Open = (lengths: number[]) => Promise<Store>;

function testPages(open: Open): void {
  test('a page has as many large rows as fit into 4 MiB, but always one, and the next begins behind them', async () => {
    const store = await open([...range(1, 10).map(() => 700_000), 10, 10, 3_000_000]);
    const pages: number[][] = [];
    for (let after: string | undefined, isMore = true; isMore; ) {
      const page = (await store.readRows('photos', after, 12))!;
      pages.push(page.rows.map((row) => (JSON.parse(row) as { id: number }).id));
      [after, isMore] = [page.last, page.hasMore];
    }
    assert.deepEqual(pages.flat(), range(1, 13), 'each row once, in order');
    // On PostgreSQL a page also ends after a second, which a busy machine needs for few rows.
    assert.ok(pages[0]!.length <= 4 && pages[1]!.length <= 4, JSON.stringify(pages));
  });
}

describe('on SQLite', () => {
  const folder = temporaryFolder();
  const make = (name: string, lengths: number[]) => {
    const databaseUrl = join(folder, `${name}.db`);
    const db = openDatabase(databaseUrl);
    db.exec('CREATE TABLE photos (id integer PRIMARY KEY, bytes blob)');
    for (const length of lengths) db.prepare('INSERT INTO photos (bytes) VALUES (randomblob(?))').run(length);
    return { db, open: () => openStore({ DATABASE_URL: databaseUrl, WATCH: 'photos' }) };
  };

  testPages(async (lengths) => {
    const { db, open } = make('pages', lengths);
    db.close();
    return open();
  });

  test('bytes cost whoever makes, moves or deletes them time by their length, and not by its square', async () => {
    const { db, open } = make('bytes', []);
    await open();
    const cost = (sql: string) => {
      const since = process.cpuUsage();
      db.exec(sql);
      return process.cpuUsage(since).user;
    };
    const steps = (id: number, length: number) => [
      `INSERT INTO photos VALUES (${id}, randomblob(${length}))`,
      `UPDATE photos SET id = id + 10 WHERE id = ${id}`,
      `DELETE FROM photos WHERE id = ${id + 10}`,
    ];
    const small = steps(1, 30_000).map(cost);
    const large = steps(2, 300_000).map(cost);
    const times = large.map((each, i) => each / small[i]!);
    assert.ok(
      times.every((each) => each < 40), // by the square it is 100
      `ten times as many bytes cost ${times.map(Math.round)} times as much`,
    );
    db.close();
  });

  test('bytes are read for a page in a fraction of the time that a trigger of plain SQL takes', async () => {
    const { db, open } = make('quick', []);
    const store = await open();
    const start = process.cpuUsage();
    db.exec(
      'INSERT INTO photos VALUES (1, randomblob(700000)), (2, randomblob(700000)), (3, randomblob(700000))',
    );
    const { user: ofTriggers } = process.cpuUsage(start);
    const since = process.cpuUsage();
    assert.equal((await store.readRows('photos', undefined, 10))!.rows.length, 3);
    const { user: ofPage } = process.cpuUsage(since);
    assert.ok(ofPage * 3 < ofTriggers, `${ofPage} µs, the triggers ${ofTriggers} µs`);
    db.close();
  });
});

describe('on PostgreSQL', { skip: skipWithout(INITDB, 'postgresql') }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster?.stop());

  testPages(async (lengths) => {
    const url = await cluster.createDatabase('pages');
    const program = await cluster.connect('pages');
    // Not packed on disk: to unpack them would cost more than all else here.
    await program.query(`CREATE TABLE photos (id integer PRIMARY KEY, bytes bytea);
      ALTER TABLE photos ALTER bytes SET STORAGE external;
      INSERT INTO photos SELECT id, convert_to(repeat('x', length), 'UTF8') FROM unnest(ARRAY[${lengths}]) WITH ORDINALITY AS list (length, id)`);
    await program.end();
    return openStore({ DATABASE_URL: url, WATCH: 'photos' });
  });
});
