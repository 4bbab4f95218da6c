// Partitions of watched tables that come and go while the server runs: what that does to the rows is told.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Client } from 'pg';
import { openPostgresStore } from '../../lib/store/postgres-store.ts';
import type { Store } from '../../lib/store/store.ts';
import { eventually, range, skipWithout } from '../support/helpers.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';

// The column has a name that stands in our own statements, too.
const TABLES = `
  CREATE TABLE parts (id int PRIMARY KEY, moved text) PARTITION BY RANGE (id);
  CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10);
  INSERT INTO parts VALUES (1, 'a'), (2, 'b')`;

describe('partitions of a watched table', { skip: skipWithout(INITDB, 'postgresql') }, () => {
  let cluster: Cluster;
  let program: Client;
  let store: Store;
  let databaseUrl: string;
  let names = 0;
  before(async () => {
    cluster = await startCluster();
  });
  after(async () => {
    await close();
    await cluster?.stop();
  });
  beforeEach(async () => {
    await close();
    names += 1;
    databaseUrl = await cluster.createStarted(`parts_${names}`);
    program = await cluster.connect(`parts_${names}`);
    await program.query(TABLES);
    store = await openStore();
  });

  async function close(): Promise<void> {
    await program?.end();
    await store?.close();
  }

  function openStore(): Promise<Store> {
    return openPostgresStore({ databaseUrl, eventRetention: 100_000, watch: new Set(['parts']) });
  }

  /** What was told, once there are so many events. */
  async function told(many: number): Promise<string[]> {
    const read = async () => {
      const { pruned } = await store.position();
      return (await store.readEvents(pruned, 2 ** 52, 100_000, 2 ** 30)).events;
    };
    const found = await eventually(read, (events) => events.length >= many, `${many} events are in the log`);
    return found.map(({ type, data }) => `${type.slice('parts.'.length)} ${data}`);
  }

  /** The partitions that the server has noted. */
  const noted = async () => {
    const sql = 'SELECT relation::regclass::text AS name FROM changebell_partitions ORDER BY 1';
    return (await program.query<{ name: string }>(sql)).rows.map(({ name }) => name).join();
  };

  test('the rows of one that is detached are told as deleted, and what happens to it then is not', async () => {
    await program.query('ALTER TABLE parts DETACH PARTITION low');
    assert.deepEqual(await told(2), ['deleted {"id":1,"moved":"a"}', 'deleted {"id":2,"moved":"b"}']);
    await eventually(noted, (names) => names === 'parts', 'the partition is forgotten');
    const triggers = () =>
      program.query(`SELECT FROM pg_trigger WHERE tgrelid = 'low'::regclass AND tgname ~ '^changebell'`);
    await eventually(triggers, ({ rows }) => rows.length === 0, 'the triggers are gone');
    await program.query('UPDATE low SET id = 3 WHERE id = 1; TRUNCATE low; DROP TABLE low');
    await program.query("CREATE TABLE low PARTITION OF parts DEFAULT; INSERT INTO parts VALUES (1, 'z')");
    assert.deepEqual((await told(3)).slice(2), ['created {"id":1,"moved":"z"}']);
  });

  test('a table that is watched itself can become a partition of one that is watched, and both are told', async () => {
    await program.query("CREATE TABLE high (LIKE parts INCLUDING ALL); INSERT INTO high VALUES (10, 'x')");
    const both = await openPostgresStore({
      databaseUrl,
      eventRetention: 100_000,
      watch: new Set(['parts', 'high']),
    });
    await program.query('ALTER TABLE parts ATTACH PARTITION high FOR VALUES FROM (10) TO (20)');
    await eventually(noted, (names) => names === 'high,high,low,parts', 'the partition is noted');
    await program.query("INSERT INTO parts VALUES (11, 'y'); TRUNCATE high");
    const types = async () => {
      const { pruned } = await both.position();
      const { events } = await both.readEvents(pruned, 2 ** 52, 100, 2 ** 30);
      return events.filter(({ source }) => source.endsWith('/11')).map(({ type }) => type);
    };
    const expected = ['high.created', 'parts.created', 'high.deleted', 'parts.deleted'];
    await eventually(types, (told) => told.length >= 4, 'row 11 is told as made and gone, twice each');
    assert.deepEqual((await types()).sort(), expected.sort());
    await both.close();
    // Nobody names it any more; what stands on it for the table that it is in stays.
    const one = await openPostgresStore({ databaseUrl, eventRetention: 100_000, watch: new Set(['parts']) });
    await program.query("INSERT INTO parts VALUES (12, 'z')");
    await eventually(
      () => told(1),
      (events) => events.includes('created {"id":12,"moved":"z"}'),
      'row 12 is told',
    );
    await one.close();
  });

  test('what an older version put up beside ours goes, and ends nobody who writes meanwhile', async () => {
    await store.close();
    await program.query(`CREATE TRIGGER changebell_watch AFTER INSERT OR UPDATE OR DELETE ON parts FOR EACH ROW
      EXECUTE FUNCTION changebell_watch('/watch/parts'); ALTER TABLE parts ENABLE ALWAYS TRIGGER changebell_watch`);
    await program.query('BEGIN; LOCK TABLE ONLY parts IN ROW EXCLUSIVE MODE');
    const opening = openStore();
    const waiting = `SELECT FROM pg_locks WHERE relation = 'parts'::regclass AND NOT granted`;
    await eventually(
      () => program.query(waiting),
      ({ rows }) => rows.length > 0,
      'the start waits for the table',
    );
    await program.query("DELETE FROM low WHERE id = 2; UPDATE parts SET moved = 'c'; COMMIT");
    store = await opening;
    await program.query("UPDATE parts SET moved = 'd'");
    // Not by how many: what was written while both triggers stood may be told by each.
    const isLast = (events: string[]) => events.at(-1) === 'updated {"id":1,"moved":"d"}';
    await eventually(() => told(1), isLast, 'what is written then is told');
    const names = `SELECT tgname FROM pg_trigger WHERE tgrelid = 'parts'::regclass AND tgtype & 1 = 1 AND tgparentid = 0`;
    const left = (await program.query<{ tgname: string }>(names)).rows;
    assert.deepEqual(
      left.map(({ tgname }) => tgname.replace(/[0-9a-f]{8}$/, '…')),
      ['changebell_watch_…'],
    );
  });

  test('the rows that one brings are told as created, and those that came to it later only once', async () => {
    await program.query(
      `CREATE TABLE filled (id int PRIMARY KEY, moved text); INSERT INTO filled VALUES (11, 'old')`,
    );
    await program.query(`BEGIN; UPDATE filled SET moved = 'newer'; INSERT INTO filled VALUES (12, 'same');
      ALTER TABLE parts ATTACH PARTITION filled FOR VALUES FROM (10) TO (20);
      INSERT INTO filled VALUES (13, 'after'); COMMIT`);
    await program.query("INSERT INTO parts VALUES (14, 'later')");
    const lines = [
      [11, 'newer'],
      [12, 'same'],
      [13, 'after'],
      [14, 'later'],
    ].map(([id, moved]) => `created {"id":${id},"moved":"${moved}"}`);
    await eventually(noted, (names) => names === 'filled,low,parts', 'the partition is noted');
    assert.deepEqual((await told(4)).sort(), lines);
  });

  test('those of one that was dropped with its rows are not known any more: copies are told to load again, once', async () => {
    await program.query('CREATE TABLE high PARTITION OF parts FOR VALUES FROM (10) TO (20)');
    await eventually(noted, (names) => names === 'high,low,parts', 'the partition is noted');
    await program.query(
      'BEGIN; ALTER TABLE parts DETACH PARTITION low; DROP TABLE low; DROP TABLE high; COMMIT',
    );
    assert.deepEqual(await told(1), ['reset null']);
    await eventually(noted, (names) => names === 'parts', 'both are forgotten');
    await program.query("CREATE TABLE low PARTITION OF parts DEFAULT; INSERT INTO parts VALUES (1, 'z')");
    assert.deepEqual((await told(2)).slice(1), ['created {"id":1,"moved":"z"}']);
  });

  test('one that is made while the server runs is told as any other, TRUNCATE included', async () => {
    await program.query('CREATE TABLE high PARTITION OF parts FOR VALUES FROM (10) TO (20)');
    await program.query("INSERT INTO parts VALUES (11, 'k')");
    await eventually(noted, (names) => names === 'high,low,parts', 'the partition is noted');
    await program.query('TRUNCATE high');
    assert.deepEqual(await told(2), ['created {"id":11,"moved":"k"}', 'deleted {"id":11,"moved":"k"}']);
  });

  test('what was detached while no server ran is told at the next start; of a table made anew, that it is another', async () => {
    await store.close();
    await program.query('ALTER TABLE parts DETACH PARTITION low');
    store = await openStore();
    assert.equal((await told(2)).length, 2);
    await store.close();
    await program.query(`DROP TABLE parts, low; ${TABLES}`);
    store = await openStore();
    await program.query("INSERT INTO parts VALUES (3, 'c')");
    assert.deepEqual((await told(4)).slice(2), ['reset null', 'created {"id":3,"moved":"c"}']);
    assert.equal(await noted(), 'low,parts');
  });

  test('two servers tell what was detached once, in steps, in the order of its rows', async () => {
    await program.query(
      "CREATE TABLE wide PARTITION OF parts DEFAULT; INSERT INTO parts SELECT i, 'x' FROM generate_series(1000, 4000) AS i",
    );
    await told(3001);
    await eventually(noted, (names) => names === 'low,parts,wide', 'the partition is noted');
    const second = await openStore();
    await program.query('ALTER TABLE parts DETACH PARTITION wide');
    const lines = (await told(6002)).slice(3001);
    await eventually(noted, (names) => names === 'low,parts', 'the partition is forgotten');
    assert.deepEqual(
      lines,
      range(1000, 4000).map((id) => `deleted {"id":${id},"moved":"x"}`),
    );
    await second.close();
  });
});
