// Rows of watched tables, for a snapshot: each is put together by the same SQL as in the events, so it is the same to
// the byte. A page begins at a place in the primary key, so that a page of a large table costs what a page costs.
import type Database from 'better-sqlite3';
import { endPage, parsePlace } from './row-place.ts';
import { quote } from './sql-text.ts';
import { base64Sql, fittedSql, keyOf, keySql, sourceSql, wholeSql } from './sqlite-json.ts';
import { readSteps } from './sqlite-steps.ts';
import { planWatch, type WatchedTable } from './sqlite-watch-plan.ts';

const MAX_PAGE_BYTES = 4 * 1024 * 1024; // a page is read in one go, by the event loop

/** A value of a key as SQLite gives and takes it: integers are whole, however large. */
type Value = bigint | number | string | Buffer | null;

/** A table as it is now. */
type Table = {
  /** With it the source of each row begins. */
  source: string;
  /** The source of a row `t`, in SQL; and the columns of its primary key. */
  itsSource: string;
  key: string[];
  /** Reads rows `t`: of each its JSON, its source, and the values of its key. */
  select: (where: string) => Database.Statement<unknown[], Value[]>;
};

export class SqliteRows {
  private readonly db: Database.Database;
  private readonly watch: ReadonlySet<string>;
  /** By the names that they were created with, as they were at `seenSchema`. */
  private readonly tables = new Map<string, Table>();
  private seenSchema: unknown;

  /** @param watch the tables, by the names that they were created with */
  constructor(db: Database.Database, watch: ReadonlySet<string>) {
    this.db = db;
    this.watch = watch;
    // What a trigger must do in plain SQL takes a second for some megabytes, and this is the event loop.
    db.function('changebell_to_base64', (bytes) => (bytes as Buffer).toString('base64'));
  }

  /**
   * The table as it is at this moment: an application may have altered it, or made it anew. SQLite counts the changes
   * of a schema, and we are in a transaction: so what is prepared fits the rows that are read next.
   */
  private find(name: string): Table | undefined {
    const schema = this.db.pragma('schema_version', { simple: true });
    if (schema !== this.seenSchema) {
      this.tables.clear();
      // The writing thread complains of what isn't there; here it is a 404.
      for (const watched of planWatch(this.db, this.watch, () => {}))
        this.tables.set(watched.table, describe(this.db, watched));
      this.seenSchema = schema;
    }
    return this.tables.get(name);
  }

  /**
   * Ascending by the key, from `after` on; a row more than the page has is read, which tells of `hasMore`. Undefined if the
   * table isn't watched, or isn't there.
   * @throws {Problem} 400 if `after` is no place that a page gave, or as `endPage`
   */
  page(name: string, after: string | undefined, limit: number) {
    const table = this.find(name);
    if (!table) return undefined;
    const key = after === undefined ? [] : parsePlace(after, table.key.length, parse);
    const read = (many: number, before: Value[][]) => readStep(table, key, many, before.length);
    const found = readSteps(limit + 1, MAX_PAGE_BYTES, read, (row) => Buffer.byteLength(jsonOf(row)));
    const hasMore = found.isCut || found.rows.length > limit;
    const page = endPage(found.rows.slice(0, limit), hasMore, placeOf);
    return {
      ...page,
      rows: page.rows.map(jsonOf),
      keys: page.rows.map((row) => (row[1] as string).slice(table.source.length + 1)),
    };
  }

  /** The JSON of the row whose events have this key at the end of their source. */
  row(name: string, key: string): string | undefined {
    const table = this.find(name);
    if (!table) return undefined;
    const parts = key.split(',').map(decode); // a comma inside of a part is percent-encoded
    if (parts.length !== table.key.length) return undefined;
    // A URI doesn't say whether a part of the key is a text, a number, or bytes in hexadecimal digits. By these the
    // index finds the row; its source then says whether it is the one meant.
    const isHit = table.key.map(
      (name, i) => `${name} IN (@${i}, CAST(replace(@${i}, 'Inf', '9e999') AS NUMERIC), unhex(@${i}))`,
    );
    const one = table.select(`WHERE ${[...isHit, `${table.itsSource} = @source`].join(' AND ')}`);
    return one.get({ ...parts, source: `${table.source}/${key}` })?.[0] as string | undefined;
  }
}

/** Integers come as bigint: a key above 2^53 must lead back to its row. Raw rows: a key's columns may have any name. */
function describe(db: Database.Database, { table, source, columns }: WatchedTable): Table {
  const key = keyOf(columns).map(({ name }) => `t.${quote(name)}`);
  // As in the events: a row of more than 1 MiB is its key alone. SQLite knows how long a column is without reading it.
  const length = columns.map(({ name }) => `(octet_length(t.${quote(name)}))`).join();
  const isLong = `(SELECT sum(v) FROM (SELECT NULL AS v WHERE 0 UNION ALL VALUES ${length})) > 1048576 * length(CAST('a' AS BLOB))`;
  const whole = `CASE WHEN ${isLong} THEN NULL ELSE ${wholeSql(columns, 't')} END AS json`;
  const plain = `(SELECT data FROM (SELECT ${fittedSql(`SELECT ${whole}`, keySql(columns, 't'))}))`;
  const json = plain.replaceAll(base64Sql('v'), 'changebell_to_base64(v)');
  const itsSource = sourceSql(source, columns, 't');
  const all = `SELECT ${[json, itsSource, ...key].join()} FROM ${quote(table)} AS t`;
  const select = (where: string) => db.prepare<unknown[], Value[]>(`${all} ${where}`).raw().safeIntegers();
  return { source, itsSource, key, select };
}

function jsonOf(row: Value[]): string {
  return row[0] as string;
}

/** Keys are compared column by column, as row values: so SQLite finds the place by the index of the key. */
function readStep({ key, select }: Table, place: Value[], many: number, skipped: number): Value[][] {
  const order = `ORDER BY ${key.join()} LIMIT ? OFFSET ?`;
  if (place.length === 0) return select(order).all(many, skipped);
  const marks = place.map(() => '?').join();
  if (!place.includes(null))
    return select(`WHERE (${key.join()}) > (${marks}) ${order}`).all(...place, many, skipped);
  // NULL, which a PRIMARY KEY of SQLite may have, is below every value, and equal to none. No index serves this; and
  // rows that share such a key can't be told apart by a place.
  const columns = key.map((name) => `${name} IS NOT NULL, coalesce(${name}, 0)`);
  const values = place.flatMap((value) => [value === null ? 0 : 1, value ?? 0]);
  return select(`WHERE (${columns.join()}) > (${marks}, ${marks}) ${order}`).all(...values, many, skipped);
}

/** A part of a key in a URI, as text; by what is none nothing is found. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// --- a place in a table, as text

/** Of a row as it was read: its key begins behind its JSON and its source. */
function placeOf(row: Value[]): string {
  return JSON.stringify(row.slice(2).map(format));
}

/** A letter says of which kind the value is: SQLite orders numbers, texts and bytes one after the other. */
function format(value: Value): string {
  if (typeof value === 'bigint') return `i${value}`;
  if (typeof value === 'number') return `r${value}`;
  if (typeof value === 'string') return `t${value}`;
  return value === null ? 'n' : `b${value.toString('hex')}`;
}

const PARSE: Record<string, (rest: string) => Value> = {
  i: (rest) => BigInt.asIntN(64, BigInt(rest)),
  r: Number,
  t: String,
  b: (rest) => Buffer.from(rest, 'hex'),
  n: () => null,
};

/** @throws where there is no such kind, or no such number */
function parse(part: string): Value {
  return PARSE[part.slice(0, 1)]!(part.slice(1));
}
