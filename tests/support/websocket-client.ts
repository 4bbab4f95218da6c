// A WebSocket as anyone would open it, with the `ws` package; and a handshake that must be refused. What no library would
// send is in `raw-websocket.ts`.
import { once } from 'node:events';
import { type ClientOptions, WebSocket } from 'ws';
import { closeAfterTest } from './cleanup.ts';
import { createInbox, isFiltered } from './inbox.ts';
import { failureAt, placeOf, within } from './patience.ts';
import { type Answer, parseBody } from './requests.ts';

/** What a test may add to a handshake. */
export type ConnectOptions = {
  /** Parameters of the URL: `lastEventId`, `types` and so on. */
  query?: Record<string, string>;
  headers?: Record<string, string>;
  /** Subprotocols that are offered. */
  protocols?: string[];
  /** Further options of the package, such as to answer no pings. */
  options?: ClientOptions;
};

/** What a test has of an open WebSocket: its inbox, the socket, and its end. */
export type Client = Awaited<ReturnType<typeof connect>>;

/** Opens a WebSocket, waits for the handshake, and collects its frames. It ends with the test that opened it. */
export async function connect(
  wsUrl: string,
  { query = {}, headers = {}, protocols = [], options = {} }: ConnectOptions = {},
) {
  const url = new URL(wsUrl);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const socket = new WebSocket(url, protocols, { headers, ...options });
  // Without a goodbye: the next test must not wait for the answer to one.
  closeAfterTest(() => socket.terminate());
  const inbox = createInbox(isFiltered(url, headers));
  // From the beginning: an end that came before a test asks for it is known all the same.
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once('close', (code, reason) => {
      // A test that waits for a frame hears at once that none will come.
      inbox.end(`close ${code} ${reason}`.trim());
      resolve({ code, reason: String(reason) });
    });
  });
  // Before the handshake is through: the first frame may come in the same packet.
  socket.on('message', (bytes) => inbox.add(JSON.parse(String(bytes))));
  // The first frame is not awaited: a test may want to look at it itself.
  await within(once(socket, 'open'), 'the WebSocket handshake');
  // Only now: an error of the handshake must fail the test. Later ones are ends, and told by 'close'.
  socket.on('error', () => {});
  return {
    ...inbox,
    socket,
    closed,
    /** Says goodbye; resolves when the server has answered. */
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
  // A refusal is plain HTTP: `ws` hands over the response instead of opening.
  const answer = new Promise<Answer>((resolve, reject) => {
    socket.on('error', () => {});
    socket.once('open', () => {
      socket.terminate();
      // The line of the test is named, though it is here that it is found.
      reject(failureAt(place, 'the handshake was accepted, and should be refused'));
    });
    socket.once('unexpected-response', (_request, response) => {
      let text = '';
      // A problem document: the test looks into it as into any other.
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.once('end', () => {
        // As `fetch` would have them, so that a test asks all answers in one way.
        const fields = new Headers();
        for (const [name, value] of Object.entries(response.headers)) fields.set(name, String(value));
        resolve({ status: response.statusCode ?? 0, headers: fields, text, body: parseBody(fields, text) });
      });
    });
  });
  return within(answer, 'the handshake to be refused', { place });
}
