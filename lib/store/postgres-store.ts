// The store on PostgreSQL. All writes of a turn go to the database as one call of `changebell_write`: one
// round trip, one transaction. Every read is one statement, so that what it sees is of one moment. Losing the
// connection loses nothing: a write is told so, and the readers read on from the log.
import type { Pool } from 'pg';
import type { Config } from '../config.ts';
import {
  type Cursor,
  judgeCursor,
  onOneLine,
  type Position,
  type ResetReason,
  type StoredEvent,
  toCloudEvent,
} from '../event.ts';
import { Commits } from './commits.ts';
import { GroupCommit, type Result, unclear } from './group-commit.ts';
import {
  atStart,
  describeDatabase,
  isTransient,
  listen,
  loadPostgres,
  type Postgres,
  prepareSchema,
  toOutcome,
  toProblem,
} from './postgres-connection.ts';
import type { Answer, CustomerPage, Order, Store, Stretch } from './store.ts';

const POLL_MS = 1000;
const MAX_READERS = 4;

/** What is known of the database once it was opened. */
type Opened = { description: string; hasCustomers: boolean };

/** @throws {StartError} if the database can't be used as it is */
export async function openPostgresStore(
  config: Pick<Config, 'databaseUrl' | 'eventRetention' | 'watch'>,
): Promise<Store> {
  const postgres = await loadPostgres(config.databaseUrl);
  const opened = await atStart(postgres, async (client) => {
    await prepareSchema(client, config);
    const { rows } = await client.query("SELECT to_regprocedure('changebell_customer_changed()') AS ours");
    return { hasCustomers: rows[0].ours !== null, description: describeDatabase(client) };
  });
  return new PostgresStore(postgres, opened, config.eventRetention);
}

class PostgresStore implements Store {
  readonly description: string;
  readonly hasCustomers: boolean;
  private readonly postgres: Postgres;
  private readonly writer: Pool;
  private readonly reader: Pool;
  private readonly retention: number;
  private readonly shared = new Commits();
  private readonly group: GroupCommit;
  private readonly poll: NodeJS.Timeout;
  private readonly stopListening: () => Promise<void>;
  private seenHead = 0;
  /** The database's process that commits for us: of its commits we know already. */
  private ownProcess = 0;

  constructor(postgres: Postgres, { description, hasCustomers }: Opened, retention: number) {
    this.postgres = postgres;
    this.description = description;
    this.hasCustomers = hasCustomers;
    this.retention = retention;
    this.writer = postgres.newPool(1);
    this.reader = postgres.newPool(MAX_READERS);
    this.group = new GroupCommit((orders) => this.commit(orders));
    this.writer.on('connect', (client) => {
      this.ownProcess = (client as unknown as { processID: number }).processID;
    });
    this.stopListening = listen(postgres, (sender) => {
      if (sender !== this.ownProcess) this.shared.wake();
    });
    this.poll = setInterval(() => this.look(), POLL_MS);
  }

  commits(): number {
    return this.shared.count;
  }

  write(order: Order): Promise<Answer> {
    return this.group.write(order);
  }

  private async commit(orders: Order[]): Promise<Result[]> {
    const client = await this.writer.connect().catch(() => undefined);
    if (!client) return orders.map(() => ({ is: 'locked' })); // nothing was sent: it can be tried again
    try {
      const values = [JSON.stringify(orders.map(flat)), this.retention, this.shared.announced];
      const { rows } = await client.query<Row>({ ...WRITE, values });
      client.release();
      this.shared.committed();
      return rows.map((row, i) => toResult(row, orders[i]!));
    } catch (error) {
      // Only an error that the database itself tells of, and stays connected, says that nothing was committed.
      const isRolledBack = this.postgres.isDatabaseError(error) && error.severity === 'ERROR';
      client.release(!isRolledBack);
      if (!isRolledBack) throw unclear();
      if (isTransient(error.code)) return orders.map(() => ({ is: 'locked' }));
      if (orders.length > 1) return this.commitOneByOne(orders);
      return [toOutcome(error)];
    }
  }

  /** One of them broke a rule of the database, and fails alone. */
  private async commitOneByOne(orders: Order[]): Promise<Result[]> {
    const results: Result[] = [];
    for (const order of orders) results.push(...(await this.commit([order])));
    return results;
  }

  private async read<Row>(query: { name: string; text: string }, values: unknown[] = []): Promise<Row[]> {
    try {
      return (await this.reader.query({ ...query, values })).rows;
    } catch (error) {
      throw toProblem(error);
    }
  }

  async getCustomer(id: number): Promise<string | undefined> {
    return (await this.read<{ json: string }>(CUSTOMER, [id]))[0]?.json;
  }

  async listCustomers(after: number, limit: number): Promise<CustomerPage> {
    type Row = PositionRow & { id: number | null; json: string };
    const rows = await this.read<Row>(CUSTOMERS, [after, limit + 1]);
    const found = rows.filter((row) => row.id !== null);
    const page = found.slice(0, limit);
    const customers = page.map((row) => row.json);
    const { head } = toPosition(rows[0]!);
    return { customers, hasMore: found.length > limit, lastId: page.at(-1)?.id ?? after, head };
  }

  async readRows(): Promise<undefined> {
    return undefined;
  }

  async readRow(): Promise<undefined> {
    return undefined;
  }

  async position(
    cursors: readonly Cursor[] = [],
  ): Promise<Position & { resets: (ResetReason | undefined)[] }> {
    type Row = PositionRow & { stamps: (string | null)[] };
    const [row] = await this.read<Row>(POSITION, [cursors.map((cursor) => cursor.seq)]);
    const position = toPosition(row!);
    const resets = cursors.map((cursor, i) => judge(cursor, position, row!.stamps[i]));
    return { ...position, resets };
  }

  async findTime(time: string): Promise<Cursor> {
    return (await this.read<Cursor>(TIME, [time]))[0]!;
  }

  async readEvents(after: Cursor, upTo: number, limit: number, maxBytes: number): Promise<Stretch> {
    type Row = PositionRow & { stamp_there: string | null; found: number | null } & StoredEvent;
    const rows = await this.read<Row>(EVENTS, [after.seq, upTo, limit, maxBytes]);
    const first = rows[0]!;
    const position = toPosition(first);
    const reset = judge(after, position, first.stamp_there);
    if (reset) return { ...position, events: [], end: after, reset };
    const events = first.found === null ? [] : rows.map(onOneLine);
    const last = events.at(-1);
    return { ...position, events, end: last ? { seq: last.seq, stamp: last.stamp } : after };
  }

  onCommit(wake: () => void): void {
    this.shared.onCommit(wake);
  }

  announced(seq: number): void {
    this.shared.markAnnounced(seq);
  }

  async check(): Promise<void> {
    await this.position();
  }

  async close(): Promise<void> {
    clearInterval(this.poll);
    await this.group.drain();
    await Promise.all([this.stopListening(), this.writer.end(), this.reader.end()]);
  }

  /** A notification may be lost, with its connection. */
  private async look(): Promise<void> {
    try {
      const { head } = await this.position();
      if (head.seq !== this.seenHead) this.shared.wake();
      this.seenHead = head.seq;
    } catch {
      // Away for the moment: the next look sees what this one missed.
    }
  }
}

type Row = { outcome: string; answer: string; event_id: string };

/** An order as `changebell_write` takes it. */
function flat(order: Order): object {
  if (order.op === 'create') return { op: order.op, ...order.fields, ...order.idempotency };
  if (order.op === 'publish') return { op: order.op, events: order.events, ...order.idempotency };
  const fields = order.op === 'update' ? order.fields : {};
  return { op: order.op, id: order.id, ...fields, ...order.preconditions };
}

function toResult({ outcome, answer, event_id: lastEventId }: Row, order: Order): Result {
  switch (outcome) {
    case 'done':
    case 'replayed':
      return {
        is: outcome,
        json: order.op === 'publish' ? published(answer, order.isList) : order.op === 'delete' ? '' : answer,
        lastEventId,
      };
    case 'precondition failed':
      return { is: outcome, exists: answer !== null };
    case 'locked':
    case 'missing':
    case 'key taken':
      return { is: outcome };
    default:
      throw new Error(`changebell_write knows an outcome that this program doesn't: ${outcome}`);
  }
}

function published(answer: string, isList: boolean): string {
  const events = (JSON.parse(answer) as StoredEvent[]).map(toCloudEvent);
  return isList ? `[${events.join()}]` : events[0]!;
}

type PositionRow = { head: number; head_stamp: string; pruned: number; pruned_stamp: string };

function toPosition(row: PositionRow): Position {
  return {
    head: { seq: row.head, stamp: row.head_stamp },
    pruned: { seq: row.pruned, stamp: row.pruned_stamp },
  };
}

function judge(
  cursor: Cursor,
  position: Position,
  stamp: string | null | undefined,
): ResetReason | undefined {
  const isPruned = cursor.seq === position.pruned.seq;
  return judgeCursor(cursor, position, isPruned ? position.pruned.stamp : (stamp ?? undefined));
}

const PLACE = 'head, head_stamp, pruned, pruned_stamp';
const WRITE = { name: 'write', text: 'SELECT outcome, answer, event_id FROM changebell_write($1, $2, $3)' };
const POSITION = {
  name: 'position',
  text: `SELECT ${PLACE}, ARRAY(SELECT (SELECT stamp FROM changebell_events AS event WHERE event.seq = asked.seq)
           FROM unnest($1::bigint[]) WITH ORDINALITY AS asked(seq, place) ORDER BY place) AS stamps
         FROM changebell_position`,
};
const TIME = {
  name: 'time',
  text: `SELECT seq, stamp FROM (
           (SELECT seq, stamp FROM changebell_events, changebell_position
            WHERE seq > pruned AND seq <= head AND time < $1 ORDER BY seq DESC LIMIT 1)
           UNION ALL SELECT pruned, pruned_stamp FROM changebell_position) AS place ORDER BY seq DESC LIMIT 1`,
};
const CUSTOMER = {
  name: 'customer',
  text: 'SELECT changebell_json(customers) AS json FROM customers WHERE id = $1',
};
const CUSTOMERS = {
  name: 'customers',
  text: `SELECT ${PLACE}, id, json FROM changebell_position LEFT JOIN (
           SELECT id, changebell_json(customers) AS json FROM customers WHERE id > $1 ORDER BY id LIMIT $2
         ) AS page ON true ORDER BY id`,
};
// `bytes` runs up over the events: those that fit, and the first in any case.
const EVENTS = {
  name: 'events',
  text: `SELECT ${PLACE}, (SELECT stamp FROM changebell_events WHERE seq = $1) AS stamp_there,
           found, seq, stamp, type, source, time, data, extensions
         FROM changebell_position LEFT JOIN (
           SELECT *, sum(octet_length(data)) OVER (ORDER BY seq) AS bytes, count(*) OVER () AS found
           FROM (SELECT * FROM changebell_events WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3) AS stretch
         ) AS event ON bytes <= $4 OR bytes = octet_length(data) ORDER BY seq`,
};
