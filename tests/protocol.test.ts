// HTTP by hand, as no well-behaved client would send it: what one connection does wrong is answered on that
// connection, with a problem document, and nobody else notices.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { get, raw, type Server, startServer } from './helpers.ts';

let server: Server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

const HOST = 'Host: localhost\r\n';
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const statuses = (text: string) => text.match(/HTTP\/1\.1 \d{3}/g)?.map((line) => Number(line.slice(9)));

/** A POST that takes the server a turn or two: what stands behind it on the same connection must wait. */
function createCustomer(name: string, more = ''): string {
  const body = JSON.stringify({ name });
  return (
    `POST /api/customers HTTP/1.1\r\n${HOST}${more}Content-Type: application/json\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  );
}

test('a refused upgrade that is pipelined behind a request waits for its answer', async () => {
  const refused = `GET /ws HTTP/1.1\r\nHost: evil.example\r\n${UPGRADE}\r\n`;
  assert.deepEqual(statuses(await raw(server.port, createCustomer('Ada') + refused)), [201, 421]);
  assert.equal((await get(`${server.url}/healthz`)).status, 200);
});

test('a stream that is opened behind a request begins after its answer', async () => {
  const cut = Buffer.from([0x81, 0x8d, 0, 0, 0, 0, ...Buffer.from('{"lab":"cut"}')]);
  const handshake = `GET /ws HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`;
  const text = await raw(server.port, Buffer.concat([Buffer.from(createCustomer('Ada') + handshake), cut]));
  assert.deepEqual(statuses(text), [201, 101]);
});

test('an offer of HTTP/2, as curl and Java make it, is ignored, and the request is answered', async () => {
  const offer = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n';
  const last = `GET /ws HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`;
  const posts = createCustomer('Ada') + createCustomer('Ünï', offer) + createCustomer('Bob');
  const text = await raw(server.port, posts + last);
  assert.deepEqual(statuses(text), [201, 201, 201, 400]);
  assert.match(text, /Ada[\s\S]*Bob/);
  assert.match(Buffer.from(text, 'latin1').toString(), /Ünï/);
});

test('CONNECT is refused with a problem', async () => {
  const text = await raw(server.port, `CONNECT localhost:80 HTTP/1.1\r\n${HOST}\r\n`);
  assert.deepEqual(statuses(text), [404]);
  assert.match(text, /application\/problem\+json/);
});
