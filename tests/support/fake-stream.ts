// A server of event streams that says what a test wants it to say, whatever the cursor. For what the real one never does:
// the library must bear a server that repeats itself, skips, or answers nonsense.
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

/** Type, seq and data of a frame. */
export type Line = [type: string, seq: number, data: unknown];
/** What one connection is told, in this order. */
export type Script = Line[];

/** A frame as it goes over the line; the stamp is the same for all, unless a test plays another history. */
export const encode = ([type, seq, data]: Line, stamp = 'abcdef') => {
  const id = `${stamp}-${seq}`;
  // No time: nothing in the library looks at it.
  const event = { specversion: '1.0', id, source: '/api/events', type, time: '', data };
  return `id: ${id}\ndata: ${JSON.stringify(event)}\n\n`;
};

/** @param answer what a new connection is told, or undefined if the answer was given by itself */
export async function fakeStream(
  t: TestContext,
  answer: (
    query: URLSearchParams,
    response: ServerResponse,
    headers: Record<string, unknown>,
  ) => Script | undefined,
) {
  // The query of each connection: with which cursor the library came back.
  const asked: URLSearchParams[] = [];
  // `send` and `end` are about the newest connection.
  let last: ServerResponse | undefined;
  // Real HTTP on a free port: the library shall not know the difference.
  const server = createServer((request, response) => {
    const query = new URL(request.url ?? '', 'http://localhost').searchParams;
    // Before the answer, so that a test may ask inside of it how often it was asked.
    asked.push(query);
    // Undefined: the test has answered by itself, perhaps with a refusal.
    const script = answer(query, response, request.headers);
    if (!script) return;
    last = response;
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write(script.map((line) => encode(line)).join(''));
  }).listen(0, '127.0.0.1');
  // A stream has no end of its own, and would keep the process alive.
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/events`,
    asked,
    send: (line: Line, stamp?: string) => last?.write(encode(line, stamp)),
    end: () => last?.end(),
  };
}
