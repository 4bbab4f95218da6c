// Rung 6. Every client has a cursor, and one rule: it gets what comes after its cursor. Live, replayed,
// new, away for an hour: all the same, so there is no seam. But who does not read fills our memory.
import { createServer } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { openShop, readAfter, readCustomer, start } from './shop.ts';

type Event = { seq: number; name: string };
type Client = { socket: WebSocket; cursor: number };

const { db, insert } = openShop();
db.exec(`
  CREATE TABLE log (seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
  CREATE TRIGGER created AFTER INSERT ON customers BEGIN
    INSERT INTO log (name) VALUES (NEW.name);
  END`);
const newest = db.prepare<[], number>('SELECT coalesce(max(seq), 0) FROM log').pluck();
const eventsAfter = db.prepare<[number], Event>('SELECT seq, name FROM log WHERE seq > ? ORDER BY seq');

const clients = new Set<Client>();

const server = createServer(async (req, res) => {
  res.writeHead(insert(await readCustomer(req)) ? 201 : 409).end();
});

new WebSocketServer({ server }).on('connection', (socket, req) => {
  const client = { socket, cursor: readAfter(req) ?? newest.get()! };
  clients.add(client);
  socket.on('close', () => clients.delete(client));
  serve(client);
});

function serve(client: Client): void {
  for (const event of eventsAfter.all(client.cursor)) {
    client.socket.send(JSON.stringify(event));
    client.cursor = event.seq;
  }
}

setInterval(() => clients.forEach(serve), 250);
start(server);
