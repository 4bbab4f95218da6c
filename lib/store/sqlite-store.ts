// The store on SQLite. A write runs inside a group commit: one transaction for all writes of a turn, in
// which a bad one fails alone. The triggers of `sqlite-schema.sql` write the events. Reading never waits
// for writing (WAL).
import { statSync } from 'node:fs';
import type Database from 'better-sqlite3';
import type { Config } from '../config.ts';
import type { CustomerFields } from '../customer.ts';
import { type EtagList, etagOf, matchesStrongly } from '../etag.ts';
import { type NewEvent, onOneLine, type StoredEvent, toCloudEvent } from '../event.ts';
import { unavailable } from '../problem.ts';
import { createGroupCommit, type Write } from './group-commit.ts';
import { isBusy, toProblem } from './sqlite.ts';
import { openSqliteFile } from './sqlite-file.ts';
import { prepareStatements } from './sqlite-statements.ts';
import {
  type Created,
  type Idempotency,
  keyTaken,
  type Position,
  preconditionFailed,
  type Store,
} from './store.ts';

const POLL_MS = 100;
const READ_STEP = 32; // events read at once: a few large ones may be all that is wanted
const PRUNE_STEP = 500;
const IDEMPOTENCY_SECONDS = 48 * 3600;

/** @throws {StartError} if the file can't be opened or isn't ours to write to */
export function openSqliteStore(config: Pick<Config, 'databaseUrl' | 'eventRetention' | 'watch'>): Store {
  const path = config.databaseUrl;
  const db = openSqliteFile(path, config.watch);
  const inode = path === ':memory:' ? 0 : statSync(path).ino;
  const { log, hasCustomers, sql } = prepareStatements(db, path);
  const wakes: (() => void)[] = [];
  let commits = 0;

  /** In a transaction; within one that is open already, as for every write, in a savepoint. */
  const together = db.transaction((run: () => unknown) => run()) as <T>(run: () => T) => T;

  // --- writing

  const group = createGroupCommit<() => void>(commitBatch, () =>
    unavailable('The database is locked by another program.'),
  );

  function write<T>(change: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      let result: T;
      group.add({
        change() {
          result = change();
        },
        settle(failure) {
          if (failure === undefined) resolve(result);
          else reject(failure);
        },
      });
    });
  }

  function commitBatch(writes: Write<() => void>[]): Write<() => void>[] {
    try {
      checkFile();
      sql.begin.run();
    } catch (error) {
      if (isBusy(error)) return writes;
      throw toProblem(error);
    }
    try {
      for (const write of writes) runAlone(write);
      prune(2 * writes.length + PRUNE_STEP);
      sql.commit.run();
    } catch (error) {
      if (db.inTransaction) sql.rollback.run();
      throw toProblem(error);
    }
    commits += 1;
    // The answers leave first, then the fan-out begins; or every writer waits for the last client.
    setImmediate(wake);
    return [];
  }

  /** A write is one statement, of which SQLite leaves nothing if it fails, or it has a savepoint of its own. */
  function runAlone(write: Write<() => void>): void {
    try {
      write.change();
    } catch (error) {
      if (!db.inTransaction) throw error; // a full disk may have rolled back the whole batch
      write.failure = toProblem(error);
    }
  }

  /** SQLite goes on writing into a file that was deleted: nothing would be left of it after a restart. */
  function checkFile(): void {
    const isGone = inode !== 0 && statSync(path, { throwIfNoEntry: false })?.ino !== inode;
    if (isGone) throw unavailable('The database file is gone.');
  }

  /** Deletes the oldest events in small steps, with the writes that push them out. */
  function prune(step: number): void {
    const { head, pruned } = position();
    const upTo = Math.min(head - config.eventRetention, pruned + step);
    if (upTo > pruned) sql.prune.run(upTo);
  }

  function wake(): void {
    for (const listener of wakes) listener();
  }

  // --- the changes

  function create(idempotency: Idempotency | undefined, change: () => string): Created {
    if (!idempotency) return { json: change(), isReplay: false };
    const earlier = sql.findKey.get(idempotency.key) as { request: string; answer: string } | undefined;
    if (earlier && earlier.request !== idempotency.request) {
      throw keyTaken();
    }
    if (earlier) return { json: earlier.answer, isReplay: true };
    return together(() => {
      const json = change();
      sql.addKey.run(idempotency.key, idempotency.request, json);
      sql.dropOldKeys.run(IDEMPOTENCY_SECONDS); // two at a time, so that old keys go faster than new ones come
      return { json, isReplay: false };
    });
  }

  function insertCustomer(fields: CustomerFields): string {
    const { lastInsertRowid } = sql.insertCustomer.run(fields.name, fields.email);
    return readCustomer(Number(lastInsertRowid))!;
  }

  function readCustomer(id: number): string | undefined {
    return sql.customer.get(id) as string | undefined;
  }

  function checkIfMatch(current: string | undefined, ifMatch: EtagList | undefined): void {
    if (!ifMatch) return;
    if (current !== undefined && matchesStrongly(ifMatch, etagOf(current))) return;
    throw preconditionFailed(current !== undefined);
  }

  function updateCustomer(
    id: number,
    fields: Partial<CustomerFields>,
    ifMatch?: EtagList,
  ): string | undefined {
    const current = readCustomer(id);
    checkIfMatch(current, ifMatch);
    if (current === undefined) return undefined;
    const { name, email } = { ...(JSON.parse(current) as CustomerFields), ...fields };
    sql.updateCustomer.run(name, email, id);
    return readCustomer(id);
  }

  function deleteCustomer(id: number, ifMatch?: EtagList): boolean {
    checkIfMatch(ifMatch && readCustomer(id), ifMatch);
    return sql.deleteCustomer.run(id).changes > 0;
  }

  function insertEvent(event: NewEvent): string {
    const { lastInsertRowid } = sql.insertEvent.run(event.type, event.source, event.data);
    return toCloudEvent(log, sql.event.get(lastInsertRowid) as StoredEvent);
  }

  // --- reading

  function position(): Position {
    return sql.position.get() as Position;
  }

  /** Several reads that see the database at one moment. */
  async function snapshot<T>(read: () => T): Promise<T> {
    try {
      return together(read);
    } catch (error) {
      throw toProblem(error);
    }
  }

  // --- what other programs do to the same file

  let seenVersion = sql.dataVersion.get();
  const poll = setInterval(() => {
    try {
      const version = sql.dataVersion.get();
      if (version !== seenVersion) wake();
      seenVersion = version;
      const { head, pruned } = position();
      if (head - pruned > config.eventRetention && group.isIdle()) group.add({ change() {}, settle() {} });
    } catch {
      // Locked or gone for the moment: the next poll sees what this one missed.
    }
  }, POLL_MS);

  return {
    log,
    description:
      path === ':memory:' ? 'SQLite in memory (gone when the program ends)' : `SQLite file ${path}`,
    hasCustomers,
    commits: () => commits,
    createCustomer: (fields, key) => write(() => create(key, () => insertCustomer(fields))),
    updateCustomer: (id, fields, ifMatch) => write(() => updateCustomer(id, fields, ifMatch)),
    deleteCustomer: (id, ifMatch) => write(() => deleteCustomer(id, ifMatch)),
    publish: (event, key) => write(() => create(key, () => insertEvent(event))),
    getCustomer: (id) => snapshot(() => readCustomer(id)),
    listCustomers: (after, limit) =>
      snapshot(() => {
        const rows = sql.customers.all(after, limit + 1) as { id: number; json: string }[];
        const page = rows.slice(0, limit);
        const customers = page.map((row) => row.json);
        return {
          customers,
          hasMore: rows.length > limit,
          lastId: page.at(-1)?.id ?? after,
          head: position().head,
        };
      }),
    position: () => snapshot(position),
    readEvents: (after, upTo, limit, maxBytes) =>
      snapshot(() => ({ ...position(), ...readStretch(sql.events, after, upTo, limit, maxBytes) })),
    onCommit: (listener) => wakes.push(listener),
    close: async () => {
      clearInterval(poll);
      await write(() => undefined).catch(() => undefined); // commits are in order: all before it are done
      db.close();
    },
  };
}

function readStretch(
  events: Database.Statement,
  after: number,
  upTo: number,
  limit: number,
  maxBytes: number,
) {
  const stretch: StoredEvent[] = [];
  let bytes = 0;
  let from = after;
  for (let more = true; more; ) {
    const rows = events.all(from, upTo, Math.min(READ_STEP, limit - stretch.length)) as StoredEvent[];
    for (const row of rows) {
      bytes += Buffer.byteLength(row.data);
      if (bytes > maxBytes && stretch.length > 0) return { events: stretch, upTo: from };
      stretch.push(onOneLine(row));
      from = row.seq;
    }
    more = rows.length === READ_STEP && stretch.length < limit;
  }
  return { events: stretch, upTo: stretch.length < limit ? upTo : from };
}
