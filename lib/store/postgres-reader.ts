// Reads from PostgreSQL: the log, rows, and pages of rows with the place in the log at which they are true. Each is one
// statement, so what it finds is of one moment. Losing a connection loses nothing: a caller is told so, and streams
// read on from the log.
import { type Cursor, judgeCursor, onOneLine, type Position, type StoredEvent } from '../event.ts';
import { Problem } from '../problem.ts';
import { inSchema, type Postgres, type Shared, type Statement } from './postgres-connection.ts';
import { isRefusal, toProblem } from './postgres-errors.ts';
import type { Numbering } from './postgres-numbering.ts';
import { text } from './sql-text.ts';
import type { RowPage, Stretch, Verdicts } from './store.ts';

const MAX_READERS = 2; // a herd shares its chunks, so more would only wait for the database
const TRIES = 3; // to read a page between two commits of others, before a statement that locks does it
const NO_VALUE =
  'after must be the value that the answer before gave in next: a part of it is no value of its column.';

/** Rows with their keys, whether there are more of them, and the place at which they are true. */
type Page = { rows: { key: string; json: string }[]; hasMore: boolean; head: Cursor };

type PositionRow = { head: number; head_stamp: string; pruned: number; pruned_stamp: string };
type PageRow = PositionRow & { hasDrafts: boolean; n: unknown; key: string; json: string; past: boolean };

/** Reads over a pool of its own. All that it throws is a `Problem`: 503 while the database can't be used. */
export class Reader {
  private readonly schema: string;
  private readonly connections: Shared;
  private readonly numbering: Numbering;
  /** The cursors that are judged together when the answer under way is there. */
  private next: { asked: Cursor[]; answer: Promise<Verdicts> } | undefined;
  private answered: Promise<unknown> = Promise.resolve();

  constructor(postgres: Postgres, numbering: Numbering) {
    this.schema = postgres.schema;
    this.connections = postgres.share(MAX_READERS);
    this.numbering = numbering;
  }

  close(): Promise<void> {
    return this.connections.pool.end();
  }

  /** Its JSON, as in its events. */
  async customer(id: string): Promise<string | undefined> {
    return (await this.read<{ json: string }>(CUSTOMER, [id]))[0]?.json;
  }

  async customers(after = '0', limit: number): Promise<RowPage> {
    const { rows, ...more } = await this.page(inSchema(CUSTOMER_PAGE, this.schema), [after], limit);
    const keys = rows.map(({ key }) => key);
    return { rows: rows.map(({ json }) => json), keys, last: keys.at(-1), ...more };
  }

  /** A herd that resumes asks thousands of times: who asks while others are answered shares the next answer. */
  async position(cursors: readonly Cursor[]): Promise<Verdicts> {
    this.next ??= this.answerNext();
    const { asked, answer } = this.next;
    const start = asked.length;
    for (const cursor of cursors) asked.push(cursor);
    const { resets, ...position } = await answer;
    return { ...position, resets: resets.slice(start, start + cursors.length) };
  }

  private answerNext(): { asked: Cursor[]; answer: Promise<Verdicts> } {
    const asked: Cursor[] = [];
    const answer = this.answered.then(() => {
      this.next = undefined;
      return this.judgeAll(asked);
    });
    this.answered = answer.catch(() => {});
    return { asked, answer };
  }

  private async judgeAll(cursors: Cursor[]): Promise<Verdicts> {
    type Row = PositionRow & { stamps: (string | null)[] };
    const [row] = await this.readWithPlace<Row>(POSITION, [cursors.map((cursor) => cursor.seq)]);
    const position = toPosition(row);
    return { ...position, resets: cursors.map((cursor, i) => judgeCursor(cursor, position, row.stamps[i])) };
  }

  /** The newest place before this time. */
  async time(time: string): Promise<Cursor> {
    return (await this.read<Cursor>('SELECT seq, stamp FROM bell.changebell_place_of($1)', [time]))[0]!;
  }

  /** At most `limit`, up to `upTo`; fewer where they exceed `maxBytes`, but always the first. */
  async events(after: Cursor, upTo: number, limit: number, maxBytes: number): Promise<Stretch> {
    type Row = PositionRow & { stamp_there: string | null; found: number | null } & StoredEvent;
    const rows = await this.readWithPlace<Row>(EVENTS, [after.seq, upTo, limit, maxBytes]);
    const first = rows[0];
    const position = toPosition(first);
    const reset = judgeCursor(after, position, first.stamp_there);
    if (reset) return { ...position, events: [], end: after, reset };
    const events = first.found === null ? [] : rows.map(onOneLine);
    const last = events.at(-1);
    return { ...position, events, end: last ? { seq: last.seq, stamp: last.stamp } : after };
  }

  /**
   * Rows and head of one moment: where a row's change is still a draft, that is numbered first. Where others commit
   * all the time, one statement does both.
   * @param select the rows' keys and JSON, in their order; `$1` is the key before the page, `$2` how many. Nothing in it stands
   *   for our schema, since it may hold names that others chose
   * @returns fewer rows than `limit` where they are large: see `changebell_page`
   */
  async page(select: string, after: string[], limit: number): Promise<Page> {
    const page = `SELECT * FROM ${this.schema}.changebell_page(${text(select)}, $1, $2)`;
    const sql = `${inSchema(BESIDE_HEAD, this.schema)} LEFT JOIN (${page}) AS page ON true ORDER BY n`;
    // One row more than is wanted tells whether there is another page, and costs less than to count.
    const many = limit + 1;
    for (let tries = 1; tries <= TRIES; tries += 1) {
      const values = [after, many, this.numbering.low];
      const rows = await this.readWithPlace<PageRow>({ text: sql, isReady: true }, values);
      if (!rows[0].hasDrafts) return toPage(rows, limit);
      await this.numbering.run().catch((error) => Promise.reject(toProblem(error)));
    }
    const snapshot = 'SELECT * FROM bell.changebell_numbered_page($1, $2, $3, $4)';
    return toPage(await this.read<PageRow>(snapshot, [page, after, many, this.numbering.low]), limit);
  }

  /** What has the place in the log in each row. While a dump is read back there may be no place yet. @throws {Problem} 503 */
  private async readWithPlace<Row>(
    statement: string | Statement,
    values: unknown[],
  ): Promise<[Row, ...Row[]]> {
    const [first, ...others] = await this.read<Row>(statement, values);
    if (!first) throw toProblem(new Error('the log is empty: is a dump being read back?'));
    return [first, ...others];
  }

  /** @throws {Problem} 400 if a value of the caller's is none of its type, 503 */
  async read<Row>(statement: string | Statement, values: unknown[] = []): Promise<Row[]> {
    try {
      return await this.connections.query<Row>(statement, values);
    } catch (error) {
      const isNoValue = isRefusal(error) && error.code?.startsWith('22');
      throw isNoValue ? new Problem(400, NO_VALUE) : toProblem(error);
    }
  }
}

/** Where there is no row, one comes without any, for the place alone. */
function toPage(found: PageRow[], limit: number): Page {
  const { n, head, head_stamp } = found[0]!;
  const rows = n === null ? [] : found.slice(0, limit).filter((row) => !row.past);
  return { rows, hasMore: n !== null && found.length > rows.length, head: { seq: head, stamp: head_stamp } };
}

function toPosition(row: PositionRow): Position {
  return {
    head: { seq: row.head, stamp: row.head_stamp },
    pruned: { seq: row.pruned, stamp: row.pruned_stamp },
  };
}

const PLACE = 'head, head_stamp, pruned, pruned_stamp';

const POSITION = {
  name: 'position',
  // The stamps are in the sequence of the seqs that are asked for; null where the log holds no event of that seq.
  text: `SELECT ${PLACE}, ARRAY(SELECT (SELECT stamp FROM bell.changebell_events AS event WHERE event.seq = asked.seq)
      FROM pg_catalog.unnest($1::bigint[]) WITH ORDINALITY AS asked(seq, place) ORDER BY place) AS stamps
    FROM bell.changebell_position`,
};

const EVENTS = {
  name: 'events',
  // The place comes with them, also where there are none: a cursor is judged by what the same moment shows.
  // `bytes` runs up over the events: those that fit, and the first in any case.
  text: `SELECT ${PLACE}, (SELECT stamp FROM bell.changebell_events WHERE seq = $1) AS stamp_there,
      found, seq, stamp, type, source, time, data, extensions
    FROM bell.changebell_position LEFT JOIN (
      SELECT *, sum(size) OVER (ORDER BY seq) AS bytes, count(*) OVER () AS found
      FROM (SELECT *, length(source) + octet_length(data) + coalesce(octet_length(extensions), 0) AS size FROM bell.changebell_events WHERE seq > $1 AND seq > 0 AND seq <= $2 ORDER BY seq LIMIT $3) AS stretch
    ) AS event ON bytes <= $4 OR bytes = size ORDER BY seq`,
};

const CUSTOMER = {
  name: 'customer',
  text: 'SELECT bell.changebell_json(customer) AS json FROM bell.customers AS customer WHERE id = $1',
};

const CUSTOMER_PAGE = `
  SELECT customer.id::text, bell.changebell_json(customer) FROM bell.customers AS customer
  WHERE customer.id > ($1::text[])[1]::bigint ORDER BY customer.id LIMIT $2`;

// A page is read beside the place in the log; and whether there were drafts, of which the page knows and the log doesn't.
const BESIDE_HEAD = `
  SELECT head, head_stamp, EXISTS (
    SELECT FROM bell.changebell_events WHERE seq >= $3 AND seq < 0) AS "hasDrafts", page.*
  FROM bell.changebell_position`;
