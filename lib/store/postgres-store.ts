// The store on PostgreSQL. All writes of a turn go to the database as one call of `changebell_write`: one round trip,
// one transaction. Here the parts are put together: connections, the writer, the one who numbers what others write,
// the one who listens, and the readers: of rows, and of the log, which may be read from a replica.
import type { Pool } from 'pg';
import { type Config, StartError } from '../config.ts';
import type { Cursor, Position, ResetReason } from '../event.ts';
import { unavailable } from '../problem.ts';
import { Commits } from './commits.ts';
import { GroupCommit, MAX_WAITING_BYTES, type Result, unclear } from './group-commit.ts';
import { loadPostgres, type Postgres, processOf } from './postgres-connection.ts';
import { isReadOnly, isTransient, toProblem } from './postgres-errors.ts';
import { Listener } from './postgres-listener.ts';
import { Looks } from './postgres-looks.ts';
import { Numbering } from './postgres-numbering.ts';
import { Orders, type Row } from './postgres-orders.ts';
import { Partitions } from './postgres-partitions.ts';
import { MAX_READERS, Reader } from './postgres-reader.ts';
import { type LogReader, openReplica, Replica } from './postgres-replica.ts';
import { Rows } from './postgres-rows.ts';
import { type Opened, openDatabase } from './postgres-start.ts';
import { CUSTOMER_PAGE, type Statement, type StatementName, statementsFor } from './postgres-statements.ts';
import { holdWatch } from './postgres-watch.ts';
import type { Answer, CustomerPage, Order, RowPage, Store, Stretch } from './store.ts';

type Options = Pick<Config, 'databaseUrl' | 'eventRetention' | 'watch'> &
  Partial<Pick<Config, 'hasCustomers' | 'replicaUrl'>>;

/** Makes and changes our tables where that is due, then listens. @throws {StartError} if the database can't be used */
export async function openPostgresStore(options: Options): Promise<Store> {
  const { databaseUrl, replicaUrl, watch, eventRetention, hasCustomers = true } = options;
  const postgres = await loadPostgres(databaseUrl);
  const { client, opened } = await openDatabase(postgres, { watch, hasCustomers });
  for (const notice of opened.notices) console.log(notice);
  let store: PostgresStore | undefined;
  try {
    const replica = replicaUrl ? await openReplica(replicaUrl, opened.schema, client) : undefined;
    store = new PostgresStore(postgres, opened, eventRetention, replica);
    await store.listen();
    await store.check(); // a pool that can't work is no start
    return store;
  } catch (error) {
    await store?.close().catch(() => {});
    if (error instanceof StartError) throw error;
    throw new StartError(`The ${opened.description} cannot be used: ${(error as Error).message}`);
  } finally {
    await client.end().catch(() => {}); // until now it held what the listener holds from now on
  }
}

class PostgresStore implements Store {
  readonly description: string;
  readonly hasCustomers: boolean;
  readonly watch: ReadonlySet<string>;
  private readonly postgres: Postgres;
  private readonly opened: Opened;
  private readonly statements: Record<StatementName, Statement>;
  /** One connection for our writes, one for the numbering of others', one to look for partitions that moved. */
  private readonly writer: Pool;
  private readonly readers: Pool;
  private readonly retention: number;
  private readonly shared = new Commits();
  private readonly group: GroupCommit;
  private readonly orders = new Orders();
  private readonly numbering: Numbering;
  private readonly partitions: Partitions;
  /** Of rows, and of their pages with the place in the log: whoever has written finds that there. */
  private readonly reader: Reader;
  /** Whatever is announced was read by this: retention may take what it has shown to the hub, and no more. */
  private readonly log: LogReader;
  private readonly replica: Replica | undefined;
  private readonly rows: Rows;
  private readonly looks: Looks;
  private listener: Listener | undefined;
  /** The database's processes that commit for us: of their commits we know already. */
  private readonly ownProcesses = new Set<number>();

  /** @param replica the way to where the log is read; undefined: to the same as all the rest */
  constructor(postgres: Postgres, opened: Opened, retention: number, replica: Postgres | undefined) {
    this.postgres = postgres;
    this.opened = opened;
    this.description = `${opened.description}${replica ? `, its log read from ${replica.describe()}` : ''}`;
    this.hasCustomers = opened.hasCustomers;
    this.watch = new Set(opened.watched.map(({ table }) => table));
    this.retention = retention;
    this.statements = statementsFor(opened.schema, postgres.isLent);
    this.writer = postgres.newPool(3);
    this.readers = postgres.newPool(MAX_READERS);
    // Behind a new connection may be another server, or the same one with another history.
    this.writer.on('connect', (client) => {
      this.ownProcesses.add(processOf(client));
      this.numbering.reset();
    });
    this.writer.on('remove', (client) => this.ownProcesses.delete(processOf(client)));
    this.group = new GroupCommit((orders) => this.commit(orders));
    this.numbering = new Numbering(postgres, this.writer, opened.schema, {
      retention,
      hasCustomers: opened.hasCustomers,
      announced: () => this.shared.announced,
      onNumbered: () => this.shared.committed(),
    });
    this.partitions = new Partitions(
      (work) => postgres.use(this.writer, work),
      opened.schema,
      opened.watched,
    );
    this.reader = new Reader(postgres, this.readers, opened.schema, this.statements, this.numbering);
    this.rows = new Rows(this.reader, opened.schema, opened.watched);
    this.replica = replica && new Replica(replica, opened.schema, this.numbering, this.reader);
    this.log = this.replica ?? this.reader;
    this.looks = new Looks(
      () => this.position(),
      () => this.shared.wake(),
    );
    // A standby can't LISTEN: who is woken hears of a commit before it can be read.
    if (replica) this.shared.onCommit(() => this.looks.soon());
  }

  /** @throws what the database said */
  async listen(): Promise<void> {
    const sources = this.opened.watched.map(({ source }) => source);
    this.listener = await Listener.open(
      this.postgres,
      (client) => holdWatch(client, sources),
      (sender) => this.ownProcesses.has(sender),
      () => this.shared.wake(),
    );
  }

  commits(): number {
    return this.shared.count;
  }

  waiting(): { bytes: number; limit: number } {
    return { bytes: this.group.waitingBytes, limit: MAX_WAITING_BYTES };
  }

  write(order: Order): Promise<Answer> {
    return this.group.write(order);
  }

  /** One call, one transaction. What it says of each order is durable when it says it: `synchronous_commit` is on. */
  private async commit(orders: Order[]): Promise<Result[]> {
    const client = await this.postgres.take(this.writer).catch(() => undefined); // it is away for the moment
    if (!client) return orders.map(() => ({ is: 'locked' })); // nothing was sent: it can be tried again
    try {
      const { together, alone } = this.orders.sort(orders);
      const values = [together, alone, this.numbering.low, this.retention, this.shared.announced];
      const { rows } = await client.query<Row>({ ...this.statements.write, values });
      client.release();
      this.shared.committed();
      return this.orders.toResults(rows, orders);
    } catch (error) {
      // Only an error that the database itself tells of, and stays connected, says that nothing was committed.
      const isRolledBack = this.postgres.isDatabaseError(error) && error.severity === 'ERROR';
      client.release(!isRolledBack || isReadOnly(error.code));
      if (!isRolledBack) throw unclear(); // the commit may have been made before the connection was lost
      if (isTransient(error.code) || isReadOnly(error.code)) return orders.map(() => ({ is: 'locked' }));
      throw toProblem(error);
    }
  }

  async getCustomer(id: number): Promise<string | undefined> {
    return this.reader.customer(id);
  }

  async listCustomers(after: number, limit: number): Promise<CustomerPage> {
    const { rows, head } = await this.reader.page(CUSTOMER_PAGE, [String(after)], limit + 1);
    const page = rows.slice(0, limit);
    const lastId = Number(page.at(-1)?.key ?? after);
    return { customers: page.map(({ json }) => json), hasMore: rows.length > limit, lastId, head };
  }

  /** @throws {Problem} 400 if `after` was never a `last`, 503 */
  async readRows(table: string, after: string | undefined, limit: number): Promise<RowPage | undefined> {
    return this.rows.page(table, after, limit);
  }

  async readRow(table: string, key: string): Promise<string | undefined> {
    return this.rows.row(table, key);
  }

  async position(
    cursors: readonly Cursor[] = [],
  ): Promise<Position & { resets: (ResetReason | undefined)[] }> {
    return this.log.position(cursors);
  }

  async findTime(time: string): Promise<Cursor> {
    return this.log.time(time);
  }

  async readEvents(after: Cursor, upTo: number, limit: number, maxBytes: number): Promise<Stretch> {
    return this.log.events(after, upTo, limit, maxBytes);
  }

  onCommit(wake: () => void): void {
    this.shared.onCommit(wake);
  }

  announced(seq: number): void {
    this.shared.markAnnounced(seq);
  }

  /** Both are asked: one that takes writes, and one from which the log can be read. */
  async check(): Promise<void> {
    const text = "SELECT current_setting('transaction_read_only') = 'on' AS \"isReadOnly\"";
    const [row] = await this.reader.read<{ isReadOnly: boolean }>({ text });
    if (row!.isReadOnly) throw unavailable('The database is read-only at the moment.');
    await this.position();
  }

  /** Writes first, since they were taken; then who works by itself; connections last. */
  async close(): Promise<void> {
    this.looks.stop();
    await this.group.drain();
    await Promise.all([this.numbering.stop(), this.partitions.stop()]);
    const ends = [this.writer.end(), this.readers.end(), this.replica?.close()];
    await Promise.all([this.listener?.close(), ...ends]);
  }
}
