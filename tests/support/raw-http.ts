// HTTP by hand over bare TCP: what a well-behaved client could not send, and answers as they came, byte for byte.
import { connect as connectTcp } from 'node:net';
import { within } from './patience.ts';

/** Sends these bytes; resolves with all that came back until the server closed. `takes`: what it takes by its nature. */
export function raw(port: number, request: string | Buffer, takes = 0): Promise<string> {
  let text = '';
  const answer = new Promise<string>((resolve, reject) => {
    const socket = connectTcp(port, '127.0.0.1', () => socket.write(request));
    socket.setEncoding('latin1').on('data', (part) => {
      text += part;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED' && reject(error));
    socket.on('close', () => resolve(text));
  });
  const instead = () => (text === '' ? 'not a byte came' : `so far came: ${text.slice(0, 300)}`);
  return within(answer, 'the server to answer and close the connection', { takes, instead });
}

/** Status and body of a raw response. */
export function parseRaw(text: string): { status: number; head: string; body: string } {
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
  const fields = { Host: `localhost:${port}`, Connection: 'close', ...headers };
  const head = Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  return parseRaw(await raw(port, `${line} HTTP/1.1\r\n${head}\r\n${body}`));
}
