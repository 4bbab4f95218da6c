// What the tests of many clients share with the soak: what a server's process holds, clients in waves, and a
// herd that comes back after a restart.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { connect, eventually, get, post, range, type Server, seqOf, seqsOf, startServer } from './helpers.ts';
import { clientFrame, eventStream, handshake, openRaw } from './raw-websocket.ts';

/** Bytes. */
export const MEGABYTE = 1024 * 1024;
const HERD_MS = 60_000; // what a large herd takes on a slow machine

/** Resident memory of the server's process, in bytes. */
export function memoryOf(server: Server): number {
  // In kilobytes, whatever the size of a page is.
  const status = readFileSync(`/proc/${server.process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024;
}

/** What its process has used of processors since its start, in milliseconds; whatever else the machine does is not in it. */
export function processorTime({ process: { pid } }: Server): number {
  // The name of the program stands in brackets, and may hold blanks.
  const [, , ...fields] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[9]) + Number(fields[10])) * 10; // utime and stime, in hundredths of a second
}

/** Open files and sockets of the server's process. */
export function handlesOf(server: Server): number {
  // Linux has one entry for each.
  return readdirSync(`/proc/${server.process.pid}/fd`).length;
}

/** Another program puts events into the log, which is faster than as many requests. */
export function insertEvents(file: string, count: number, bytes: number): void {
  // It waits for a lock as other programs do, since the server may be writing.
  const db = openDatabase(file, { timeout: 5000 });
  const insert = db.prepare('INSERT INTO changebell_events (type, data) VALUES (?, ?)');
  const data = JSON.stringify('x'.repeat(bytes));
  // One transaction: the server is woken once, and reads all of it.
  db.transaction(() => {
    for (let i = 0; i < count; i++) insert.run('load', data);
  })();
  db.close();
}

/** A wave of clients of both transports, each with a filter of its own, that leave in every manner there is. */
export async function wave(server: Server, size: number): Promise<void> {
  const opened = range(1, size).map((number) => {
    // Equal filters share their frames, so different ones are what could leave memory behind.
    const query = `?types=wave-${number}.*`;
    return openRaw(server.port, number % 2 === 0 ? handshake(query) : eventStream(query));
  });
  const clients = await Promise.all(opened);
  clients.forEach(({ socket }, index) => {
    // A goodbye as RFC 6455 wants it, an end without one, a reset, and a socket that is thrown away.
    if (index % 4 === 0) socket.end(clientFrame(0x88, Buffer.from([0x03, 0xe8])));
    else if (index % 4 === 1) socket.end();
    else if (index % 4 === 2) socket.resetAndDestroy();
    else socket.destroy();
  });
  // The server hears of each end when its kernel tells it.
  await eventually(
    () => get(`${server.url}/healthz`),
    ({ body }) => body.clients === 0,
    'all clients of the wave are gone',
  );
}

/** So many clients resume after a restart, each having missed 1,000 events. @returns how long it took, in ms */
export async function herd(size: number): Promise<number> {
  const first = await startServer();
  const { body: before } = await post(`${first.url}/api/events`, { data: 'before' });
  // While the server is up, so that its stop and start lie between them and the herd.
  insertEvents(first.databaseFile, 1000, 200);
  await first.stop();
  const server = await startServer({ DATABASE_URL: first.databaseFile });
  // From the first handshake to the last event of the slowest.
  const startedAt = performance.now();
  const clients = await Promise.all(
    range(1, size).map(() => connect(server.wsUrl, { query: { lastEventId: before.id } })),
  );
  // After all have been let in: an event that comes while they catch up must not come too early, nor twice.
  const { body: live } = await post(`${server.url}/api/events`, { type: 'live' });
  const all = clients.map((client) => client.event(live.id, HERD_MS));
  await Promise.all(all);
  const ms = performance.now() - startedAt;
  const expected = range(seqOf(before.id) + 1, seqOf(live.id));
  // Everyone everything, once, in order, whatever the others did.
  for (const client of clients) assert.deepEqual(seqsOf(client.events()), expected);
  for (const client of clients) client.socket.terminate();
  await server.stop();
  return ms;
}
