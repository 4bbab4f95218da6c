// The bounds that hold over all connections, by a clock of the test's own: the 30 s of an answer that nobody takes are real
// ones in the soak.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { Answer } from '../../lib/http/answer.ts';
import { Connections } from '../../lib/http/connections.ts';
import { Refusals } from '../../lib/http/refusals.ts';
import { queuedBytes } from '../../lib/http/unsent-bytes.ts';
import { eventually, within } from '../support/helpers.ts';
import { deaf, head } from '../support/raw-http.ts';

const LONG = Buffer.alloc(32 * 1024 * 1024); // more than the kernel takes on the way

test('an answer of which no byte is taken for 30 s is cut off, and one byte begins that time anew', async (t) => {
  let ahead = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + ahead);
  t.mock.timers.enable({ apis: ['setInterval'] });
  const server = createServer({ ServerResponse: Answer });
  const refusals = new Refusals();
  const connections = new Connections(server, 10, refusals);
  let socket: Socket | undefined; // of the server's side
  server.on('request', (req, res) => {
    socket = req.socket;
    connections.begin(res);
    res.end(LONG);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const reader = deaf((server.address() as AddressInfo).port, head('GET /'));
  const isGone = once(reader, 'close');
  /** The clock goes on, and the server looks. */
  const pass = (seconds: number) => {
    ahead += seconds * 1000;
    t.mock.timers.tick(1000);
  };
  const taken = await untilFull(() => socket);
  pass(0);
  pass(29);
  assert.equal(socket!.destroyed, false, 'it was cut off after 29 s');
  reader.resume();
  await eventually(
    () => takenBy(socket!),
    (bytes) => bytes > taken,
    'the reader takes some of it',
  );
  reader.pause();
  await untilFull(() => socket);
  pass(0);
  pass(29);
  assert.equal(socket!.destroyed, false, 'it was cut off 29 s after a byte that it took');
  pass(2);
  assert.equal(socket!.destroyed, true, 'it is still open after 31 s without a byte');
  assert.equal(refusals.counts.get('unread'), 1);
  reader.resume();
  await within(isGone, 'the end of its connection');
  connections.destroy();
  server.close();
});

/** Bytes of the answer that the kernel has got. */
const takenBy = (socket: Socket) => LONG.length - queuedBytes(socket);

/** When the kernel takes no more: two looks one after the other see the same. */
async function untilFull(socketOf: () => Socket | undefined): Promise<number> {
  let before = -1;
  const look = () => {
    const socket = socketOf();
    const [last, taken] = [before, socket ? takenBy(socket) : -1];
    before = taken;
    return taken === last ? taken : -1;
  };
  return eventually(look, (taken) => taken > 0, 'the kernel is full');
}
