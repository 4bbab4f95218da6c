// What REPLACE pushes out: SQLite fires no trigger for a row that gives way to another one under a UNIQUE index. So
// each row that could give way is put aside before a row is written, and announced as deleted once that row is there:
// then it must have given way. A row of the same key isn't put aside, since the new one is announced at its place.
// The triggers stand only on tables that have such an index beside their key.
import type Database from 'better-sqlite3';
import { quote, text } from './sql-text.ts';
import {
  type Column,
  fittedSql,
  isOther,
  keySql,
  lateSql,
  sameKeySql,
  sourceSql,
  wholeSql,
} from './sqlite-json.ts';
import type { Watched } from './watch.ts';

/** The end of a trigger's name, when it fires, and its body. */
export type Part = { ending: string; on: string; when?: string; body: string };

/** What announces the evictions of a table. @param json what is told of a row `t` of it; undefined: all of it */
export function evictionParts(
  db: Database.Database,
  { table, type, source }: Watched,
  columns: Column[],
  json?: string,
): Part[] {
  const rules = readRules(db, table, columns);
  if (rules.length === 0) return [];
  const name = text(table);
  const sourceOf = (row: string) => sourceSql(source, columns, row);
  // The index itself answers this, so it costs a search and no scan.
  const isHit = rules.map((rule) => `(${rule.isHit})`).join(' OR ');
  const hits = `FROM ${quote(table)} AS t WHERE (${isHit}) AND ${isOther(columns, 't', 'NEW')}`;
  const isAny = anyOf(name);
  const whole = `${wholeSql(columns, 'one', json)} ${sameKeySql(table, columns, 'one', 't')}`;
  const row = `${sourceOf('t')} AS source, ${keySql(columns, 't')} AS key, ${lateSql(columns, ['one'], whole)} AS json`;
  // Another trigger of the application may change or delete such a row in between: that is announced by itself.
  const forget = `DELETE FROM changebell_evicted WHERE watched = ${name} AND source = ${sourceOf('OLD')};`;
  // `writer` keeps apart what an application's own triggers update while a row is being written. What is inserted may
  // have no key yet.
  const [ofNew, update] = [sourceOf('NEW'), `UPDATE${ofColumns(rules, columns)}`];
  return [
    { ending: 'inserting', on: 'BEFORE INSERT', ...putAside(name, "''", row, hits) },
    { ending: 'inserted', on: 'AFTER INSERT', when: isAny, body: tellGone(name, "''", type, hits) },
    {
      ending: 'updating',
      on: `BEFORE ${update}`,
      ...putAside(name, ofNew, row, `${hits} AND ${isOther(columns, 't', 'OLD')}`),
    },
    {
      ending: 'replaced',
      on: `AFTER ${update}`,
      when: isAny,
      body: `${forget}\n  ${tellGone(name, ofNew, type, hits)}`,
    },
    // With `recursive_triggers` the eviction fires this, and the trigger of every DELETE has announced it.
    { ending: 'left', on: 'AFTER DELETE', when: isAny, body: forget },
  ];
}

/** False for nearly every row that is ever written, and then the rest costs nothing. */
const anyOf = (name: string) => `EXISTS (SELECT 1 FROM changebell_evicted WHERE watched = ${name})`;

/** Before a row is written. A trigger isn't told of OR REPLACE: so this is for all that would break the rule. */
function putAside(name: string, writer: string, row: string, others: string): Pick<Part, 'when' | 'body'> {
  return {
    when: `${anyOf(name)} OR EXISTS (SELECT 1 ${others})`,
    // Whatever OR IGNORE or OR FAIL left from a row that was not written goes first.
    body: `DELETE FROM changebell_evicted WHERE watched = ${name};
  INSERT INTO changebell_evicted (watched, writer, source, data, extensions)
  SELECT ${name}, ${writer}, source, ${fittedSql(`SELECT ${row} ${others}`, 'key')};`,
  };
}

/**
 * After it was written, which a statement without OR REPLACE would have failed at. Where one of them is still there, its
 * index is gone, and nothing had to give way.
 */
function tellGone(name: string, writer: string, type: string, hits: string): string {
  return `INSERT INTO changebell_events (type, source, data, extensions)
  SELECT ${text(`${type}.deleted`)}, source, data, extensions FROM changebell_evicted
  WHERE watched = ${name} AND writer = ${writer} AND NOT EXISTS (SELECT 1 ${hits});
  DELETE FROM changebell_evicted WHERE watched = ${name} AND writer = ${writer};`;
}

/** What a UNIQUE index forbids: that this holds of another row `t` and NEW. It is of these columns, or of fewer. */
type Rule = { isHit: string; names: string[] };

/** `sql` is null where the index comes from the table's own text; then it is of plain columns. */
type Index = { name: string; sql: string | null; isPlain: 0 | 1 };

/**
 * Those of its UNIQUE indexes. Not of the one that only says which bytes its key has; but where a collation calls two
 * keys equal they are two sources, and the new row is not announced at the old one's place.
 */
function readRules(db: Database.Database, table: string, columns: Column[]): Rule[] {
  const isOf = (condition: string) =>
    `EXISTS (SELECT 1 FROM pragma_index_xinfo(list.name) WHERE key = 1 AND ${condition})`;
  const find = db.prepare<[string], Index>(
    `SELECT list.name, sql, partial = 0 AND NOT ${isOf('name IS NULL')} AS isPlain
     FROM pragma_index_list(?) AS list LEFT JOIN sqlite_schema AS text ON text.type = 'index' AND text.name = list.name
     WHERE "unique" = 1 AND (origin <> 'pk' OR ${isOf("coll <> 'BINARY'")}) ORDER BY list.name`,
  );
  return find.all(table).flatMap((index) => {
    return index.isPlain ? plainRule(db, index) : (textRule(db, table, index, columns) ?? []);
  });
}

/**
 * By the collation of the index, which may be another than that of its column. A value of NULL equals nothing, as the
 * index has it: there it never makes a row give way.
 */
function plainRule(db: Database.Database, { name }: Index): Rule {
  const read = 'SELECT name, coll FROM pragma_index_xinfo(?) WHERE key = 1';
  const parts = db.prepare<[string], { name: string; coll: string }>(read).all(name);
  const isEqual = parts.map(
    ({ name, coll }) => `t.${quote(name)} = NEW.${quote(name)} COLLATE ${quote(coll)}`,
  );
  return { isHit: isEqual.join(' AND '), names: parts.map(({ name }) => name) };
}

/**
 * Of expressions, or of a part of the table: they stand in the text of the index alone. The same text is read of a row
 * that has the values of NEW under the names of the columns. Neither may have a subquery in it, so there is one WHERE.
 * @returns undefined if it can't be read so, as where it calls a function of the application
 */
function textRule(db: Database.Database, table: string, { sql }: Index, columns: Column[]): Rule | undefined {
  const [, list = '', where = '1'] = INDEX.exec(sql!) ?? [];
  const parts = list.replace(/\s(ASC|DESC)\s*(?=,|$)/gi, ' ');
  // What the index doesn't name may be dropped, and so must not be named here.
  const names = columns.map(({ name }) => name).filter((name) => isIn(name, list + where));
  const theNew = ['1', ...names.map((name) => `NEW.${quote(name)} AS ${quote(name)}`)].join();
  // A comment may end each of them, hence the line breaks.
  const isHit = `(${where}\n) AND (${parts}\n) = (SELECT ${parts}\nFROM (SELECT ${theNew}) WHERE ${where}\n)`;
  try {
    db.prepare(`SELECT (SELECT 1 FROM ${quote(table)} AS t WHERE ${isHit}) FROM ${quote(table)} AS "new"`);
  } catch {
    return undefined;
  }
  return { isHit, names };
}

/** To its end, so that there is but one way to read a line of dashes: of many a search would take for ever. */
const COMMENT = String.raw`--[^\n]*(?:\n|$)|/\*(?:(?!\*/).)*(?:\*/|$)`;
/** Before its columns there may be a parenthesis in a name or a comment; and behind them space, comments, and WHERE. */
const INDEX = new RegExp(
  `^(?:"[^"]*"|'[^']*'|\`[^\`]*\`|\\[[^\\]]*\\]|${COMMENT}|(?!--|/\\*)[^("'\`[])*\\((.*?)\\)(?:\\s|${COMMENT})*(?:WHERE\\b(.*))?$`,
  'is',
);

/** As a word of it; a name that is none needs quotes there, and is looked for as it is. */
function isIn(name: string, sql: string): boolean {
  const [its, all] = [name.toLowerCase(), sql.toLowerCase()];
  return /[^\w$\u0080-\uffff]/.test(its)
    ? all.includes(its)
    : all.split(/[^\w$\u0080-\uffff]+/).includes(its);
}

/** Nobody names a generated column in an UPDATE: then any may concern it. */
function ofColumns(rules: Rule[], columns: Column[]): string {
  const names = [...new Set(rules.flatMap((rule) => rule.names))];
  const isPlain = names.every((name) =>
    columns.some((column) => column.name === name && column.hidden === 0),
  );
  return isPlain ? ` OF ${names.map(quote).join()}` : '';
}
