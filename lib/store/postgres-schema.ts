// Our objects in a database: made where there are none, brought up to date where they are older, left alone where they
// are right. A function, view or trigger is one paragraph of a `.sql` file. Its comment in the database says what it
// was made from and what came out, so that an older one, and one that was altered by hand, is made anew.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Client } from 'pg';
import { inSchema } from './postgres-statements.ts';
import { upgrade } from './postgres-upgrade.ts';

/** The version of the tables; functions, views and triggers have none, since they are compared. */
export const VERSION = 2;

// The log comes first, since triggers of the others call its functions.
const FILES = ['log', 'write', 'write-one', 'watch', 'row-json', 'partitions', 'resource'];

/** A paragraph of a `.sql` file: what it makes, and the statements that make it. */
type Piece = { kind: string; name: string; sql: string };

/** Without the comments, which are no part of what is compared: a better word changes nothing in anybody's database. */
function readPieces(file: string, schema: string): Piece[] {
  const text = readFileSync(new URL(`postgres-${file}.sql`, import.meta.url), 'utf8');
  const pieces: Piece[] = [];
  // An empty line inside a function ends no piece: one begins only with a comment or with CREATE.
  for (const paragraph of inSchema(text, schema).split(/\n\n(?=--|CREATE)/)) {
    const sql = paragraph.replace(/^--.*\n/gm, '').trim();
    const [, kind = '', name = ''] = /^CREATE (\w+) (\S+?)[\s(]/.exec(sql) ?? [];
    if (kind !== '') pieces.push({ kind, name, sql });
  }
  return pieces;
}

/**
 * Makes all that is ours, in the transaction that is open: a start that fails leaves the database as it was.
 * @returns whether older tables were brought up to date
 */
export async function install(
  client: Client,
  schema: string,
  { isNew, hasCustomers }: { isNew: boolean; hasCustomers: boolean },
): Promise<boolean> {
  await client.query('SET LOCAL check_function_bodies = off'); // one may stand before what it uses
  const isUpgraded = !isNew && (await upgrade(client, schema));
  for (const file of hasCustomers ? [...FILES, 'customers'] : FILES) await installFile(client, schema, file);
  return isUpgraded;
}

/** Makes what stands in one of the `.sql` files: a part of ours, or the table of a resource. */
export async function installFile(client: Client, schema: string, file: string): Promise<void> {
  for (const piece of readPieces(file, schema)) {
    if (piece.kind === 'TABLE' || piece.kind === 'TYPE') await makeOnce(client, piece);
    else await makeRight(client, piece);
  }
}

/** A table holds what people have saved, so it is never made anew: only `upgrade` changes one, in steps. */
async function makeOnce(client: Client, { name, sql }: Piece): Promise<void> {
  const { rows } = await client.query('SELECT to_regclass($1) IS NULL AS "isMissing"', [name]);
  if (rows[0].isMissing) await client.query(sql);
}

/** Our text may be the same and the object another one, altered by hand: so both are compared with what was noted. */
async function makeRight(client: Client, piece: Piece): Promise<void> {
  const before = await look(client, piece);
  const text = createHash('md5').update(piece.sql).digest('hex');
  if (before && before.comment === mark(text, before.definition)) return;
  // PostgreSQL 13 has no CREATE OR REPLACE for triggers.
  if (piece.kind === 'TRIGGER' && before)
    await client.query(`DROP TRIGGER ${piece.name} ON ${tableOf(piece)}`);
  await client.query(piece.sql.replace(/^CREATE (FUNCTION|VIEW)/, 'CREATE OR REPLACE $1'));
  const after = (await look(client, piece))!;
  // By default everybody may call a function. Ours number events and write into the log: that is for us alone.
  if (piece.kind === 'FUNCTION') await client.query(`REVOKE ALL ON FUNCTION ${after.identity} FROM PUBLIC`);
  const place = piece.kind === 'TRIGGER' ? `${piece.name} ON ${tableOf(piece)}` : after.identity;
  // Seen once more: after the REVOKE its rights are others, and they are part of what is noted.
  const comment = client.escapeLiteral(mark(text, (await look(client, piece))!.definition));
  await client.query(`COMMENT ON ${piece.kind} ${place} IS ${comment}`);
}

/** What the comment in the database says: a hash of our text, and a hash of what the database made of it. */
function mark(text: string, definition: string): string {
  return `Changebell ${text} ${definition}`;
}

type Seen = { identity: string; definition: string; comment: string | null };

/** How the database has it now; undefined if it isn't there. `definition` is a hash. */
async function look(client: Client, piece: Piece): Promise<Seen | undefined> {
  const values = piece.kind === 'TRIGGER' ? [tableOf(piece), piece.name] : [piece.name];
  const { rows } = await client.query<Seen>(LOOK[piece.kind]!, values);
  return rows[0];
}

function tableOf({ sql }: Piece): string {
  return / ON (\S+)/.exec(sql)![1]!;
}

// Definitions as the database prints them. A new major version may print them in another way: then all are made anew
// once, and nothing else changes. Who may call a function, and whether a trigger is enabled, are compared too.
const LOOK: Record<string, string> = {
  FUNCTION: `SELECT oid::regprocedure::text AS identity, md5(pg_get_functiondef(oid) || coalesce(proacl::text, '')) AS definition,
      obj_description(oid, 'pg_proc') AS comment
    FROM pg_proc WHERE oid = to_regproc($1)`,
  VIEW: `SELECT oid::regclass::text AS identity, md5(pg_get_viewdef(oid)) AS definition,
      obj_description(oid, 'pg_class') AS comment
    FROM pg_class WHERE oid = to_regclass($1)`,
  TRIGGER: `SELECT tgname::text AS identity, md5(pg_get_triggerdef(oid) || tgenabled::text) AS definition,
      obj_description(oid, 'pg_trigger') AS comment
    FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = $2`,
};
