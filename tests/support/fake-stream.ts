// A server of event streams that says what a test wants it to say, whatever the cursor.
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

/** Type, seq and data of a frame. */
export type Line = [type: string, seq: number, data: unknown];
export type Script = Line[];

export const encode = ([type, seq, data]: Line, stamp = 'abcdef') => {
  const id = `${stamp}-${seq}`;
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
  const asked: URLSearchParams[] = [];
  let last: ServerResponse | undefined;
  const server = createServer((request, response) => {
    const query = new URL(request.url ?? '', 'http://localhost').searchParams;
    asked.push(query);
    const script = answer(query, response, request.headers);
    if (!script) return;
    last = response;
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write(script.map((line) => encode(line)).join(''));
  }).listen(0, '127.0.0.1');
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
