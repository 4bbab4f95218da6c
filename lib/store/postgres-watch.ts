// WATCH on PostgreSQL: two triggers for each table, one for rows and one for TRUNCATE, put up and taken down
// inside the transaction of the start. `changebell_watch` in the schema does the work; here it is only bound.
import type { Client } from 'pg';
import { cannotWatch, describeWatched, isOwnTable } from './watch.ts';

/** A table by its number, and what its triggers are told. */
type Binding = { table: string; args: string[] };

/** @throws {StartError} naming a table that can't be watched */
export async function planWatch(
  client: Client,
  watch: ReadonlySet<string>,
  hasOurCustomers: boolean,
): Promise<Binding[]> {
  const bindings: Binding[] = [];
  for (const { table, type, source } of describeWatched(watch)) {
    if (isOwnTable(table)) throw cannotWatch(table, 'that is no table of an application');
    if (table === 'customers' && hasOurCustomers)
      throw cannotWatch(table, 'its changes are announced anyway: leave it out');
    const { rows } = await client.query(FIND_TABLE, [table]);
    const found = rows[0];
    if (!found) throw cannotWatch(table, 'there is no such table (upper and lower case count)');
    if (!/[rp]/.test(found.kind))
      throw cannotWatch(table, 'that is not a table, and only tables have triggers for every change');
    if (found.key === null) throw cannotWatch(table, 'that table has no primary key');
    const args = [type, source, JSON.stringify(found.key), JSON.stringify(found.bytes ?? [])];
    bindings.push({ table: found.table, args });
  }
  return bindings;
}

/** Puts up what is missing and takes down what is no longer watched; changes nothing if all is as it should be. */
export async function applyWatch(client: Client, wanted: Binding[]): Promise<void> {
  const { rows } = await client.query(FIND_TRIGGERS);
  const existing = rows.map(({ table, args }) => ({ table, args: String(args).split('\0').slice(0, -1) }));
  const isSame = (a: Binding) => (b: Binding) => JSON.stringify(a) === JSON.stringify(b);
  for (const old of existing.filter((binding) => !wanted.some(isSame(binding)))) {
    await client.query(`DROP TRIGGER changebell_watch ON ${old.table};
      DROP TRIGGER changebell_watch_truncate ON ${old.table}`);
  }
  for (const fresh of wanted.filter((binding) => !existing.some(isSame(binding)))) {
    const call = `changebell_watch(${fresh.args.map((arg) => client.escapeLiteral(arg)).join()})`;
    await client.query(`CREATE TRIGGER changebell_watch AFTER INSERT OR UPDATE OR DELETE ON ${fresh.table}
        FOR EACH ROW EXECUTE FUNCTION ${call};
      CREATE TRIGGER changebell_watch_truncate BEFORE TRUNCATE ON ${fresh.table}
        FOR EACH STATEMENT EXECUTE FUNCTION ${call}`);
  }
}

// A name in the current schema; or, with a dot, in the schema before it. `key` and `bytes` are names of columns.
const FIND_TABLE = `
  SELECT format('%I.%I', nspname, relname) AS table, relkind AS kind,
    (SELECT json_agg(attname ORDER BY array_position(indkey::int2[], attnum))
      FROM pg_attribute JOIN pg_index ON indrelid = attrelid AND indisprimary AND attnum = ANY (indkey)
      WHERE attrelid = class.oid) AS key,
    (SELECT json_agg(attname ORDER BY attnum) FROM pg_attribute
      WHERE attrelid = class.oid AND atttypid = 'bytea'::regtype AND NOT attisdropped) AS bytes
  FROM pg_class AS class JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
  WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
    AND (nspname = current_schema() AND relname = $1 OR nspname || '.' || relname = $1)
  ORDER BY relname = $1 DESC LIMIT 1`;

const FIND_TRIGGERS = `
  SELECT format('%I.%I', nspname, relname) AS table, tgargs AS args
  FROM pg_trigger JOIN pg_class AS class ON class.oid = tgrelid
    JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
  WHERE tgname = 'changebell_watch' AND tgparentid = 0 AND tgfoid = 'changebell_watch'::regproc`;
