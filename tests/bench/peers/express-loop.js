// What most people would write: Express, better-sqlite3, and a loop over the sockets after each save.
import { createServer } from 'node:http';
import express from 'express';
import { WebSocketServer } from 'ws';
import { openDatabase } from './database.js';

const insert = openDatabase();
const app = express();
const server = createServer(app);
const sockets = new WebSocketServer({ server, path: '/ws', perMessageDeflate: false });
sockets.on('connection', (socket) => socket.send('{"type":"hello"}'));
app.use(express.json());
app.post('/api/customers', (req, res) => {
  const customer = insert(req.body);
  const text = JSON.stringify({ type: 'customer.created', time: customer.createdAt, data: customer });
  for (const socket of sockets.clients) if (socket.readyState === socket.OPEN) socket.send(text);
  res.status(201).location(`/api/customers/${customer.id}`).json(customer);
});
server.listen(0, '127.0.0.1', () => console.log(`http://localhost:${server.address().port}`));
