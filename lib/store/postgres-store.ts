// The store on PostgreSQL. Here its parts are put together: connections, who writes, who numbers what others write, who
// hears of it, and the readers: of rows, and of the log, which may be read from a replica.
import { type Config, StartError } from '../config.ts';
import { unavailable } from '../problem.ts';
import { Commits } from './commits.ts';
import { GroupCommit, MAX_WAITING_BYTES } from './group-commit.ts';
import { loadPostgres, type Postgres } from './postgres-connection.ts';
import { toProblem } from './postgres-errors.ts';
import { Numbering } from './postgres-numbering.ts';
import { Reader } from './postgres-reader.ts';
import { echoing, openReplica, Replica } from './postgres-replica.ts';
import { Rows } from './postgres-rows.ts';
import { mender, type Opened, openDatabase } from './postgres-start.ts';
import { Listener } from './postgres-wake.ts';
import { Watching } from './postgres-watching.ts';
import { Writer } from './postgres-writer.ts';
import type { Store } from './store.ts';

type Options = Pick<Config, 'databaseUrl' | 'eventRetention' | 'watch'> &
  Partial<Pick<Config, 'hasCustomers' | 'replicaUrl'>>;

/** Makes and changes our tables where that is due, then listens. @throws {StartError} if the database can't be used */
export async function openPostgresStore(options: Options): Promise<Store> {
  const { databaseUrl, replicaUrl, watch, eventRetention, hasCustomers = true } = options;
  const postgres = await loadPostgres(databaseUrl);
  const opened = await openDatabase(postgres, { watch, hasCustomers });
  for (const notice of opened.notices) console.log(notice);
  let store: Store | undefined;
  try {
    const replica = replicaUrl ? await openReplica(replicaUrl, postgres.schema, opened.run) : undefined;
    const parts = assemble(postgres, opened, eventRetention, replica);
    store = storeOf(parts);
    await parts.workers.listener.start();
    postgres.onLack = mender(postgres, parts.opened.hasCustomers);
    await store.check(); // a pool that can't work is no start
    return store;
  } catch (error) {
    await store?.close().catch(() => {});
    if (error instanceof StartError) throw error;
    throw new StartError(`The ${postgres.describe()} cannot be used: ${(error as Error).message}`);
  } finally {
    await opened.client.end().catch(() => {}); // until now it held what the listener holds from now on
  }
}

type Parts = ReturnType<typeof assemble>;

const IS_READ_ONLY = "SELECT current_setting('transaction_read_only') AS it";

/** @param replica the way to where the log is read; undefined: to the same as all the rest */
function assemble(postgres: Postgres, opened: Opened, retention: number, replica: Postgres | undefined) {
  const { hasCustomers, watched } = opened;
  const commits = new Commits();
  // One connection for our writes, one for the numbering of others', one to look what became of watched tables.
  const connections = postgres.share(3);
  const numbering = new Numbering(connections, { retention, hasCustomers, commits });
  const watching = new Watching(connections, watched);
  // Of rows, and of their pages with the place in the log: whoever has written finds that there.
  const reader = new Reader(postgres, numbering);
  const rows = new Rows(reader, postgres.schema, watched);
  // On connections of its own: nobody's pages of rows, which may take seconds, keep a stream from its events. And whatever is
  // announced was read by this: retention may take what it has shown to the hub, and no more.
  const log = replica ? new Replica(replica, numbering, reader) : new Reader(postgres, numbering);
  // A standby can't LISTEN: who is woken hears of a commit before it can be read.
  const onCommit: Store['onCommit'] = (wake) => commits.onCommit(replica ? echoing(wake) : wake);
  const sources = watched.map(({ source }) => source);
  const listener = new Listener(postgres, connections.pool, sources, commits);
  const writer = new Writer(connections, { retention, numbering, commits, onLack: () => postgres.onLack() });
  const group = new GroupCommit((orders) => writer.commit(orders));
  const description = `${postgres.describe()}${replica ? `, its log read from ${replica.describe()}` : ''}`;
  const workers = { numbering, watching, listener, connections };
  return { description, opened, commits, group, reader, rows, log, onCommit, workers };
}

/** What each method promises stands in `store.ts`: here it is passed to whoever keeps it. */
function storeOf(parts: Parts): Store {
  const { description, opened, commits, group, reader, rows, log, onCommit, workers } = parts;
  return {
    description,
    hasCustomers: opened.hasCustomers,
    watch: new Set(opened.watched.map(({ table }) => table)),
    commits: () => commits.count,
    waiting: () => ({ bytes: group.waitingBytes, limit: MAX_WAITING_BYTES }),
    write: (order) => group.write(order),
    readRows: (table, after, limit) => rows.page(table, after, limit),
    readRow: (table, key) => rows.row(table, key),
    position: (cursors = []) => log.position(cursors),
    findTime: (time) => log.time(time),
    readEvents: (after, upTo, limit, maxBytes) => log.events(after, upTo, limit, maxBytes),
    onCommit,
    announced: (seq) => commits.markAnnounced(seq),
    // Both are asked: one that takes writes, and one from which the log can be read.
    async check() {
      const [row] = await workers.connections.query<{ it: string }>(IS_READ_ONLY).catch((error) => {
        throw toProblem(error);
      });
      if (row!.it === 'on') throw unavailable('The database is read-only at the moment.');
      await log.position([]);
    },
    // Writes first, since they were taken; then who works by itself; connections last.
    async close() {
      await group.drain();
      await Promise.all([workers.numbering.stop(), workers.watching.stop()]);
      const readers = [reader.close(), log.close()];
      await Promise.all([workers.listener.close(), workers.connections.pool.end(), ...readers]);
    },
  };
}
