// A WebSocket as anyone would open it, with the `ws` package; and a handshake that must be refused.
import { once } from 'node:events';
import { type ClientOptions, WebSocket } from 'ws';
import { closeAfterTest } from './cleanup.ts';
import { createInbox, isFiltered } from './inbox.ts';
import { failureAt, placeOf, within } from './patience.ts';
import { type Answer, parseBody } from './requests.ts';

export type ConnectOptions = {
  query?: Record<string, string>;
  headers?: Record<string, string>;
  protocols?: string[];
  options?: ClientOptions;
};

export type Client = Awaited<ReturnType<typeof connect>>;

/** Opens a WebSocket, waits for the handshake, and collects its frames. It ends with the test that opened it. */
export async function connect(
  wsUrl: string,
  { query = {}, headers = {}, protocols = [], options = {} }: ConnectOptions = {},
) {
  const url = new URL(wsUrl);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const socket = new WebSocket(url, protocols, { headers, ...options });
  closeAfterTest(() => socket.terminate());
  const inbox = createInbox(isFiltered(url, headers));
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once('close', (code, reason) => {
      inbox.end(`close ${code} ${reason}`.trim());
      resolve({ code, reason: String(reason) });
    });
  });
  socket.on('message', (bytes) => inbox.add(JSON.parse(String(bytes))));
  await within(once(socket, 'open'), 'the WebSocket handshake');
  socket.on('error', () => {});
  return {
    ...inbox,
    socket,
    closed,
    close: () => {
      socket.close();
      return closed;
    },
  };
}

/** The status and the problem that a WebSocket handshake is refused with. */
export async function refusedHandshake(wsUrl: string, headers: Record<string, string> = {}): Promise<Answer> {
  const place = placeOf(refusedHandshake);
  const socket = new WebSocket(wsUrl, { headers });
  const answer = new Promise<Answer>((resolve, reject) => {
    socket.on('error', () => {});
    socket.once('open', () => {
      socket.terminate();
      reject(failureAt(place, 'the handshake was accepted, and should be refused'));
    });
    socket.once('unexpected-response', (_request, response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.once('end', () => {
        const fields = new Headers();
        for (const [name, value] of Object.entries(response.headers)) fields.set(name, String(value));
        resolve({ status: response.statusCode ?? 0, headers: fields, text, body: parseBody(fields, text) });
      });
    });
  });
  return within(answer, 'the handshake to be refused', { place });
}
