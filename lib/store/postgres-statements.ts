// The statements that read. Each is one statement, so that what it sees is of one moment; and each is prepared under
// its name in every session, but behind a pooler that lends sessions. `bell.` stands for our schema.

/** A schema's name in SQL; its objects are written as `bell.…` in our texts. */
export function inSchema(sql: string, schema: string): string {
  return sql.replace(/\bbell\./g, () => `${schema}.`);
}

/** A statement with a name is prepared once in each session. */
export type Statement = { name?: string; text: string };

const PLACE = 'head, head_stamp, pruned, pruned_stamp';

/** A page of rows: their order, their key, and their JSON. `$1` is the key before it, `$2` how many. */
export const CUSTOMER_PAGE = `
  SELECT customer.id AS n, customer.id::text, bell.changebell_json(customer) FROM bell.customers AS customer
  WHERE customer.id > coalesce(($1::text[])[1]::bigint, 0) ORDER BY customer.id LIMIT $2`;

const STATEMENTS = {
  // $1 and $2 are orders; then where the search for drafts begins, how many events are kept, how far the hub has come.
  write: 'SELECT place, outcome, answer, event_id FROM bell.changebell_write($1, $2, $3, $4, $5)',
  // The stamps are in the sequence of the seqs that are asked for; null where the log holds no event of that seq.
  position: `SELECT ${PLACE}, ARRAY(SELECT (SELECT stamp FROM bell.changebell_events AS event WHERE event.seq = asked.seq)
       FROM unnest($1::bigint[]) WITH ORDINALITY AS asked(seq, place) ORDER BY place) AS stamps
     FROM bell.changebell_position`,
  customer: 'SELECT bell.changebell_json(customer) AS json FROM bell.customers AS customer WHERE id = $1',
  // The place comes with them, also where there are none: a cursor is judged by what the same moment shows.
  // `bytes` runs up over the events: those that fit, and the first in any case.
  events: `SELECT ${PLACE}, (SELECT stamp FROM bell.changebell_events WHERE seq = $1) AS stamp_there,
       found, seq, stamp, type, source, time, data, extensions
     FROM bell.changebell_position LEFT JOIN (
       SELECT *, sum(octet_length(data)) OVER (ORDER BY seq) AS bytes, count(*) OVER () AS found
       FROM (SELECT * FROM bell.changebell_events WHERE seq > $1 AND seq > 0 AND seq <= $2 ORDER BY seq LIMIT $3) AS stretch
     ) AS event ON bytes <= $4 OR bytes = octet_length(data) ORDER BY seq`,
  time: 'SELECT seq, stamp FROM bell.changebell_place_of($1)',
  snapshot: 'SELECT * FROM bell.changebell_snapshot($1, $2, $3, $4)',
};

/** What a statement is for; also its name in the database's session. */
export type StatementName = keyof typeof STATEMENTS;

/** @param isLent a pooler lends sessions: the next call may be in one that knows no name, so none has one */
export function statementsFor(schema: string, isLent: boolean): Record<StatementName, Statement> {
  const make = ([name, text]: [string, string]) => [
    name,
    { ...(isLent ? {} : { name }), text: inSchema(text, schema) },
  ];
  return Object.fromEntries(Object.entries(STATEMENTS).map((entry) => make(entry)));
}

/** A page beside the place in the log; and whether there were drafts, of which the page knows and the log doesn't. */
export function pageStatement(page: string, schema: string): string {
  const text = `SELECT head, head_stamp, EXISTS (
       SELECT FROM bell.changebell_events WHERE seq >= $3 AND seq < 0) AS "hasDrafts", page.*
     FROM bell.changebell_position LEFT JOIN (${page}) AS page (n, key, json) ON true ORDER BY n`;
  return inSchema(text, schema);
}
