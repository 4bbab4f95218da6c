// Rung 7. Who does not read is not written to: its events stay where they are, in the log, and when it
// reads on it is served from its cursor. The program in lib/ is this rung, grown up.
import { createServer } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { openShop, readAfter, readCustomer, start } from './shop.ts';

const HIGH_WATER_BYTES = 256 * 1024;

type Event = { seq: number; name: string };
type Client = { socket: WebSocket; cursor: number };

const { db, insert } = openShop();
db.exec(`
  CREATE TABLE log (seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
  CREATE TRIGGER created AFTER INSERT ON customers BEGIN
    INSERT INTO log (name) VALUES (NEW.name);
  END`);
const newest = db.prepare<[], number>('SELECT coalesce(max(seq), 0) FROM log').pluck();
const eventAfter = db.prepare<[number], Event>(
  'SELECT seq, name FROM log WHERE seq > ? ORDER BY seq LIMIT 1',
);

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
  while (client.socket.bufferedAmount < HIGH_WATER_BYTES) {
    const event = eventAfter.get(client.cursor);
    if (!event) return;
    client.socket.send(JSON.stringify(event));
    client.cursor = event.seq;
  }
}

setInterval(() => clients.forEach(serve), 250);
start(server);
