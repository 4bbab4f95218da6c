// How the rows of a resource are written in SQLite, and read back. The JSON of a row is put together by the SQL that its
// events are made with: an answer and an event are the same to the byte.
import type Database from 'better-sqlite3';
import { CUSTOMERS } from '../customer.ts';
import type { Fields, Resource } from '../resource.ts';
import { WATCHED_RESOURCES } from '../resources.ts';
import { rowSql } from './sqlite-json.ts';
import type { WatchedTable } from './sqlite-watch-plan.ts';

/** Whose rows can be written; a watched resource has its columns from there. */
export type TableOptions = { hasCustomers: boolean; watched: WatchedTable[] };

/** What can be done with the rows of one resource. */
export type Table = ReturnType<typeof openTable>;

/** Each resource whose rows can be written here, by the name of its table. */
export function openTables(
  db: Database.Database,
  { hasCustomers, watched }: TableOptions,
): Map<string, Table> {
  const tables = new Map<string, Table>();
  const customer = 'SELECT json FROM changebell_customers WHERE id = ?';
  if (hasCustomers) tables.set('customers', openTable(db, CUSTOMERS, customer));
  for (const resource of WATCHED_RESOURCES) {
    const { columns } = watched.find(({ table }) => table === resource.table)!; // `readConfig` adds it to WATCH
    const row = `SELECT ${rowSql(columns, 't')} FROM ${resource.table} AS t WHERE id = ?`;
    tables.set(resource.table, openTable(db, resource, row));
  }
  return tables;
}

/**
 * Nothing is prepared before its first use: a trigger of another program that stands behind it may be broken. That
 * refuses the writes which fire it, and must not keep the program from starting.
 * @param row a query for the JSON of one row, by its id
 */
function openTable(db: Database.Database, { table, type, fields }: Resource, row: string) {
  // Of our own code, never of a request: so they may stand in SQL as they are.
  const names = Object.keys(fields);
  const list = `${table} (${names.join()})`;
  const insert = `INSERT INTO ${list} VALUES (${names.map((name) => `@${name}`).join()})`;
  const extracted = names.map((name) => `json_extract(value, '$.${name}')`);
  const insertAll = `INSERT INTO ${list} SELECT ${extracted.join()} FROM json_each(?)`;
  // All fields, also those that stay: one statement does for every patch.
  const update = `UPDATE ${table} SET ${names.map((name) => `${name} = @${name}`).join()} WHERE id = @id`;
  const remove = `DELETE FROM ${table} WHERE id = ?`;
  return {
    /** The type of the event that an insert writes. */
    created: `${type}.created`,
    row: (id: number | bigint) => db.prepare<[number | bigint], string>(row).pluck().get(id),
    insert: (values: Fields) => db.prepare(insert).run(values),
    /** Many rows at once: one statement, so that what a statement costs is paid once. */
    insertAll: (rows: Fields[]) => db.prepare(insertAll).run(JSON.stringify(rows)),
    update: (id: number, values: Fields) => db.prepare(update).run({ ...values, id }),
    remove: (id: number) => db.prepare(remove).run(id),
  };
}
