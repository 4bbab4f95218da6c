// Rung 1. What everyone writes first: a list of sockets, and a loop that sends to each in turn.
// It works on every desk. Then one laptop stops reading, and the loop waits for it.
import { createServer } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { openShop, readCustomer, start } from './shop.ts';

const { insert } = openShop();
const sockets: WebSocket[] = [];

const server = createServer(async (req, res) => {
  const customer = await readCustomer(req);
  await tellAll(JSON.stringify(customer));
  res.writeHead(insert(customer) ? 201 : 409).end();
});

new WebSocketServer({ server }).on('connection', (socket) => {
  sockets.push(socket);
  socket.on('close', () => sockets.splice(sockets.indexOf(socket), 1));
});

async function tellAll(text: string): Promise<void> {
  for (const socket of sockets) await new Promise((sent) => socket.send(text, sent));
}

start(server);
