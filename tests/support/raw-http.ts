// HTTP by hand over bare TCP: what a well-behaved client could not send, and answers as they came, byte for byte.
import { connect as connectTcp, type Socket } from 'node:net';
import { within } from './patience.ts';

/** Sends these bytes; resolves with all that came back until the server closed. `takes`: what it takes by its nature. */
export function raw(port: number, request: string | Buffer, takes = 0): Promise<string> {
  let text = '';
  const answer = new Promise<string>((resolve, reject) => {
    const socket = connectTcp(port, '127.0.0.1', () => socket.write(request));
    // One character for each byte: nothing is mended on the way.
    socket.setEncoding('latin1').on('data', (part) => {
      text += part;
    });
    // A reset after the answer is an end like any other; only a server that isn't there fails the test.
    socket.on('error', (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED' && reject(error));
    socket.on('close', () => resolve(text));
  });
  // What came so far is the best hint at what the server waits for.
  const instead = () => (text === '' ? 'not a byte came' : `so far came: ${text.slice(0, 300)}`);
  return within(answer, 'the server to answer and close the connection', { takes, instead });
}

/** Status and body of a raw response. */
export function parseRaw(text: string): { status: number; head: string; body: string } {
  // The head ends with the first empty line, and the body may have some too.
  const [head = '', ...rest] = text.split('\r\n\r\n');
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0), head, body: rest.join('\r\n\r\n') };
}

/** A whole request by hand, for what `fetch` would mend: paths with dots, a foreign Host. */
export async function rawRequest(
  port: number,
  line: string,
  headers: Record<string, string> = {},
  body = '',
) {
  // `Connection: close`, so that the end of the answer is the end of the connection; a test may say otherwise.
  const fields = { Host: `localhost:${port}`, Connection: 'close', ...headers };
  const head = Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  return parseRaw(await raw(port, `${line} HTTP/1.1\r\n${head}\r\n${body}`));
}

/** The head of a request without a body; `more` are further header lines, each ended by CR LF. */
export const head = (line: string, more = '') => `${line} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;

/** A POST of JSON. */
export function jsonPost(path: string, value: unknown, more = ''): string {
  const body = JSON.stringify(value);
  const type = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  return head(`POST ${path}`, more + type) + body;
}

/**
 * Sends all of it, says that no more will come, and returns what was answered until the server closed.
 * @param cuts where the bytes are taken apart, to be sent one piece after the other
 */
export function exchange(port: number, bytes: string | Uint8Array, cuts: number[] = []): Promise<string> {
  const all = Buffer.from(bytes as string);
  const answer = new Promise<string>((resolve) => {
    let text = '';
    const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true }, () =>
      sendPieces(socket, all, cuts),
    );
    socket.setEncoding('latin1').on('data', (part) => {
      text += part;
    });
    // However it ends, what came until then is the answer.
    socket.on('error', () => {}).on('close', () => resolve(text));
  });
  const what = `an end to ${JSON.stringify(all.toString('latin1')).slice(0, 2000)}`;
  return within(answer, what, 10_000); // long pages, and many at once, take their time
}

/** Each piece a millisecond after the other, so that the kernel sends it by itself. */
async function sendPieces(socket: Socket, all: Buffer, cuts: number[]): Promise<void> {
  // Any number may be given as a cut, such as one at random: it is taken within the length.
  const borders = [0, ...cuts.map((cut) => cut % (all.length + 1)).sort((a, b) => a - b)];
  for (const [index, border] of borders.entries()) {
    if (index > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    socket.write(all.subarray(border, borders[index + 1] ?? all.length));
  }
  socket.end();
}

/** The status codes of all answers in a text. */
export const statusesOf = (text: string) =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

/** A connection that sends this and never reads. */
export function deaf(port: number, bytes: string): Socket {
  const socket = connectTcp(port, '127.0.0.1');
  socket.on('error', () => {});
  // From now on the kernel's buffer fills, then the server's, and then the server has to wait.
  socket.pause();
  socket.write(bytes);
  return socket;
}
