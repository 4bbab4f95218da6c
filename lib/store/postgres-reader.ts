// Reads from PostgreSQL: the log, rows, and pages of rows with the place in the log at which they are true. Each is one
// statement, so what it finds is of one moment. Losing a connection loses nothing: a caller is told so, and streams
// read on from the log.
import type { Pool, PoolClient } from 'pg';
import {
  type Cursor,
  judgeCursor,
  onOneLine,
  type Position,
  type ResetReason,
  type StoredEvent,
} from '../event.ts';
import { Problem } from '../problem.ts';
import type { Postgres } from './postgres-connection.ts';
import { isNoValue, isReadOnly, toProblem } from './postgres-errors.ts';
import type { Numbering } from './postgres-numbering.ts';
import { inSchema, pageStatement, type Statement, type StatementName } from './postgres-statements.ts';
import type { Stretch } from './store.ts';

/** Connections of one reader's pool: a herd shares its chunks, so more would only wait for the database. */
export const MAX_READERS = 4;

const TRIES = 3; // to read a page between two commits of others, before a statement that locks does it
const NO_VALUE =
  'after must be the value that the answer before gave in next: a part of it is no value of its column.';

/** Rows of a page with their keys, and the place at which they are true. */
export type Page = { rows: { key: string; json: string }[]; head: Cursor };

type PositionRow = { head: number; head_stamp: string; pruned: number; pruned_stamp: string };
type PageRow = PositionRow & { hasDrafts: boolean; n: unknown; key: string; json: string };

/** Reads over one pool. All that it throws is a `Problem`: 503 while the database can't be used. */
export class Reader {
  private readonly postgres: Postgres;
  private readonly pool: Pool;
  private readonly schema: string;
  private readonly statements: Record<StatementName, Statement>;
  private readonly numbering: Numbering;

  constructor(
    postgres: Postgres,
    pool: Pool,
    schema: string,
    statements: Record<StatementName, Statement>,
    numbering: Numbering,
  ) {
    this.postgres = postgres;
    this.pool = pool;
    this.schema = schema;
    this.statements = statements;
    this.numbering = numbering;
  }

  /** Its JSON, as in its events. */
  async customer(id: number): Promise<string | undefined> {
    return (await this.read<{ json: string }>(this.statements.customer, [id]))[0]?.json;
  }

  /** Where the log stands, and of each cursor why it can't be continued: undefined where it can. */
  async position(cursors: readonly Cursor[]): Promise<Position & { resets: (ResetReason | undefined)[] }> {
    type Row = PositionRow & { stamps: (string | null)[] };
    const [row] = await this.read<Row>(this.statements.position, [cursors.map((cursor) => cursor.seq)]);
    const position = toPosition(row!);
    const resets = cursors.map((cursor, i) => judge(cursor, position, row!.stamps[i]));
    return { ...position, resets };
  }

  /** The newest place before this time. */
  async time(time: string): Promise<Cursor> {
    return (await this.read<Cursor>(this.statements.time, [time]))[0]!;
  }

  /** At most `limit`, up to `upTo`; fewer where they exceed `maxBytes`, but always the first. */
  async events(after: Cursor, upTo: number, limit: number, maxBytes: number): Promise<Stretch> {
    type Row = PositionRow & { stamp_there: string | null; found: number | null } & StoredEvent;
    const rows = await this.read<Row>(this.statements.events, [after.seq, upTo, limit, maxBytes]);
    const first = rows[0]!;
    const position = toPosition(first);
    const reset = judge(after, position, first.stamp_there);
    if (reset) return { ...position, events: [], end: after, reset };
    const events = first.found === null ? [] : rows.map(onOneLine);
    const last = events.at(-1);
    return { ...position, events, end: last ? { seq: last.seq, stamp: last.stamp } : after };
  }

  /**
   * Rows and head of one moment: where a row's change is still a draft, that is numbered first. Where others commit
   * all the time, one statement does both.
   */
  async page(page: string, after: string[], limit: number): Promise<Page> {
    const statement = { text: pageStatement(page, this.schema) };
    for (let tries = 1; tries <= TRIES; tries += 1) {
      const rows = await this.read<PageRow>(statement, [after, limit, this.numbering.low]);
      if (!rows[0]!.hasDrafts) return toPage(rows);
      await this.numbering.run().catch((error) => Promise.reject(toProblem(error)));
    }
    const values = [inSchema(page, this.schema), after, limit, this.numbering.low];
    return toPage(await this.read<PageRow>(this.statements.snapshot, values));
  }

  /** @throws {Problem} 400 if a value of the caller's is none of its type, 503 */
  async read<Row>(statement: Statement, values: unknown[] = []): Promise<Row[]> {
    let client: PoolClient | undefined;
    try {
      client = await this.postgres.take(this.pool);
      const { rows } = await client.query({ ...statement, values });
      client.release();
      return rows;
    } catch (error) {
      // A statement that failed leaves its connection as it was. After anything else, and on a server that takes no
      // writes any more, the next read is to find another one.
      const isAlive =
        this.postgres.isDatabaseError(error) && error.severity === 'ERROR' && !isReadOnly(error.code);
      client?.release(!isAlive);
      throw isAlive && isNoValue(error.code) ? new Problem(400, NO_VALUE) : toProblem(error);
    }
  }
}

function toPage(rows: PageRow[]): Page {
  const { head, head_stamp } = rows[0]!;
  return { rows: rows.filter((row) => row.n !== null), head: { seq: head, stamp: head_stamp } };
}

function toPosition(row: PositionRow): Position {
  return {
    head: { seq: row.head, stamp: row.head_stamp },
    pruned: { seq: row.pruned, stamp: row.pruned_stamp },
  };
}

/** The place of the newest event that isn't kept has its stamp in the log's own row. */
function judge(
  cursor: Cursor,
  position: Position,
  stamp: string | null | undefined,
): ResetReason | undefined {
  const isPruned = cursor.seq === position.pruned.seq;
  return judgeCursor(cursor, position, isPruned ? position.pruned.stamp : (stamp ?? undefined));
}
