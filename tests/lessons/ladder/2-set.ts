// Rung 2. A Set, and nobody is awaited: one that does not read no longer holds up the rest.
// But everybody is told before the customer is saved, and a save can be refused.
import { createServer } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { openShop, readCustomer, start } from './shop.ts';

const { insert } = openShop();
const sockets = new Set<WebSocket>();

const server = createServer(async (req, res) => {
  const customer = await readCustomer(req);
  tellAll(JSON.stringify(customer));
  res.writeHead(insert(customer) ? 201 : 409).end();
});

new WebSocketServer({ server }).on('connection', (socket) => {
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
});

function tellAll(text: string): void {
  for (const socket of sockets) socket.send(text);
}

start(server);
