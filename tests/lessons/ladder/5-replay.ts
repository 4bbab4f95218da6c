// Rung 5. Who comes with the number of the last event that it saw is told what it missed, and then
// joins the rest. But two ways lead to a client now, and where they meet something is told twice.
import { createServer } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { openShop, readAfter, readCustomer, start } from './shop.ts';

type Event = { seq: number; name: string };

const { db, insert } = openShop();
db.exec(`
  CREATE TABLE log (seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
  CREATE TRIGGER created AFTER INSERT ON customers BEGIN
    INSERT INTO log (name) VALUES (NEW.name);
  END`);
const eventsAfter = db.prepare<[number], Event>('SELECT seq, name FROM log WHERE seq > ? ORDER BY seq');

const sockets = new Set<WebSocket>();
let head = 0; // the last event that was told

const server = createServer(async (req, res) => {
  res.writeHead(insert(await readCustomer(req)) ? 201 : 409).end();
});

new WebSocketServer({ server }).on('connection', (socket, req) => {
  for (const event of eventsAfter.all(readAfter(req) ?? head)) socket.send(JSON.stringify(event));
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
});

function tellNews(): void {
  for (const event of eventsAfter.all(head)) {
    for (const socket of sockets) socket.send(JSON.stringify(event));
    head = event.seq;
  }
}

setInterval(tellNews, 250);
start(server);
