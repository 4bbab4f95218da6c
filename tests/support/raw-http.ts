// HTTP by hand, for what a well-behaved client would not do: run ahead of its answers, not read them, leave halfway.
import { connect as connectTcp, type Socket } from 'node:net';
import { within } from './helpers.ts';

/** The head of a request without a body; `more` are further header lines, each ended by CR LF. */
export const head = (line: string, more = '') => `${line} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;

/** A POST of JSON. */
export function jsonPost(path: string, value: unknown, more = ''): string {
  const body = JSON.stringify(value);
  const type = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  return head(`POST ${path}`, more + type) + body;
}

/** Sends all of it, says that no more will come, and returns what was answered until the server closed. */
export function exchange(port: number, bytes: string | Uint8Array): Promise<string> {
  const answer = new Promise<string>((resolve) => {
    let text = '';
    const socket = connectTcp(port, '127.0.0.1', () => socket.end(bytes));
    socket.setEncoding('latin1').on('data', (part) => {
      text += part;
    });
    socket.on('error', () => {}).on('close', () => resolve(text));
  });
  return within(
    answer,
    `an end to ${JSON.stringify(Buffer.from(bytes as string).toString('latin1')).slice(0, 2000)}`,
  );
}

/** The status codes of all answers in a text. */
export const statusesOf = (text: string) =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

/** A connection that sends this and never reads. */
export function deaf(port: number, bytes: string): Socket {
  const socket = connectTcp(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.pause();
  socket.write(bytes);
  return socket;
}
