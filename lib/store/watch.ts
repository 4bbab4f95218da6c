// WATCH: tables of other programs whose changes are events too. Triggers in the database write them, so it
// doesn't matter who makes the change. Here is what both engines share: how a table's name becomes the type
// and the source of its events.
import { createHash } from 'node:crypto';
import { StartError } from '../config.ts';

/** Of the 100 characters of a type and the 8192 of a source: `.created` and the key want their room. */
const MAX_TYPE = 90;
const MAX_SOURCE = 2000;

/** A table to watch, and the first part of its events' `type` and `source`. */
export type Watched = { table: string; type: string; source: string };

/**
 * `orders` becomes `orders.created` and `/watch/orders/7`. What doesn't fit a type is mapped: upper case to
 * lower, other characters to `_`; and what would begin with none of a-z, or is a name of our own, gets `t_`. Of a name in
 * another script nothing would be left to tell it from others, so it gets a hash of itself.
 * @throws {StartError} if two tables would have the same type
 */
export function describeWatched(tables: Iterable<string>): Watched[] {
  const all = [...tables].map((table) => ({ table, type: typeOf(table), source: sourceOf(table) }));
  for (const [i, { table, type }] of all.entries()) {
    const twin = all.slice(0, i).find((other) => other.type === type);
    if (!twin) continue;
    throw new StartError(
      `WATCH names "${twin.table}" and "${table}", whose events would both have the type ${type}.created: watch one of them.`,
    );
  }
  return all;
}

function typeOf(table: string): string {
  const type = table.toLowerCase().replace(/[^a-z0-9._-]/gu, '_');
  const isPlain = /^[a-z]/.test(type) && !/^(stream|customer)(\.|$)/.test(type);
  const hash = createHash('sha256').update(table).digest('hex').slice(0, 8);
  const ending = /(?!\p{Script=Latin})\p{L}/u.test(table) ? `-${hash}` : '';
  return `${isPlain ? '' : 't_'}${type}`.slice(0, MAX_TYPE - ending.length) + ending;
}

/** A star is escaped as well: in a list of sources, and in a token's, it stands for more than itself. */
function sourceOf(table: string): string {
  const name = encodeURIComponent(table.toWellFormed()).replaceAll('*', '%2A');
  return `/watch/${name.slice(0, MAX_SOURCE).replace(/%.?$/, '')}`;
}

/** A table that cannot be watched, and why. */
export function cannotWatch(table: string, reason: string): StartError {
  return new StartError(`WATCH names "${table}", but ${reason}. Nothing was changed.`);
}

/** Is this a table of our own, by its name? */
export function isOwnTable(table: string): boolean {
  return /^(changebell|sqlite)_/i.test(table);
}
