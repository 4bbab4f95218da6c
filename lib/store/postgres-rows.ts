// Rows of watched tables, for a snapshot: each is put together by the same functions as in the events, so it is the
// same to the byte. A page begins at a place in the primary key, so that a page of a large table costs what a page costs.
import { Problem } from '../problem.ts';
import type { Reader } from './postgres-reader.ts';
import type { WatchedTable } from './postgres-watch.ts';
import { endPage, parsePlace } from './row-place.ts';
import { quote, text } from './sql-text.ts';
import type { RowPage } from './store.ts';

/** Rows and pages of the customers, and of the tables that WATCH names. Of any other nothing is found: that is no error here. */
export class Rows {
  private readonly reader: Reader;
  private readonly schema: string;
  private readonly tables: Map<string, WatchedTable>;

  constructor(reader: Reader, schema: string, watched: WatchedTable[]) {
    this.reader = reader;
    this.schema = schema;
    this.tables = new Map(watched.map((table) => [table.table, table]));
  }

  /**
   * Up to `limit` rows in the order of the primary key, and the place in the log at which they are true; undefined if
   * the table isn't watched, or gone. `after` is the `last` of the page before. @throws {Problem} 400 if it was never one, 503
   */
  async page(name: string, after: string | undefined, limit: number): Promise<RowPage | undefined> {
    if (this.isOurs(name)) return this.reader.customers(after, limit);
    const table = this.tables.get(name);
    if (!table || table.isAway) return undefined;
    const key = after === undefined ? [] : parsePlace(after, table.key.length, String);
    const reading = this.reader.page(this.select(table, key.length > 0), key, limit);
    const page = await this.unlessGone(table, reading);
    if (!page) return undefined;
    const { rows, ...end } = endPage(page.rows, page.hasMore, ({ key }) => key);
    const told = rows.map(({ json }) => parseTold(table, json));
    return { rows: told.map((row) => row.json), keys: told.map((row) => row.key), head: page.head, ...end };
  }

  /** The row whose events' source ends with this key, as JSON; undefined if there is none. @throws {Problem} 503 */
  async row(name: string, key: string): Promise<string | undefined> {
    if (this.isOurs(name)) return this.reader.customer(key);
    const table = this.tables.get(name);
    if (!table || table.isAway) return undefined;
    const isFound = table.key.map((name, i) => isKey(table, i, `t.${quote(name)}`)).join(' AND ');
    const told = this.told(table);
    // `7`, and not `+7` or `7.0`: a token's sources are texts, and would not know the row by another name.
    const text = `SELECT ${told} AS told FROM ${rowsOf(table)} AS t WHERE ${isFound} AND pg_catalog.starts_with(${told}, $2)`;
    // Without a name: under one, each session would keep a plan for each table that was ever asked for.
    const values = [parseKey(key), `${table.source}/${key} `];
    const reading = this.reader.read<{ told: string }>({ text, isReady: true }, values);
    const found = (await this.unlessGone(table, reading.catch(asNoRows)))?.[0];
    return found && parseTold(table, found.told).json;
  }

  /** Another program's table of this name is one that is watched. */
  private isOurs(name: string): boolean {
    return name === 'customers' && !this.tables.has(name);
  }

  /** A table that was dropped while the server runs has no rows: the database has not failed. */
  private async unlessGone<T>({ relation }: WatchedTable, reading: Promise<T>): Promise<T | undefined> {
    try {
      return await reading;
    } catch (error) {
      const { code = '' } = ((error as Error).cause ?? {}) as { code?: string };
      if (!/^(42P01|3F000)$/.test(code)) throw error; // of a table, or a schema, that is not there
      const isThere = 'SELECT pg_catalog.to_regclass($1) IS NOT NULL AS it';
      if ((await this.reader.read<{ it: boolean }>(isThere, [relation]))[0]!.it) throw error;
      return undefined;
    }
  }

  /** A page of a table by its key: its place, where to go on after it, and what is told of it. */
  private select(table: WatchedTable, hasStart: boolean): string {
    const columns = table.key.map((column) => `t.${quote(column)}`);
    // A parameter that stands nowhere has no type, and the statement would fail: so `$1` is named also without a start.
    const where = hasStart ? isAfter(table, columns) : '$1::text[] IS NOT NULL';
    // `format` writes a value as its type says. A cast to text could be a function that another role has made.
    const key = `pg_catalog.json_build_array(${columns.map((column) => `pg_catalog.format('%s', ${column})`).join()})::text`;
    return `SELECT ${key}, ${this.told(table)}
      FROM ${rowsOf(table)} AS t WHERE ${where} ORDER BY ${columns.join()} LIMIT $2`;
  }

  /** What SQL says of the row `t`: see `changebell_row_json`. */
  private told({ source, relation }: WatchedTable): string {
    // With the star it is the row, also where the table has a column "t" (PostgreSQL, "Using Composite Types in Queries").
    return `${this.schema}.changebell_row_json(t.*, ${text(relation)}::regclass::oid, ${text(source)})`;
  }
}

/** Its own rows: what is in tables that inherit from it is another table's, of which no trigger tells under this name. */
function rowsOf({ relation, isPartitioned }: WatchedTable): string {
  return isPartitioned ? relation : `ONLY ${relation}`;
}

/** Text that is no value of the key's type is the key of no row. */
function asNoRows(error: unknown): never[] {
  if (error instanceof Problem && error.status === 400) return [];
  throw error;
}

/**
 * Compares as the primary key's index does. A type of an extension is compared as it is written: what is no value of it
 * is then the key of no row, while reading it as one might run code that another role has put there.
 */
function isKey({ keyTypes }: WatchedTable, i: number, column: string): string {
  const { name, isPlain, isNested } = keyTypes[i]!;
  const part = `($1::text[])[${i + 1}]`;
  if (isNested) return '$1::text[] IS NOT NULL'; // the row's source alone tells
  // An array stands in a source as in the row's JSON: `[1,2]`, and not as PostgreSQL writes it.
  const isArray = isPlain && name.endsWith('[]');
  const value = isArray
    ? `ARRAY(SELECT pg_catalog.json_array_elements_text(${part}::pg_catalog.json))`
    : part;
  if (isPlain) return `${column} OPERATOR(pg_catalog.=) ${value}::${name}`;
  return `pg_catalog.format('%s', ${column}) OPERATOR(pg_catalog.=) ${part}`;
}

/** Behind a place in the key's index, as the index orders. One comparison of rows can have but one operator. */
function isAfter({ keyTypes }: WatchedTable, columns: string[]): string {
  const start = keyTypes.map(({ name }, i) => `($1::text[])[${i + 1}]::${name}`);
  const isOne = keyTypes.every(({ after }) => after === keyTypes[0]!.after);
  if (isOne) return `(${columns.join()}) ${keyTypes[0]!.after} (${start.join()})`;
  // The same as one comparison of rows. The part with >= comes first: the index can look for that.
  return keyTypes.reduceRight((rest, { after, from }, i) => {
    const isBehind = `${columns[i]} ${after} ${start[i]}`;
    return rest === '' ? isBehind : `${columns[i]} ${from} ${start[i]} AND (${isBehind} OR ${rest})`;
  }, '');
}

/** A row's key as in the source of its events, and its JSON. The first space ends the source, which has none itself. */
function parseTold({ source }: WatchedTable, told: string): { key: string; json: string } {
  const end = told.indexOf(' ');
  return { key: told.slice(source.length + 1, end), json: told.slice(end + 1) };
}

/** The values of a key as a source has them. A comma inside one was percent-encoded. */
function parseKey(key: string): string[] {
  try {
    return key.split(',').map(decodeURIComponent);
  } catch {
    return []; // bad escapes: no source has them, so no row has that key
  }
}
