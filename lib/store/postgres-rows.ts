// Rows of watched tables, for a snapshot: each is put together by the same functions as in the events, so it is the
// same to the byte. A page begins at a place in the primary key, so that a page of a large table costs what a page costs.
import { Problem } from '../problem.ts';
import type { Reader } from './postgres-reader.ts';
import { inSchema } from './postgres-statements.ts';
import type { WatchedTable } from './postgres-watch.ts';
import type { RowPage } from './store.ts';

export class Rows {
  private readonly reader: Reader;
  private readonly schema: string;
  private readonly tables: Map<string, WatchedTable>;

  constructor(reader: Reader, schema: string, watched: WatchedTable[]) {
    this.reader = reader;
    this.schema = schema;
    this.tables = new Map(watched.map((table) => [table.table, table]));
  }

  /** @throws {Problem} 400 if `after` was never a `last` */
  async page(name: string, after: string | undefined, limit: number): Promise<RowPage | undefined> {
    const table = this.tables.get(name);
    if (!table) return undefined;
    const key = after === undefined ? [] : parsePlace(after, table.key.length);
    const { rows, head } = await this.reader.page(pageOf(table, key.length > 0), key, limit + 1);
    const page = rows.slice(0, limit);
    return { rows: page.map(({ json }) => json), hasMore: rows.length > limit, last: page.at(-1)?.key, head };
  }

  async row(name: string, key: string): Promise<string | undefined> {
    const table = this.tables.get(name);
    if (!table) return undefined;
    const parts = key.split(',').map(decode);
    if (parts.length !== table.key.length || parts.includes(undefined)) return undefined;
    const columns = table.key.map((column) => `t.${quote(column)}`);
    const found = columns.map((column, i) => `${column}::text = ($1::text[])[${i + 1}]`).join(' AND ');
    const text = inSchema(
      `SELECT ${jsonOf(table)} AS json FROM ${table.relation} AS t WHERE ${found}`,
      this.schema,
    );
    return (await this.reader.read<{ json: string }>({ text }, [parts]))[0]?.json;
  }
}

/** A page of a table by its key: place, key, JSON. */
function pageOf(table: WatchedTable, hasStart: boolean): string {
  const columns = table.key.map((column) => `t.${quote(column)}`);
  const start = table.keyTypes.map((type, i) => `($1::text[])[${i + 1}]::${type}`);
  const where = hasStart ? `WHERE (${columns.join()}) > (${start.join()})` : 'WHERE $1::text[] IS NOT NULL';
  const key = `pg_catalog.json_build_array(${columns.map((column) => `${column}::text`).join()})::text`;
  return `SELECT pg_catalog.row_number() OVER (ORDER BY ${columns.join()}), ${key}, ${jsonOf(table)}
    FROM ${table.relation} AS t ${where} ORDER BY ${columns.join()} LIMIT $2`;
}

function jsonOf({ source, relation }: WatchedTable): string {
  const literal = (value: string) => `'${value.replaceAll("'", "''")}'`;
  return `bell.changebell_row_json(t, ${literal(relation)}::regclass::oid, ${literal(source)})`;
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** @throws {Problem} 400 */
function parsePlace(place: string, keys: number): string[] {
  try {
    const parts = JSON.parse(place) as unknown;
    if (Array.isArray(parts) && parts.length === keys) return parts.map(String);
  } catch {
    // said below
  }
  throw new Problem(400, 'after must be the value that the answer before gave in next.');
}

function decode(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}
