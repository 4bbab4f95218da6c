// SQL for a row as an event: its JSON, and its key as the end of a URI. Whatever program writes, its own SQLite runs this in a
// trigger, perhaps one of 2019, so it uses nothing but plain SQL: the JSON is put together as text.
import { quote, text } from './sql-text.ts';

const SAFE = '9007199254740991'; // the largest integer that JavaScript has whole
const MAX_SOURCE = 8192; // as the check of the log has it
const PIECE = 300; // bytes: whole threes, and few enough
const MAX_KEY_IN_JSON = 10_000; // of each column: the key of a row that is too long may itself be long

/** Stands in the place of a column that was dropped: bytes that no row has by chance. */
const DROPPED = "x'4f9d1c7be0a35826d1f07a94c3b86e52'";

/** A column, and its place in the primary key, 0 if it isn't part of it; `hidden` is 0 unless it is generated. */
export type Column = { name: string; pk: number; hidden: number };

/** The columns of the primary key, in its order. */
export function keyOf(columns: Column[]): Column[] {
  return columns.filter((column) => column.pk > 0).sort((a, b) => a.pk - b.pk);
}

/**
 * Tells of a row: NEW or OLD in a trigger; or the row `t` of what stands behind FROM.
 * @param rest FROM and WHERE, or WHERE alone. Without it the key is not put together for a row that can be told whole
 */
export function eventSql(
  type: string,
  source: string,
  columns: Column[],
  row: string,
  rest?: string,
): string {
  const [place, key] = [sourceSql(source, columns, row), keySql(columns, row)];
  const json = `${lateSql(columns, [row], `${wholeSql(columns, row)} ${rest ?? ''}`)} AS json`;
  const told = rest
    ? `source, ${fittedSql(`SELECT ${place} AS source, ${key} AS key, ${json} ${rest}`, 'key')}`
    : `${place}, ${fittedSql(`SELECT ${json}`, key)}`;
  return `INSERT INTO changebell_events (type, source, data, extensions)
  SELECT ${text(type)}, ${told};`;
}

/**
 * What a trigger says of these rows' columns, so that they may be dropped: SQLite refuses that where a name would lead
 * nowhere. A name that isn't found where it stands is looked for one level further out: there it stands for `DROPPED`.
 * @param sql an expression, and FROM and WHERE, if `rows` needs them
 */
export function lateSql(columns: Column[], rows: string[], sql: string): string {
  const dropped = `(SELECT ${columns.map(({ name }) => `${DROPPED} AS ${quote(name)}`).join()})`;
  return `(SELECT (SELECT ${sql}) FROM ${rows.map((row) => `${dropped} AS ${row}`).join()})`;
}

/**
 * FROM and WHERE: the row of a table, as `alias`, that has the key of another. By IS the index finds it; but a collation
 * may call two keys equal.
 */
export function sameKeySql(table: string, columns: Column[], alias: string, row: string): string {
  const isHit = keyOf(columns).map(({ name }) => `${alias}.${quote(name)} IS ${row}.${quote(name)}`);
  return `FROM ${quote(table)} AS ${alias} WHERE ${isHit.join(' AND ')} AND NOT ${isOther(columns, alias, row)}`;
}

/** The whole row as a JSON object; `row` is NEW, OLD or the name of a table. */
export function rowSql(columns: Column[], row: string): string {
  return objectSql(columns.map(({ name }) => `(${member(name)}, ${row}.${quote(name)})`));
}

/** The same where it can have at most 1 MiB, else NULL: so the work that a row costs its writer is bounded. */
export function wholeSql(columns: Column[], row: string, json = rowSql(columns, row)): string {
  return `CASE WHEN ${roughSizeSql(columns, row)} <= 1048576 THEN ${json} END`;
}

/**
 * The data and the extensions of the events of some rows: of one that has more than 1 MiB only its key, and that this is
 * so. A character takes one byte at least in UTF-8, two in UTF-16.
 * @param rows a SELECT, with the whole row as `json`; @param key what stands for a row that is too long
 */
export function fittedSql(rows: string, key: string): string {
  return `CASE WHEN fits THEN json ELSE ${key} END AS data,
    CASE WHEN fits THEN NULL ELSE '{"truncated":true}' END AS extensions
  FROM (SELECT *, coalesce(length(CAST(json AS BLOB)) <= 1048576 * length(CAST('a' AS BLOB)), 0) AS fits
    FROM (${rows}))`;
}

/** The key alone as a JSON object, cut where it is very long. */
export function keySql(columns: Column[], row: string): string {
  const key = keyOf(columns);
  const cut = (value: string) =>
    `CASE WHEN typeof(${value}) IN ('text', 'blob') THEN substr(${value}, 1, ${Math.floor(MAX_KEY_IN_JSON / key.length)}) ELSE ${value} END`;
  return objectSql(key.map(({ name }) => `(${member(name)}, ${cut(`${row}.${quote(name)}`)})`));
}

/**
 * Is the key of the one row another than that of the other? Byte by byte, and the kind of a value counts too: 1 and
 * 1.0 are equal, but are written differently at the end of a source.
 */
export function isOther(columns: Column[], one: string, other: string): string {
  const key = keyOf(columns).map(({ name }) => quote(name));
  const parts = (row: string) =>
    key.map((name) => `${row}.${name} COLLATE BINARY, typeof(${row}.${name})`).join();
  return `((${parts(one)}) IS NOT (${parts(other)}))`;
}

/** How many characters the values of a row have at least as JSON: it costs next to nothing to know. */
function roughSizeSql(columns: Column[], row: string): string {
  const values = columns.map(({ name }) => `(${row}.${quote(name)})`);
  return `(SELECT sum(CASE typeof(v) WHEN 'text' THEN length(v) WHEN 'blob' THEN length(v) * 4 / 3 ELSE 0 END)
    FROM (SELECT NULL AS v WHERE 0 UNION ALL VALUES ${values.join()}))`;
}

/**
 * One text for all values, however many columns there are: SQLite bounds the depth of an expression. No NEW or OLD
 * stands in a WITH: there RENAME COLUMN doesn't find it, and fails.
 */
function objectSql(members: string[]): string {
  return `(SELECT '{' || group_concat(name || ${valueSql('v')}, ',') || '}'
    FROM (SELECT NULL AS name, NULL AS v WHERE 0 UNION ALL VALUES ${members.join()}) WHERE v IS NOT ${DROPPED})`;
}

/** The name of a member as JSON text, with its colon: made here once, and not by the trigger for each row. */
function member(name: string): string {
  return text(`${JSON.stringify(name)}:`);
}

/** A value by what it is, since a column of SQLite holds any kind. */
function valueSql(value: string): string {
  return `CASE typeof(${value})
    WHEN 'null' THEN 'null'
    WHEN 'integer' THEN CASE WHEN ${value} BETWEEN -${SAFE} AND ${SAFE} THEN '' || ${value} ELSE '"' || ${value} || '"' END
    WHEN 'real' THEN CASE ${value} WHEN 9e999 THEN '"Infinity"' WHEN -9e999 THEN '"-Infinity"' ELSE ${realSql(value)} END
    WHEN 'text' THEN json_quote(${value})
    ELSE '"' || ${base64Sql(value)} || '"' END`;
}

/**
 * A real whole, with as few digits as that takes: the fewer, the more versions of SQLite write the same ones. They agree on
 * nearly all reals of 16 digits; what CAST makes of most of them is another text in each.
 */
function realSql(value: string): string {
  const digits = (count: number) => `printf('%!.${count}g', ${value})`;
  const ifEnough = (count: number) => `WHEN CAST(${digits(count)} AS REAL) = ${value} THEN ${digits(count)}`;
  return `CASE ${ifEnough(15)} ${ifEnough(16)} ELSE ${digits(17)} END`;
}

/**
 * Three bytes are six hexadecimal digits, and each three of those are two characters of base64 (RFC 4648 §4). In pieces: SQLite
 * copies a value whenever it takes something out of it, so to take three at a time out of 700 KB would cost half a minute.
 * CROSS JOIN keeps the sequence. No deeper: the parser of an older SQLite has room for a hundred open brackets and the like.
 */
export function base64Sql(blob: string): string {
  const two = (at: number) => `(SELECT two FROM changebell_base64 WHERE hex = substr(h, ${at}, 3))`;
  return `coalesce((WITH RECURSIVE piece(at, p) AS (SELECT 1, substr(${blob}, 1, ${PIECE}) UNION ALL
      SELECT at + ${PIECE}, substr(${blob}, at + ${PIECE}, ${PIECE}) FROM piece WHERE at + ${PIECE} <= length(${blob})),
    three(i) AS (SELECT 1 UNION ALL SELECT i + 3 FROM three WHERE i + 3 <= ${PIECE})
    SELECT group_concat(CASE n WHEN 3 THEN ${two(1)} || ${two(4)}
      ELSE substr(${two(1)} || ${two(4)}, 1, 1 + n) || substr('==', n) END, '') FROM (
      SELECT length(substr(p, i, 3)) AS n, substr(hex(substr(p, i, 3)) || '0000', 1, 6) AS h
      FROM piece CROSS JOIN three WHERE i <= length(p))), '')`;
}

/** The source of a row's events: that of its table, and the parts of its key, with commas between. */
export function sourceSql(source: string, columns: Column[], row: string): string {
  const key = keyOf(columns);
  const room = Math.floor((MAX_SOURCE - source.length) / key.length) - 1;
  const parts = key.map(({ name }) => escapedSql(`${row}.${quote(name)}`, room));
  return `${text(`${source}/`)} || ${parts.join(" || ',' || ")}`;
}

/**
 * A part of the key, percent-encoded (RFC 3986 §2.1), and cut where it is too long. Character by character from what is
 * left: to count to each from the first one would cost a long key milliseconds.
 */
function escapedSql(value: string, room: number): string {
  const key = `CASE typeof(${value}) WHEN 'blob' THEN hex(${value}) WHEN 'real' THEN ${realSql(value)}
    ELSE coalesce(CAST(${value} AS TEXT), '') END`;
  return `(SELECT CASE WHEN k NOT GLOB '*[^A-Za-z0-9._~-]*' THEN substr(k, 1, ${room}) ELSE (
      WITH RECURSIVE one(c, rest) AS (SELECT substr(k, 1, 1), substr(k, 2, ${room})
        UNION ALL SELECT substr(rest, 1, 1), substr(rest, 2) FROM one WHERE rest <> '')
      SELECT CASE '%' WHEN substr(e, -1) THEN substr(e, 1, length(e) - 1) WHEN substr(e, -2, 1) THEN substr(e, 1, length(e) - 2) ELSE e END
      FROM (SELECT substr(group_concat(CASE WHEN c GLOB '[A-Za-z0-9._~-]' THEN c ELSE ${percentSql('u')} END, ''), 1, ${room}) AS e
        FROM (SELECT c, unicode(c) AS u FROM one))) END FROM (SELECT ${key} AS k))`;
}

/** The bytes of a code point in UTF-8 (RFC 3629 §3), whatever the encoding of the database is. */
function percentSql(u: string): string {
  const tail = (shift: number) => `(128 | ((${u} >> ${shift}) & 63))`; // `|`, `>>` and `&` bind alike in SQL
  return `CASE WHEN ${u} < 128 THEN printf('%%%02X', ${u})
    WHEN ${u} < 2048 THEN printf('%%%02X%%%02X', 192 | (${u} >> 6), ${tail(0)})
    WHEN ${u} < 65536 THEN printf('%%%02X%%%02X%%%02X', 224 | (${u} >> 12), ${tail(6)}, ${tail(0)})
    ELSE printf('%%%02X%%%02X%%%02X%%%02X', 240 | (${u} >> 18), ${tail(12)}, ${tail(6)}, ${tail(0)}) END`;
}
