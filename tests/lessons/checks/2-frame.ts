// Lesson 2: a message on a WebSocket is a header of 2, 4 or 10 bytes, and then the message (RFC 6455 §5.2). Seen
// from a bare connection, since an ordinary client hides the header.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Program } from '../program.ts';
import type { Checks } from './check.ts';

const SIZES = [125, 126, 200, 65_535, 65_536];

/** Publishes an event that is exactly so many bytes on the wire. @returns its JSON */
async function publishBytes(program: Program, bytes: number): Promise<string> {
  const event = { type: 'a', source: 'a', data: '' };
  const { text } = await program.publish(event);
  const missing = bytes - Buffer.byteLength(text);
  const padded = await program.publish({ ...event, data: 'x'.repeat(Math.max(0, missing)) });
  const grown = Buffer.byteLength(padded.text) - bytes; // its id may have a digit more
  return grown <= 0
    ? padded.text
    : (await program.publish({ ...event, data: 'x'.repeat(missing - grown) })).text;
}

type Bare = { bytes: () => Buffer; close: () => void };

/** What the server sends over a bare connection, from the handshake on. `cursor` is the id from which it goes on. */
async function openBare(program: Program, cursor = ''): Promise<Bare> {
  const socket = connect(Number(program.host.split(':')[1]), '127.0.0.1');
  await once(socket, 'connect');
  const parts: Buffer[] = [];
  socket.on('data', (part) => parts.push(part)).on('error', () => {});
  socket.write(
    `GET /ws${cursor && `?lastEventId=${cursor}`} HTTP/1.1\r\nHost: ${program.host}\r\nUpgrade: websocket\r\n` +
      'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  const bytes = () => Buffer.concat(parts);
  await until(program, () => bytes().includes('stream.ready'));
  return { bytes, close: () => socket.destroy() };
}

async function until(program: Program, isTrue: () => boolean): Promise<void> {
  for (const end = performance.now() + program.patienceMs; !isTrue() && performance.now() < end; )
    await delay(2);
}

/** The length that stands in a header of so many bytes. */
function lengthIn(header: Buffer): number {
  if (header.length === 2) return header[1]!;
  return header.length === 4 ? header.readUInt16BE(2) : Number(header.readBigUInt64BE(2));
}

/** The header that stands before this message on the wire; both ways to a client are tried, live and replayed. */
async function headerOf(
  program: Program,
  json: string,
  bare: Bare[],
  headerBytes: number,
): Promise<Buffer | undefined> {
  const holder = () => bare.map(({ bytes }) => bytes()).find((bytes) => bytes.includes(json));
  await until(program, () => holder() !== undefined);
  const bytes = holder();
  const start = bytes?.indexOf(json) ?? 0;
  return bytes?.subarray(start - headerBytes, start);
}

async function checkSize(program: Program, size: number): Promise<void> {
  const { event } = await program.publish({ message: 'before' });
  const live = await openBare(program);
  const json = await publishBytes(program, size);
  const replayed = await openBare(program, event.id);
  const headerBytes = size < 126 ? 2 : size < 65_536 ? 4 : 10;
  const header = await headerOf(program, json, [live, replayed], headerBytes);
  live.close();
  replayed.close();
  assert.ok(header, `A message of ${size} bytes was published, and its text never came whole.`);
  assert.equal(
    header[0],
    0x81,
    `A message of ${size} bytes has a header of ${headerBytes}, which begins with 0x81 (RFC 6455 §5.2). Here stands 0x${header[0]!.toString(16)}.`,
  );
  const code = header[1]!;
  const right = size < 126 ? size : size < 65_536 ? 126 : 127;
  const told = code === right ? lengthIn(header) : code;
  assert.equal(told, size, `The message has ${size} bytes, and its header says ${told}.`);
}

export const frame: Checks = {
  checks: [
    ...SIZES.map((size) => ({
      promise: `a message of ${size.toLocaleString('en')} bytes says how long it is`,
      run: (program: Program) => checkSize(program, size),
    })),
    {
      promise: 'an ordinary client understands it',
      async run(program) {
        const page = await program.open();
        assert.equal(page.fault, '', `An ordinary client gave up: ${page.fault}.`);
        assert.equal(
          page.first?.type,
          'stream.ready',
          'An ordinary client connected, and did not understand the first message.',
        );
      },
    },
  ],
};
