// Our own writes. All of a turn go to the database as one call of `changebell_write_parts`: one round trip, one transaction.
// What is simple goes together; what broke a rule a moment ago goes alone, so that nobody pays for it.
import { type StoredEvent, toCloudEvent } from '../event.ts';
import type { Commits } from './commits.ts';
import { type Result, unclear } from './group-commit.ts';
import type { Shared } from './postgres-connection.ts';
import {
  isReadOnly,
  isRefusal,
  isTransient,
  lacksFunction,
  toProblem,
  toRefusal,
} from './postgres-errors.ts';
import type { Numbering } from './postgres-numbering.ts';
import { isPlain, type Order, type PlainOrder } from './store.ts';
import { Suspects } from './suspects.ts';

const TELL_MS = 10; // more often would be in vain: others look at most so often (`WAKE_MS`)

// The orders in parts; then where the search for drafts begins, how many events are kept, how far the hub has come.
const WRITE = {
  name: 'write',
  text: 'SELECT place, outcome, answer, event_id FROM bell.changebell_write_parts($1, $2, $3, $4)',
};

/** What came of the order at `place`. If it was refused, `answer` is the database's message and `event_id` its SQLSTATE. */
type Row = { place: number; outcome: Result['is']; answer: string; event_id: string };

type Options = { retention: number; numbering: Numbering; commits: Commits; onLack: () => void };

export class Writer {
  private readonly connections: Shared;
  private readonly options: Options;
  private telling: NodeJS.Timeout | undefined;
  /** Who was refused or locked: among others it would make its whole part run again. It saves time, and decides nothing: after a restart it is found out anew. */
  private readonly suspects = new Suspects();

  constructor(connections: Shared, options: Options) {
    this.connections = connections;
    this.options = options;
  }

  /** What came of each order, in their sequence; durable by now, since `synchronous_commit` is on. @throws {Problem} 503 */
  async commit(orders: Order[]): Promise<Result[]> {
    const rows = await this.send(orders);
    if (rows.length > 0) {
      this.options.commits.committed();
      this.tellOthers();
    }
    return this.toResults(rows, orders);
  }

  /** No rows where nothing could be done for the moment. @throws {Problem} 503 */
  private async send(orders: Order[]): Promise<Row[]> {
    const { numbering, retention, commits } = this.options;
    const parts = JSON.stringify(this.sort(orders));
    let isSent = false;
    try {
      return await this.connections.use((run) => {
        isSent = true;
        return run<Row>(WRITE, [parts, numbering.low, retention, commits.announced]);
      });
    } catch (error) {
      if (!isSent) return []; // the database is away
      if (!isRefusal(error)) throw unclear(); // the commit may have been made before the connection was lost
      if (isTransient(error) || isReadOnly(error)) return [];
      throw toProblem(error);
    }
  }

  /** The parts: plain creations, plain publications, and each of the others alone. */
  private sort(orders: Order[]): object[][] {
    const together = { create: [] as object[], publish: [] as object[] };
    const alone: object[][] = [];
    for (const [place, order] of orders.entries()) {
      if (!isSimple(order)) alone.push([{ place, ...order }]);
      else if (this.suspects.has(order)) alone.push([{ place, plain: true, ...order }]);
      else together[order.op].push({ place, plain: true, ...order });
    }
    return [together.create, together.publish, ...alone].filter((part) => part.length > 0);
  }

  /** Once for many commits, and not within: each NOTIFY wakes a process of the database for every server. */
  private tellOthers(): void {
    this.telling ??= setTimeout(() => {
      this.telling = undefined;
      this.connections.query('NOTIFY changebell').catch(() => {}); // lost: the others look by themselves
    }, TELL_MS);
  }

  private toResults(rows: Row[], orders: Order[]): Result[] {
    const results: Result[] = orders.map(() => ({ is: 'not tried' })); // if no row speaks of it
    for (const row of rows) {
      const order = orders[row.place]!;
      results[row.place] = toResult(row, order);
      if (lacksFunction({ code: row.event_id, message: row.answer })) this.options.onLack();
      // The others go alone in any case.
      if (/^(locked|refused)$/.test(row.outcome) && isSimple(order)) this.suspects.add(order);
    }
    return results;
  }
}

/**
 * One that needs no look at what is there, neither at a row nor at a key: one INSERT does it for all of its kind. Of
 * the tables only the customers have such an INSERT: see `changebell_write_together`.
 */
function isSimple(order: Order): order is PlainOrder {
  return isPlain(order) && (order.op === 'publish' || (order.table ?? 'customers') === 'customers');
}

function toResult({ outcome, answer, event_id: lastEventId }: Row, order: Order): Result {
  if (outcome === 'done' || outcome === 'replayed')
    return { is: outcome, json: toJson(answer, order), lastEventId };
  // The row as it is now, if there is one: who is told 412 learns whether it has changed or gone.
  if (outcome === 'precondition failed') return { is: outcome, exists: answer !== null };
  return outcome === 'refused' ? toRefusal(lastEventId, answer) : { is: outcome };
}

/** Of a publication the text that streams deliver, as a list only for whoever sent a list; else the row. */
function toJson(answer: string, order: Order): string {
  if (order.op === 'delete') return '';
  if (order.op !== 'publish') return answer;
  const events = (JSON.parse(answer) as StoredEvent[]).map(toCloudEvent);
  return order.isList ? `[${events.join()}]` : events[0]!;
}
