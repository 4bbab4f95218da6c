// Databases that older programs made are brought up to date at the start: events keep their ids, answers their keys.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { openPostgresStore } from '../../lib/store/postgres-store.ts';
import { eventually, skipWithout } from '../support/helpers.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';

describe('older PostgreSQL databases', { skip: skipWithout(INITDB, 'postgresql') }, () => {
  let cluster: Cluster;
  const urls = new Map<string, string>();
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster?.stop());

  /** All that is ours, as the database has it. */
  const OBJECTS = `SELECT pg_get_functiondef(oid) AS it FROM pg_proc WHERE proname LIKE 'changebell%'
    UNION ALL SELECT pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE tgname LIKE 'changebell%'
    UNION ALL SELECT conrelid::regclass::text || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid::regclass::text LIKE 'changebell%'
    UNION ALL SELECT table_name || column_name || data_type || coalesce(column_default, '') || is_nullable || is_identity
      FROM information_schema.columns WHERE table_name LIKE 'changebell%' ORDER BY 1`;

  async function open(name: string, dump?: string) {
    const databaseUrl = urls.get(name) ?? (await cluster.createDatabase(name));
    urls.set(name, databaseUrl);
    if (dump) {
      const old = await cluster.connect(name);
      await old.query(readFileSync(new URL(`fixtures/${dump}`, import.meta.url), 'utf8'));
      await old.end();
    }
    const reopen = () => openPostgresStore({ databaseUrl, eventRetention: 1000, watch: new Set() });
    const store = await reopen();
    const program = await cluster.connect(name);
    const look = async () => (await program.query(OBJECTS)).rows.map(({ it }) => it);
    return { store, reopen, program, look, objects: await look() };
  }

  for (const version of [
    'version-1',
    'version-2-early',
    'version-2-short',
    'version-2-drafts',
    'version-2-numbered',
  ]) {
    test(`a database of ${version} becomes what a new one is, with the events that it had`, async () => {
      const name = version.replaceAll('-', '_');
      const [fresh, old] = [await open(`new_${name}`), await open(name, `postgres-${version}.sql`)];
      assert.deepEqual(old.objects, fresh.objects);
      const { pruned, head } = await old.store.position();
      const { events, reset } = await old.store.readEvents(pruned, 100, 100, 1e6);
      assert.deepEqual(
        [reset, head.seq, events.map(({ type }) => type)],
        [undefined, 2, ['customer.created', 'notification']],
      );
      if (version === 'version-1')
        assert.equal(new Set(events.map(({ stamp }) => stamp)).size, 1, 'the name of the log');
      const { rows } = await old.program.query(
        'SELECT key, request, event_id FROM changebell_idempotency ORDER BY key',
      );
      const idempotency = { key: 'k2', request: rows[1].request };
      const repeat = { type: 'notification', source: '/api/events', data: '{}', extensions: null };
      const replay = await old.store.write({ op: 'publish', events: [repeat], isList: false, idempotency });
      assert.equal(replay.isReplay, true);
      assert.equal(JSON.parse(replay.json).id, `${head.stamp}-2`);
      assert.equal(replay.lastEventId, `${head.stamp}-2`);
      const made = await old.store.write({ op: 'create', fields: { name: 'New', email: null } });
      assert.equal(JSON.parse(made.json).id, 2);
      for (const { store, program } of [fresh, old]) await Promise.all([store.close(), program.end()]);
    });
  }

  test('who writes to the customers meanwhile is not met on the way: the log alone is locked', async () => {
    const { store, reopen, program } = await open('busy');
    await store.close();
    // As the versions left it that had our schema on their search path.
    await program.query(`
      ALTER TABLE changebell_events DROP CONSTRAINT changebell_form, ADD CONSTRAINT changebell_form CHECK (seq > 0);
      DO $$ DECLARE line text; BEGIN
        FOR line IN SELECT format('COMMENT ON TRIGGER %I ON customers IS %L', tgname,
          regexp_replace(obj_description(oid, 'pg_trigger'), '\\S+$', md5(pg_get_triggerdef(oid) || tgenabled::text)))
          FROM pg_trigger WHERE tgrelid = 'customers'::regclass
        LOOP EXECUTE line; END LOOP;
      END $$`);
    await program.query('BEGIN; LOCK TABLE customers IN ROW EXCLUSIVE MODE');
    const upgraded = await reopen();
    await program.query("INSERT INTO customers (name) VALUES ('Ada'); COMMIT");
    await upgraded.close();
    await program.end();
  });

  test('a function of ours that no version uses any more goes at the next start, and no other', async () => {
    const { store, program } = await open('unused');
    await store.close();
    await program.query(`
      CREATE FUNCTION changebell_old(of text) RETURNS text LANGUAGE sql AS 'SELECT $1';
      COMMENT ON FUNCTION changebell_old IS 'Changebell 0 1';
      CREATE FUNCTION changebell_used() RETURNS text LANGUAGE sql AS $f$SELECT text 'a'$f$;
      COMMENT ON FUNCTION changebell_used IS 'Changebell 2 3';
      CREATE VIEW user_of_it AS SELECT changebell_used();
      CREATE FUNCTION changebell_theirs() RETURNS text LANGUAGE sql AS $f$SELECT text 'b'$f$`);
    await program.end();
    const again = await open('unused');
    const { rows } = await again.program.query(
      "SELECT proname FROM pg_proc WHERE proname ~ '^changebell_(old|used|theirs)$' ORDER BY 1",
    );
    assert.deepEqual(
      rows.map(({ proname }) => proname),
      ['changebell_theirs', 'changebell_used'],
    );
    await again.store.close();
    await again.program.end();
  });

  test('a server whose functions another version has taken away, as it didn’t know them, makes them anew', async (t) => {
    t.mock.method(console, 'error', () => {}); // the database's words, and the line that says so
    const { store, program, look, objects } = await open('robbed');
    await program.query('DROP FUNCTION changebell_page, changebell_json, changebell_write_together');
    const read = () => store.readRows('customers', undefined, 1).then((page) => page!.rows.length, String);
    const write = () => store.write({ op: 'create', fields: { name: 'Ada' } }).then(() => 1, String);
    for (const work of [write, read]) await eventually(work, (it) => it === 1, 'it works again');
    assert.deepEqual(await look(), objects);
    await store.close();
    await program.end();
  });

  test('customers that have lost all their triggers are still ours, and are announced again', async () => {
    const { store, reopen, program, look, objects } = await open('bereft');
    await store.close();
    for (const name of ['customer_changed', 'customer_updating', 'customers_truncated', 'refuse'])
      await program.query(`DROP FUNCTION changebell_${name} CASCADE`);
    await (await reopen()).close();
    assert.deepEqual(await look(), objects);
    await program.end();
  });
});
