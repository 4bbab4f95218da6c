// WATCH on SQLite: three triggers for each table, put up and taken down in one transaction. Whatever program
// writes, its own SQLite runs them, so they use nothing but SQL: a row's JSON is put together as text.
import type Database from 'better-sqlite3';
import { cannotWatch, describeWatched, isOwnTable, type Watched } from './watch.ts';

const MAX_SOURCE = 200;
const SAFE = '9007199254740991'; // the largest integer that JavaScript has whole

/** Triggers by name; the text is what SQLite stores. */
type Triggers = Map<string, string>;

type Column = { name: string; pk: number };

/** The triggers that these tables need. @throws {StartError} naming a table that can't be watched */
export function planWatch(db: Database.Database, watch: ReadonlySet<string>): Triggers {
  const names = new Set([...watch].map((table) => findTable(db, table)));
  return new Map(describeWatched(names).flatMap((watched) => triggersOf(db, watched)));
}

/** Puts up what is missing and takes down what is no longer watched; changes nothing if all is as it should be. */
export function applyWatch(db: Database.Database, wanted: Triggers): void {
  const isSame = ([name, sql]: [string, string]) => readTriggers(db).get(name) === sql;
  if (readTriggers(db).size === wanted.size && [...wanted].every(isSame)) return;
  const renew = db.transaction(() => {
    for (const name of readTriggers(db).keys()) db.exec(`DROP TRIGGER ${quote(name)}`);
    for (const sql of wanted.values()) db.exec(sql);
  });
  renew.immediate();
}

function readTriggers(db: Database.Database): Triggers {
  const rows = db.prepare(
    "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name GLOB 'changebell_watch_*'",
  );
  return new Map((rows.all() as { name: string; sql: string }[]).map(({ name, sql }) => [name, sql]));
}

/** The table's name as it was created: SQLite takes it in upper and lower case. */
function findTable(db: Database.Database, table: string): string {
  if (isOwnTable(table)) throw cannotWatch(table, 'that is no table of an application');
  const find = db.prepare(
    "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE",
  );
  const found = find.get(table) as { name: string; type: string } | undefined;
  if (!found) throw cannotWatch(table, 'there is no such table');
  if (found.type !== 'table')
    throw cannotWatch(table, `that is a ${found.type}, and only tables have triggers for every change`);
  const isOurs = db.prepare(
    "SELECT 1 FROM sqlite_schema WHERE name = 'changebell_customer_created' AND tbl_name = ?",
  );
  if (isOurs.get(found.name)) throw cannotWatch(table, 'its changes are announced anyway: leave it out');
  return found.name;
}

function triggersOf(db: Database.Database, { table, type, source }: Watched): [string, string][] {
  const columns = db
    .prepare('SELECT name, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1')
    .all(table) as Column[];
  const key = columns.filter((column) => column.pk > 0).sort((a, b) => a.pk - b.pk);
  if (key.length === 0) throw cannotWatch(table, 'that table has no primary key');
  const all = (row: string) => columns.map(({ name }) => `${row}.${quote(name)} COLLATE BINARY`).join(', ');

  const trigger = (change: string, on: string, row: 'NEW' | 'OLD', when = ''): [string, string] => {
    const name = `changebell_watch_${table}_${change}`;
    const sql = `CREATE TRIGGER ${quote(name)} AFTER ${on} ON ${quote(table)} ${when}
BEGIN
  INSERT INTO changebell_events (type, source, data)
  VALUES (${text(`${type}.${change}`)}, ${sourceSql(source, key, row)}, ${rowSql(columns, row)});
END`;
    return [name, sql];
  };
  return [
    trigger('created', 'INSERT', 'NEW'),
    trigger('updated', 'UPDATE', 'NEW', `WHEN (${all('NEW')}) IS NOT (${all('OLD')})`),
    trigger('deleted', 'DELETE', 'OLD'),
  ];
}

// --- SQL for a row as JSON

function rowSql(columns: Column[], row: string): string {
  const members = columns.map(
    ({ name }) => `${text(`${JSON.stringify(name)}:`)} || ${valueSql(`${row}.${quote(name)}`)}`,
  );
  return `'{' || ${joined(members)} || '}'`;
}

/** In groups, since SQLite bounds the depth of an expression. */
function joined(members: string[]): string {
  const groups: string[] = [];
  for (let i = 0; i < members.length; i += 30)
    groups.push(`(${members.slice(i, i + 30).join(" || ',' || ")})`);
  return groups.join(" || ',' || ");
}

/** A value by what it is, since a column of SQLite holds any kind. */
function valueSql(value: string): string {
  return `CASE typeof(${value})
    WHEN 'null' THEN 'null'
    WHEN 'integer' THEN iif(${value} BETWEEN -${SAFE} AND ${SAFE}, '' || ${value}, '"' || ${value} || '"')
    WHEN 'real' THEN CASE
      WHEN ${value} = 9e999 THEN '"Infinity"' WHEN ${value} = -9e999 THEN '"-Infinity"'
      WHEN CAST(printf('%!.15g', ${value}) AS REAL) = ${value} THEN printf('%!.15g', ${value})
      ELSE printf('%!.17g', ${value}) END
    WHEN 'text' THEN json_quote(${value})
    ELSE '"' || ${base64Sql(value)} || '"' END`;
}

/** Three bytes are six hexadecimal digits, and each three of those are two characters of base64 (RFC 4648 §4). */
function base64Sql(blob: string): string {
  const digit = (at: number) => `(instr('123456789ABCDEF', substr(h, ${at}, 1)))`;
  const twelveBits = (at: number) => `(256 * ${digit(at)} + 16 * ${digit(at + 1)} + ${digit(at + 2)})`;
  const letter = (index: string) =>
    `substr('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 1 + ${index}, 1)`;
  const four = [1, 4].map(
    (at) => `${letter(`${twelveBits(at)} / 64`)} || ${letter(`${twelveBits(at)} % 64`)}`,
  );
  return `coalesce((WITH RECURSIVE three(i) AS (SELECT 1 UNION ALL SELECT i + 3 FROM three WHERE i + 3 <= length(${blob}))
      SELECT group_concat(substr(${four.join(' || ')}, 1, 1 + n) || substr('==', n), '') FROM (
        SELECT length(substr(${blob}, i, 3)) AS n, hex(substr(${blob}, i, 3)) || '0000' AS h FROM three)), '')`;
}

// --- SQL for the source of an event

function sourceSql(source: string, key: Column[], row: string): string {
  const room = Math.floor((MAX_SOURCE - source.length) / key.length) - 1;
  const parts = key.map(({ name }) => escapedSql(`${row}.${quote(name)}`, room));
  return `${text(`${source}/`)} || ${parts.join(" || ',' || ")}`;
}

/** A part of the key, percent-encoded (RFC 3986 §2.1), and cut where it is too long. */
function escapedSql(value: string, room: number): string {
  const key = `iif(typeof(${value}) = 'blob', hex(${value}), coalesce(CAST(${value} AS TEXT), ''))`;
  const bytes = [1, 3, 5, 7].map(
    (at) => `CASE WHEN length(hex(c)) > ${at} THEN '%' || substr(hex(c), ${at}, 2) ELSE '' END`,
  );
  return `CASE WHEN ${key} NOT GLOB '*[^A-Za-z0-9._~-]*' THEN substr(${key}, 1, ${room}) ELSE (
      WITH RECURSIVE one(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM one WHERE i < min(${room}, length(${key})))
      SELECT CASE '%' WHEN substr(e, -1) THEN substr(e, 1, length(e) - 1) WHEN substr(e, -2, 1) THEN substr(e, 1, length(e) - 2) ELSE e END
      FROM (SELECT substr(group_concat(iif(c GLOB '[A-Za-z0-9._~-]', c, ${bytes.join(' || ')}), ''), 1, ${room}) AS e
        FROM (SELECT substr(${key}, i, 1) AS c FROM one))) END`;
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
