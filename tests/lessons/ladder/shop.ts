// What all rungs share, and none teaches: a table of customers, JSON in, a port. The names of customers are
// unique, so that a save can be refused.
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { json } from 'node:stream/consumers';
import Database from 'better-sqlite3';

export type Customer = { name: string };

/** The database, and a way to save: `insert` returns false where the name is taken. */
export function openShop() {
  const db = new Database(process.env.DATABASE_URL ?? ':memory:');
  db.exec('PRAGMA journal_mode = WAL');
  db.exec('CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)');
  const statement = db.prepare('INSERT INTO customers (name) VALUES (?) ON CONFLICT DO NOTHING');
  return { db, insert: ({ name }: Customer) => statement.run(name).changes > 0 };
}

/** The body of a POST. */
export const readCustomer = (req: IncomingMessage) => json(req) as Promise<Customer>;

/** The number in `?after=`: the last event that this client has seen. */
export function readAfter(req: IncomingMessage): number | undefined {
  const after = new URL(req.url ?? '/', 'http://shop').searchParams.get('after');
  return after === null ? undefined : Number(after);
}

/** Listens, says where, and tells the experiments (its parent process) how many bytes wait for the slowest reader. */
export function start(server: Server): void {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  process.on('message', () => process.send?.(Math.max(0, ...[...sockets].map((one) => one.writableLength))));
  process.on('disconnect', () => process.exit());
  server.listen(Number(process.env.PORT ?? 5000), '127.0.0.1', () => {
    console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  });
}
