// What the tests of many clients share with the soak: what a server's process holds, and clients in waves.
import { readdirSync, readFileSync } from 'node:fs';
import { openDatabase } from '../lib/sqlite.ts';
import { eventually, get, range, type Server } from './helpers.ts';
import { clientFrame, eventStream, handshake, openRaw } from './raw-websocket.ts';

export const MEGABYTE = 1024 * 1024;

/** Resident memory of the server's process, in bytes. */
export function memoryOf(server: Server): number {
  const status = readFileSync(`/proc/${server.process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024;
}

/** Open files and sockets of the server's process. */
export function handlesOf(server: Server): number {
  return readdirSync(`/proc/${server.process.pid}/fd`).length;
}

/** Another program puts events into the log, which is faster than as many requests. */
export function insertEvents(file: string, count: number, bytes: number): void {
  const db = openDatabase(file, { timeout: 5000 });
  const insert = db.prepare('INSERT INTO changebell_events (type, data) VALUES (?, ?)');
  const data = JSON.stringify('x'.repeat(bytes));
  db.transaction(() => {
    for (let i = 0; i < count; i++) insert.run('load', data);
  })();
  db.close();
}

/** A wave of clients of both transports, each with a filter of its own, that leave in every manner there is. */
export async function wave(server: Server, size: number): Promise<void> {
  const opened = range(1, size).map((number) => {
    const query = `?types=wave-${number}.*`;
    return openRaw(server.port, number % 2 === 0 ? handshake(query) : eventStream(query));
  });
  const clients = await Promise.all(opened);
  clients.forEach(({ socket }, index) => {
    if (index % 4 === 0) socket.end(clientFrame(0x88, Buffer.from([0x03, 0xe8])));
    else if (index % 4 === 1) socket.end();
    else if (index % 4 === 2) socket.resetAndDestroy();
    else socket.destroy();
  });
  await eventually(
    () => get(`${server.url}/healthz`),
    ({ body }) => body.clients === 0,
    'all clients of the wave are gone',
  );
}
