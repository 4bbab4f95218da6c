// Fastify with better-sqlite3, and nobody listening.
import Fastify from 'fastify';
import { openDatabase } from './database.js';

const insert = openDatabase();
const app = Fastify();
app.post('/api/customers', (request, reply) => {
  const customer = insert(request.body);
  reply.code(201).header('Location', `/api/customers/${customer.id}`).send(customer);
});
console.log((await app.listen({ port: 0, host: '127.0.0.1' })).replace('127.0.0.1', 'localhost'));
