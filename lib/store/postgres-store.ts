// The store on PostgreSQL. All writes of a turn go to the database as one call of `changebell_write`: one
// round trip, one transaction. Every read is one statement, so that what it sees is of one moment. Losing the
// connection loses nothing: a write is told so, and the readers read on from the log.
import type { Config } from '../config.ts';
import type { EtagList } from '../etag.ts';
import { onOneLine, type StoredEvent, toCloudEvent } from '../event.ts';
import { type Problem, unavailable } from '../problem.ts';
import { createGroupCommit, type Write } from './group-commit.ts';
import {
  atStart,
  describeDatabase,
  isTransient,
  listen,
  loadPostgres,
  prepareSchema,
  toProblem,
} from './postgres-connection.ts';
import { type Created, keyTaken, type Position, preconditionFailed, type Store } from './store.ts';

const POLL_MS = 1000;
const MAX_READERS = 4;

/** A write as `changebell_write` takes it, and what came of it. */
type Change = { order: object; outcome: string; answer: string };

/** @throws {StartError} if the database can't be used as it is */
export async function openPostgresStore(
  config: Pick<Config, 'databaseUrl' | 'eventRetention' | 'watch'>,
): Promise<Store> {
  const postgres = await loadPostgres(config.databaseUrl);
  const { log, hasCustomers, description } = await atStart(postgres, async (client) => {
    await prepareSchema(client, config);
    const { rows } = await client.query(
      "SELECT name, to_regprocedure('changebell_customer_changed()') AS ours FROM changebell_log",
    );
    return {
      log: rows[0].name as string,
      hasCustomers: rows[0].ours !== null,
      description: describeDatabase(client),
    };
  });
  const writer = postgres.newPool(1);
  const reader = postgres.newPool(MAX_READERS);
  const wakes: (() => void)[] = [];
  const wake = () => {
    for (const listener of wakes) listener();
  };
  let commits = 0;

  // --- writing

  const group = createGroupCommit<Change>(commitBatch, () =>
    unavailable('The database is locked by another program, or cannot be reached. Nothing was changed.'),
  );

  function write(order: object): Promise<Change> {
    return new Promise((resolve, reject) => {
      const change = { order, outcome: '', answer: '' };
      group.add({
        change,
        settle: (failure) => (failure === undefined ? resolve(change) : reject(failure)),
      });
    });
  }

  async function commitBatch(writes: Write<Change>[]): Promise<Write<Change>[]> {
    const client = await writer.connect().catch(() => undefined);
    if (!client) return writes; // nothing was sent: it can be tried again
    const orders = JSON.stringify(writes.map((write) => write.change.order));
    try {
      const { rows } = await client.query({ ...WRITE, values: [orders, config.eventRetention] });
      client.release();
      for (const [i, write] of writes.entries()) Object.assign(write.change, rows[i]);
    } catch (error) {
      // Only an error that the database itself tells of, and stays connected, says that nothing was committed.
      const isRolledBack = postgres.isDatabaseError(error) && error.severity === 'ERROR';
      client.release(!isRolledBack);
      if (isRolledBack && isTransient(error.code)) return writes;
      if (isRolledBack && writes.length > 1) return commitOneByOne(writes);
      throw isRolledBack ? toProblem(error) : unclear();
    }
    commits += 1;
    // The answers leave first, then the fan-out begins; or every writer waits for the last client.
    setImmediate(wake);
    return writes.filter((write) => write.change.outcome === 'locked');
  }

  /** One of them broke a rule of the database, and fails alone. */
  async function commitOneByOne(writes: Write<Change>[]): Promise<Write<Change>[]> {
    const locked: Write<Change>[] = [];
    for (const write of writes) {
      try {
        locked.push(...(await commitBatch([write])));
      } catch (error) {
        write.failure = error;
      }
    }
    return locked;
  }

  async function create(order: object, toAnswer = (answer: string) => answer): Promise<Created> {
    const { outcome, answer } = await write(order);
    if (outcome === 'key taken') throw keyTaken();
    return { json: toAnswer(answer), isReplay: outcome === 'replay' };
  }

  /** The customer's JSON; undefined if there is none. @throws {Problem} 412 */
  async function change(id: number, order: object, ifMatch?: EtagList): Promise<string | undefined> {
    const { outcome, answer } = await write({ id, ...order, ifMatch });
    const isMissing = outcome === 'missing';
    if (outcome === 'changed' || (isMissing && ifMatch)) throw preconditionFailed(!isMissing);
    return isMissing ? undefined : answer;
  }

  // --- reading

  async function read<Row>(query: { name: string; text: string }, values: unknown[] = []): Promise<Row[]> {
    try {
      return (await reader.query({ ...query, values })).rows;
    } catch (error) {
      throw toProblem(error);
    }
  }

  async function position(): Promise<Position> {
    return (await read<Position>(POSITION))[0]!;
  }

  // --- what others do to the same database

  let ownProcess = 0; // the database's process that commits for us; we know of its commits already
  writer.on('connect', (client) => {
    ownProcess = (client as unknown as { processID: number }).processID;
  });
  const stopListening = listen(postgres, (sender) => {
    if (sender !== ownProcess) wake();
  });
  let seenHead = 0;
  const poll = setInterval(async () => {
    try {
      const { head, pruned } = await position(); // a notification may be lost, with its connection
      if (head !== seenHead) wake();
      seenHead = head;
      if (head - pruned > config.eventRetention && group.isIdle()) await write({ op: 'prune' });
    } catch {
      // Away for the moment: the next poll sees what this one missed.
    }
  }, POLL_MS);

  return {
    log,
    description,
    hasCustomers,
    commits: () => commits,
    createCustomer: (fields, idempotency) => create({ op: 'create', ...fields, ...idempotency }),
    updateCustomer: (id, fields, ifMatch) => change(id, { op: 'update', ...fields }, ifMatch),
    deleteCustomer: async (id, ifMatch) => (await change(id, { op: 'delete' }, ifMatch)) !== undefined,
    publish: (event, idempotency) =>
      create({ op: 'publish', ...event, ...idempotency }, (answer) => toCloudEvent(log, JSON.parse(answer))),
    getCustomer: async (id) => (await read<{ json: string }>(CUSTOMER, [id]))[0]?.json,
    listCustomers: async (after, limit) => {
      const rows = await read<{ head: number; id: number | null; json: string }>(CUSTOMERS, [
        after,
        limit + 1,
      ]);
      const found = rows.filter((row) => row.id !== null);
      const page = found.slice(0, limit);
      const customers = page.map((row) => row.json);
      return {
        customers,
        hasMore: found.length > limit,
        lastId: page.at(-1)?.id ?? after,
        head: rows[0]!.head,
      };
    },
    position,
    readEvents: async (after, upTo, limit, maxBytes) => {
      type Row = Position & { found: number | null } & StoredEvent;
      const rows = await read<Row>(EVENTS, [after, upTo, limit, maxBytes]);
      const { head, pruned, found } = rows[0]!;
      const events = found === null ? [] : rows.map(onOneLine);
      const isWhole = events.length === (found ?? 0) && events.length < limit;
      return { head, pruned, events, upTo: isWhole ? upTo : events.at(-1)!.seq };
    },
    onCommit: (listener) => wakes.push(listener),
    close: async () => {
      clearInterval(poll);
      await write({ op: 'prune' }).catch(() => undefined); // commits are in order: all before it are done
      await Promise.all([stopListening(), writer.end(), reader.end()]);
    },
  };
}

/** The connection was lost while it was committing: nobody can say on which side of the commit. */
function unclear(): Problem {
  return unavailable(
    'The database was lost while it was writing: the change may have been made, or not. Look before you repeat it; an Idempotency-Key makes repeating safe.',
  );
}

const WRITE = { name: 'write', text: 'SELECT outcome, answer FROM changebell_write($1, $2)' };
const POSITION = { name: 'position', text: 'SELECT head, pruned FROM changebell_position' };
const CUSTOMER = {
  name: 'customer',
  text: 'SELECT changebell_json(customers) AS json FROM customers WHERE id = $1',
};
const CUSTOMERS = {
  name: 'customers',
  text: `SELECT head, id, json FROM changebell_position LEFT JOIN (
           SELECT id, changebell_json(customers) AS json FROM customers WHERE id > $1 ORDER BY id LIMIT $2
         ) AS page ON true ORDER BY id`,
};
// `bytes` runs up over the events: those that fit, and the first in any case.
const EVENTS = {
  name: 'events',
  text: `SELECT head, pruned, found, seq, type, source, time, data FROM changebell_position LEFT JOIN (
           SELECT *, sum(octet_length(data)) OVER (ORDER BY seq) AS bytes, count(*) OVER () AS found
           FROM (SELECT * FROM changebell_events WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3) AS stretch
         ) AS event ON bytes <= $4 OR bytes = octet_length(data) ORDER BY seq`,
};
