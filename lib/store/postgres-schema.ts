// Our objects in a database: made where there are none, brought up to date where they are older, left alone where they
// are right. A function, view or trigger is one paragraph of a `.sql` file. Its comment in the database says what it
// was made from and what came out, so that an older one, and one that was altered by hand, is made anew.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { WATCHED_RESOURCES } from '../resources.ts';
import { inSchema, type Run } from './postgres-connection.ts';

/** The version of the tables; functions, views and triggers have none, since they are compared. */
export const VERSION = 2;

// The log comes first, since triggers of the others call its functions.
const FILES = [
  'log',
  'pages',
  'write',
  'write-one',
  'watch',
  'watching',
  'row-json',
  'partitions',
  'resource',
];

/** A paragraph of a `.sql` file: what it makes, and the statements that make it. `table` is that of a trigger. */
type Piece = { kind: string; name: string; table: string | undefined; sql: string };

/** How the database has it. `identity` as SQL names it, `definition` is a hash. */
type Seen = { identity: string; definition: string; comment: string | null };

/**
 * Makes all that is ours, in the transaction that is open: a start that fails leaves the database as it was.
 * @returns whether older tables were brought up to date
 */
export async function install(
  run: Run,
  schema: string,
  { isNew, hasCustomers }: { isNew: boolean; hasCustomers: boolean },
): Promise<boolean> {
  await run('SET LOCAL check_function_bodies = off'); // one may stand before what it uses
  const isUpgraded = !isNew && (await upgrade(run, schema));
  for (const file of hasCustomers ? [...FILES, 'customers'] : FILES) await installFile(run, schema, file);
  if (!isNew) await dropUnused(run, schema);
  return isUpgraded;
}

/**
 * Brings older tables up to date. Each step looks at what is there: so a database of any age comes through here, and one
 * that is right costs one look. @returns whether anything had to be done
 */
async function upgrade(run: Run, schema: string): Promise<boolean> {
  const [shape] = await run<Shape>(SHAPE);
  const { hasOneName, numbersAtCommit, hasOldForm, code } = shape!;
  if (hasOneName || numbersAtCommit) {
    // It reads columns that are about to go, and PostgreSQL would not let them.
    await run('DROP VIEW IF EXISTS bell.changebell_position');
    // Functions go with the triggers that call them, which would fire while rows are changed here. All are made anew.
    for (const identity of code) await run(`DROP FUNCTION IF EXISTS ${identity} CASCADE`);
    if (hasOneName) await run(readText('upgrade-1', schema));
    await run(readText('upgrade-2', schema));
  }
  if (hasOldForm) await run(readText('upgrade-3', schema));
  return hasOneName || numbersAtCommit || hasOldForm;
}

type Shape = { hasOneName: boolean; numbersAtCommit: boolean; hasOldForm: boolean; code: string[] };

/** Functions that older versions had. Where another program's view calls one it stays, and so where it isn't ours to drop. */
async function dropUnused(run: Run, schema: string): Promise<void> {
  const files = [...FILES, 'customers', ...WATCHED_RESOURCES.map(({ table }) => table)];
  const names = files.flatMap((file) => readPieces(file, schema)).map(({ name }) => name.split('.').at(-1));
  for (const { identity } of await run<{ identity: string }>(UNUSED, [names]))
    await run(
      `DO $$ BEGIN DROP FUNCTION ${identity}; EXCEPTION WHEN dependent_objects_still_exist THEN END $$`,
    );
}

/** Makes what stands in one of the `.sql` files: a part of ours, or the table of a resource. */
export async function installFile(run: Run, schema: string, file: string): Promise<void> {
  for (const piece of readPieces(file, schema)) {
    if (piece.kind === 'TABLE' || piece.kind === 'TYPE') await makeOnce(run, piece);
    else await makeRight(run, piece);
  }
}

function readText(file: string, schema: string): string {
  return inSchema(readFileSync(new URL(`postgres-${file}.sql`, import.meta.url), 'utf8'), schema);
}

/** Without the comments, which are no part of what is compared: a better word changes nothing in anybody's database. */
function readPieces(file: string, schema: string): Piece[] {
  const pieces: Piece[] = [];
  // An empty line inside a function ends no piece: one begins only with a comment or with CREATE.
  for (const paragraph of readText(file, schema).split(/\n\n(?=--|CREATE)/)) {
    const sql = paragraph.replace(/^--.*\n/gm, '').trim();
    const [, kind = '', name = ''] = /^CREATE (?:UNLOGGED |CONSTRAINT )?(\w+) (\S+?)[\s(]/.exec(sql) ?? [];
    const table = kind === 'TRIGGER' ? / ON (\S+)/.exec(sql)?.[1] : undefined;
    if (kind !== '') pieces.push({ kind, name, table, sql });
  }
  return pieces;
}

/** A table holds what people have saved, so it is never made anew: only `upgrade` changes one, in steps. */
async function makeOnce(run: Run, { name, sql }: Piece): Promise<void> {
  const [found] = await run<{ isThere: boolean }>('SELECT to_regclass($1) IS NOT NULL AS "isThere"', [name]);
  if (!found!.isThere) await run(sql);
}

/**
 * Our text may be the same and the object another one, altered by hand: so both are compared with what was noted. A
 * function that needs other parameters gets another name, since two of one name could not be told apart here.
 */
async function makeRight(run: Run, { kind, name, table, sql }: Piece): Promise<void> {
  const look = async () => (await run<Seen>(LOOK[kind]!, [name, table]))[0];
  const text = createHash('md5').update(sql).digest('hex');
  const mark = ({ definition }: Seen) => `Changebell ${text} ${definition}`;
  const before = await look();
  if (before && before.comment === mark(before)) return;
  // PostgreSQL 13 has no CREATE OR REPLACE for triggers.
  if (before && kind === 'TRIGGER') await run(`DROP TRIGGER ${before.identity}`);
  await run(sql.replace(/^CREATE (FUNCTION|VIEW)/, 'CREATE OR REPLACE $1'));
  // By default everybody may call a function. Ours number events and write into the log: that is for us alone.
  if (kind === 'FUNCTION') await run(`REVOKE ALL ON FUNCTION ${(await look())!.identity} FROM PUBLIC`);
  // Only now: its rights are part of what is noted.
  const after = (await look())!;
  await run(`COMMENT ON ${kind} ${after.identity} IS '${mark(after)}'`);
}

// What shape the tables have. The oldest gave the log one name; the next numbered events in the writer's own commit,
// with a sequence of seqs; the ones after had a form for drafts alone, or one that was asked for whole of every event; the
// newest has none of these.
const SHAPE = `
  SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'bell.changebell_log'::regclass AND attname = 'name'
      AND NOT attisdropped) AS "hasOneName",
    to_regclass('bell.changebell_seq') IS NOT NULL AS "numbersAtCommit",
    NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'bell.changebell_events'::regclass
      AND pg_get_constraintdef(oid) LIKE '%stamp%changebell.numbering%') AS "hasOldForm",
    ARRAY(SELECT pg_proc.oid::regprocedure::text FROM pg_proc JOIN pg_class ON relnamespace = pronamespace
      WHERE pg_class.oid = 'bell.changebell_log'::regclass AND starts_with(proname::text, 'changebell_')) AS code`;

// The comment says that it is ours (`makeRight`): another program may have functions with such names as well.
const UNUSED = `
  SELECT pg_proc.oid::regprocedure::text AS identity FROM pg_proc JOIN pg_class ON relnamespace = pronamespace
  WHERE pg_class.oid = 'bell.changebell_log'::regclass AND pg_has_role(proowner, 'USAGE')
    AND obj_description(pg_proc.oid, 'pg_proc') LIKE 'Changebell %' AND proname <> ALL ($1)`;

// Definitions as the database prints them. A new major version may print them in another way: then all are made anew
// once, and nothing else changes. Who may call a function, and whether a trigger is enabled, are compared too. $1 is the
// name; only a trigger has a table, which is $2. Its text is as if our schema were on the search path, where versions of this
// program differ: to make one of the customers' anew beside a lock on the log would end those who write to both.
const LOOK: Record<string, string> = {
  FUNCTION: `SELECT oid::regprocedure::text AS identity, md5(pg_get_functiondef(oid) || coalesce(proacl::text, '')) AS definition,
      obj_description(oid, 'pg_proc') AS comment
    FROM pg_proc WHERE oid = to_regproc($1) AND $2::text IS NULL`,
  VIEW: `SELECT oid::regclass::text AS identity, md5(pg_get_viewdef(oid)) AS definition,
      obj_description(oid, 'pg_class') AS comment
    FROM pg_class WHERE oid = to_regclass($1) AND $2::text IS NULL`,
  TRIGGER: `SELECT format('%I ON %s', tgname, tgrelid::regclass) AS identity,
      md5(replace(pg_get_triggerdef(pg_trigger.oid), format('FUNCTION %s.', pronamespace::regnamespace), 'FUNCTION ') || tgenabled::text) AS definition,
      obj_description(pg_trigger.oid, 'pg_trigger') AS comment
    FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid WHERE tgname = $1 AND tgrelid = to_regclass($2)`,
};
