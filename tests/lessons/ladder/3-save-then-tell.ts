// Rung 3. Saved first, told afterwards: what was refused is no longer announced.
// But only this program announces, and it may die between the two lines.
import { createServer } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { openShop, readCustomer, start } from './shop.ts';

const { insert } = openShop();
const sockets = new Set<WebSocket>();

const server = createServer(async (req, res) => {
  const customer = await readCustomer(req);
  const isSaved = insert(customer);
  if (isSaved) tellAll(JSON.stringify(customer));
  res.writeHead(isSaved ? 201 : 409).end();
});

new WebSocketServer({ server }).on('connection', (socket) => {
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
});

function tellAll(text: string): void {
  for (const socket of sockets) socket.send(text);
}

start(server);
