// What REPLACE pushes out: SQLite fires no trigger for a row that gives way to another one under a UNIQUE index. So
// each row that could give way is put aside before a row is written, and announced as deleted once that row is there:
// then it must have given way. A row of the same key isn't put aside, since the new one is announced at its place.
// The triggers stand only on tables that have such an index beside their key.
import type Database from 'better-sqlite3';
import {
  type Column,
  isOther,
  keyOf,
  keySql,
  MAX_ROW_BYTES,
  quote,
  roughSizeSql,
  rowSql,
  sourceSql,
  text,
} from './sqlite-json.ts';
import type { Watched } from './watch.ts';

/** The end of a trigger's name, when it fires, and its body. */
export type Part = { ending: string; on: string; body: string };

/** What announces the evictions of a table. @param data what is told of a row `t` of it */
export function evictionParts(
  db: Database.Database,
  { table, type, source }: Watched,
  columns: Column[],
  data = rowSql(columns, 't'),
): Part[] {
  const indexes = readIndexes(db, table);
  if (indexes.length === 0) return [];
  const key = keyOf(columns);
  const name = text(table);
  const isHit = indexes.map((index) => `(${index.map(isEqual).join(' AND ')})`).join(' OR ');
  const hits = (other: string) =>
    `FROM ${quote(table)} AS t WHERE (${isHit}) AND ${isOther(key, 't', 'NEW')}${other}`;
  const before = (on: string, writer: string, other: string) => ({
    on: `BEFORE ${on} ON ${quote(table)} WHEN ${IS_ANY(name)} OR EXISTS (SELECT 1 ${hits(other)})`,
    // Whatever OR IGNORE or OR FAIL left from a row that was not written goes first.
    body: `DELETE FROM changebell_evicted WHERE watched = ${name};
  INSERT INTO changebell_evicted (watched, writer, source, data, extensions)
  SELECT ${name}, ${writer}, source, CASE WHEN fits THEN json ELSE key END,
    CASE WHEN fits THEN NULL ELSE '{"truncated":true}' END
  FROM (SELECT source, key, json, coalesce(length(CAST(json AS BLOB)) <= ${MAX_ROW_BYTES}, 0) AS fits FROM (
    SELECT ${sourceSql(source, key, 't')} AS source, ${keySql(key, 't')} AS key,
      CASE WHEN ${roughSizeSql(columns, 't')} <= 1048576 THEN ${data} END AS json ${hits(other)}));`,
  });
  const after = (on: string, writer: string) => ({
    on: `AFTER ${on} ON ${quote(table)} WHEN ${IS_ANY(name)}`,
    // Where one of them is still there, its index is gone, and nothing had to give way.
    body: `INSERT INTO changebell_events (type, source, data, extensions)
  SELECT ${text(`${type}.deleted`)}, source, data, extensions FROM changebell_evicted
  WHERE watched = ${name} AND writer = ${writer} AND NOT EXISTS (SELECT 1 ${hits('')});
  DELETE FROM changebell_evicted WHERE watched = ${name} AND writer = ${writer};`,
  });
  // Another trigger of the application may change or delete such a row in between: that is announced by itself.
  const forget = `DELETE FROM changebell_evicted WHERE watched = ${name} AND source = ${sourceSql(source, key, 'OLD')};`;
  const [ofNew, update] = [sourceSql(source, key, 'NEW'), `UPDATE${ofColumns(indexes, columns)}`];
  const replaced = after(update, ofNew);
  return [
    { ending: 'inserting', ...before('INSERT', "''", '') }, // it may have no key yet
    { ending: 'inserted', ...after('INSERT', "''") },
    { ending: 'updating', ...before(update, ofNew, ` AND ${isOther(key, 't', 'OLD')}`) },
    { ending: 'replaced', ...replaced, body: `${forget}\n  ${replaced.body}` },
    { ending: 'left', on: `AFTER DELETE ON ${quote(table)} WHEN ${IS_ANY(name)}`, body: forget },
  ];
}

const IS_ANY = (name: string) => `EXISTS (SELECT 1 FROM changebell_evicted WHERE watched = ${name})`;

/** A column of an index, and the collation by which it is unique. */
type Indexed = { name: string; coll: string };

/**
 * Its UNIQUE indexes but the one that only says which bytes its key has. Not those of part of a table, or of an
 * expression: SQLite tells neither's text in parts.
 */
function readIndexes(db: Database.Database, table: string): Indexed[][] {
  const list = db.prepare<[string], { name: string; origin: string }>(
    'SELECT name, origin FROM pragma_index_list(?) WHERE "unique" = 1 AND partial = 0 ORDER BY name',
  );
  const parts = db.prepare<[string], { name: string | null; coll: string }>(
    'SELECT name, coll FROM pragma_index_xinfo(?) WHERE key = 1',
  );
  return list
    .all(table)
    .map(({ name, origin }) => ({ origin, index: parts.all(name) }))
    .filter(({ origin, index }) => origin !== 'pk' || index.some(({ coll }) => coll !== 'BINARY'))
    .map(({ index }) => index)
    .filter((index): index is Indexed[] => index.every(({ name }) => name !== null));
}

function isEqual({ name, coll }: Indexed): string {
  return `t.${quote(name)} = NEW.${quote(name)} COLLATE ${quote(coll)}`;
}

/** Nobody names a generated column in an UPDATE: then any may concern it. */
function ofColumns(indexes: Indexed[][], columns: Column[]): string {
  const names = [...new Set(indexes.flat().map(({ name }) => name))];
  const isPlain = names.every((name) =>
    columns.some((column) => column.name === name && column.hidden === 0),
  );
  return isPlain ? ` OF ${names.map(quote).join()}` : '';
}
