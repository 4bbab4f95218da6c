// HTTP by hand, as no well-behaved client would send it: what one connection does wrong is answered on that
// connection, with a problem document, and nobody else notices.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { get, parseRaw, raw, rawRequest, type Server, startServer } from '../support/helpers.ts';
import { exchange } from '../support/raw-http.ts';

let server: Server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

const HOST = 'Host: localhost\r\n';
const CLOSE = 'Connection: close\r\n';
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

test('a refused upgrade behind a refused expectation is refused after it', async () => {
  const refused = `GET /ws HTTP/1.1\r\nHost: evil.example\r\n${UPGRADE}\r\n`;
  const expecting = `GET /x HTTP/1.1\r\n${HOST}Expect: a-miracle\r\n\r\n`;
  assert.deepEqual(statuses(await raw(server.port, expecting + refused)), [417, 421]);
});

test('what is sent behind the request for a stream is never answered, and its end is seen', async () => {
  const stream = `GET /api/events HTTP/1.1\r\n${HOST}Accept: text/event-stream\r\n\r\n`;
  const text = await exchange(server.port, `${stream}GET /healthz HTTP/1.1\r\n${HOST}\r\n`);
  assert.deepEqual(statuses(text), [200]);
  assert.match(text, /retry: 2000/);
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

/** All that came back, which must be one problem with this status. */
async function assertProblem(status: number, request: string): Promise<void> {
  const text = await raw(server.port, request);
  const { head, body } = parseRaw(text);
  assert.deepEqual(statuses(text), [status], request);
  assert.match(head, /\r\nContent-Type: application\/problem\+json/i);
  assert.match(head, /\r\nX-Content-Type-Options: nosniff/i);
  assert.equal(JSON.parse(body).status, status);
}

test('a request has one Host header, or is a 400; only HTTP/1.0 knows none', async () => {
  await assertProblem(400, `GET /healthz HTTP/1.1\r\n${CLOSE}\r\n`);
  await assertProblem(400, `GET /healthz HTTP/1.1\r\n${HOST}${HOST}${CLOSE}\r\n`);
  await assertProblem(400, `GET /healthz HTTP/1.1\r\n${HOST}Host: evil.example\r\n${CLOSE}\r\n`);
  await assertProblem(400, `GET /ws HTTP/1.1\r\n${HOST}Host: evil.example\r\n${UPGRADE}\r\n`);
  const absolute = 'GET http://localhost/healthz HTTP/1.1\r\n';
  await assertProblem(400, `${absolute}${HOST}Host: evil.example\r\n${CLOSE}\r\n`);
  await assertProblem(400, `${absolute}${CLOSE}\r\n`);
  await assertProblem(400, `GET http://localhost/ws HTTP/1.1\r\n${UPGRADE}\r\n`);
  assert.deepEqual(statuses(await raw(server.port, 'GET /healthz HTTP/1.0\r\n\r\n')), [200]);
});

test('an absolute URL counts instead of the Host header', async () => {
  const text = await raw(
    server.port,
    `GET http://localhost/healthz HTTP/1.1\r\nHost: x.example\r\n${CLOSE}\r\n`,
  );
  assert.deepEqual(statuses(text), [200]);
  await assertProblem(421, `GET http://evil.example/healthz HTTP/1.1\r\n${HOST}${CLOSE}\r\n`);
  await assertProblem(400, `GET http://localhost@evil.example/healthz HTTP/1.1\r\n${HOST}${CLOSE}\r\n`);
});

test('an expectation that cannot be met is a 417', async () => {
  await assertProblem(417, `GET /healthz HTTP/1.1\r\n${HOST}Expect: a-miracle\r\n${CLOSE}\r\n`);
  const foreign = 'Host: evil.example\r\n'; // first of all a Host must be ours, as of any request
  await assertProblem(421, `GET /healthz HTTP/1.1\r\n${foreign}Expect: a-miracle\r\n${CLOSE}\r\n`);
});

test('nonsense behind a good request does not take its answer away', async () => {
  const text = await raw(server.port, `${createCustomer('Ada')}nonsense\r\n\r\n`);
  assert.deepEqual(statuses(text), [201, 400]);
});

test('nonsense in a body that nobody waited for is no second answer, and cuts the connection', async () => {
  const chunked = `${HOST}Transfer-Encoding: chunked\r\n\r\n`;
  for (const method of ['GET', 'HEAD', 'OPTIONS'])
    for (const rest of ['nonsense\r\n', '3\r\nabc\r\nnonsense\r\n', '0\r\nno trailer\r\n\r\n']) {
      const text = await raw(server.port, `${method} /healthz HTTP/1.1\r\n${chunked}${rest}`);
      assert.deepEqual(statuses(text), [method === 'OPTIONS' ? 204 : 200], text);
    }
});

test('what comes behind nonsense is thrown away: no reset eats the answer', async () => {
  const socket = connectTcp({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.write(
    `POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 300000\r\n\r\n${' '.repeat(300_000)}`,
  );
  let text = '';
  socket.on('data', (part) => {
    text += part;
  });
  await once(socket, 'end'); // rejects at a reset
  const resets: Error[] = [];
  socket.on('error', (error) => resets.push(error));
  for (const more of ['and', 'more', 'of it']) {
    socket.write(more);
    await sleep(20);
  }
  assert.deepEqual(resets, []);
  assert.equal(parseRaw(text).status, 400);
  socket.destroy();
});

test('hundreds of offers of HTTP/2 on one connection leave nothing behind', async () => {
  const offer = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n';
  const text = await exchange(server.port, `GET /healthz HTTP/1.1\r\n${HOST}${offer}\r\n`.repeat(300));
  assert.deepEqual(statuses(text), Array(300).fill(200));
  assert.doesNotMatch(server.output.stderr, /MaxListenersExceeded|leak/);
});

test('an offer of HTTP/2 with a body keeps its body, and what is behind it waits', async () => {
  const offer = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n';
  const text = await exchange(
    server.port,
    `${createCustomer('Eve', offer).repeat(5)}GET / HTTP/1.1\r\n${HOST}\r\n`,
  );
  assert.deepEqual(statuses(text), [201, 201, 201, 201, 201, 200]);
});

test('a client that sends no more still gets the answers that it waits for', async () => {
  const text = await exchange(server.port, createCustomer('Ada') + createCustomer('Bob'));
  assert.deepEqual(statuses(text), [201, 201]);
});

test('frames that come with the handshake are heard', async () => {
  const cut = Buffer.from([0x81, 0x8d, 0, 0, 0, 0, ...Buffer.from('{"lab":"cut"}')]);
  const text = await raw(
    server.port,
    Buffer.concat([Buffer.from(`GET /ws HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`), cut]),
  );
  assert.deepEqual(statuses(text), [101]);
});

test('another version of WebSocket is a 426 that says how to upgrade', async () => {
  const old = UPGRADE.replace('Version: 13', 'Version: 8');
  const { head } = parseRaw(await raw(server.port, `GET /ws HTTP/1.1\r\n${HOST}${old}\r\n`));
  assert.match(head, /^HTTP\/1\.1 426 /);
  assert.match(head, /\r\nUpgrade: websocket/i);
  assert.match(head, /\r\nConnection: .*upgrade/i);
});

test('OPTIONS * asks about the server as a whole', async () => {
  const { status, head } = await rawRequest(server.port, 'OPTIONS *');
  assert.equal(status, 204);
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
    assert.match(head, new RegExp(`\r\nAllow: .*\\b${method}\\b`, 'i'));
});

/** The status of each answer to these bytes, up to the end of the connection. */
const statusesTo = async (text: string) => statuses(await exchange(server.port, text)) ?? [];

test('a Host that is no name is a 400; a name counts in any case, with any port, and with the dot of the root', async () => {
  const asking = (host: string) => statusesTo(`GET /healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  for (const host of ['LOCALHOST:99', 'localhost.', 'localhost.:5000', 'localhost:', '[::1]:80', '127.0.0.1'])
    assert.deepEqual(await asking(host), [200], host);
  for (const host of ['localhost:abc', 'evil@localhost', 'localhost, evil', '::1', 'localhost/x', '[::1'])
    assert.deepEqual(await asking(host), [400], host);
  for (const host of ['', 'localhost..', 'localhost,evil', '127.1', '[::2]', 'localhost.evil'])
    assert.deepEqual(await asking(host), [421], host);
  assert.deepEqual(await statusesTo('GET http://a:b@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n'), [400]);
});

test('where a body ends is never guessed: other transfer codings are 501, in HTTP/1.0 all are 400, and nothing follows', async () => {
  const post = (coding: string, version = '1.1') =>
    `POST /api/events HTTP/${version}\r\n${HOST}Connection: keep-alive\r\nContent-Type: application/json\r\n` +
    `Transfer-Encoding: ${coding}\r\n\r\nf\r\n{"message":"a"}\r\n0\r\n\r\n`;
  const next = `GET /healthz HTTP/1.1\r\n${HOST}\r\n`;
  assert.deepEqual(await statusesTo(post('gzip, chunked') + next), [501]);
  assert.deepEqual(await statusesTo(post('chunked', '1.0') + next), [400]);
  assert.deepEqual(await statusesTo(post('Chunked') + next), [201, 200]);
});

test('in HTTP/1.0 neither an upgrade nor an expectation counts for anything', async () => {
  const upgrade = (path: string, offer: string) => statusesTo(`GET ${path} HTTP/1.0\r\n${HOST}${offer}\r\n`);
  assert.deepEqual(await upgrade('/ws', UPGRADE), [400]);
  const h2c = await raw(
    server.port,
    `GET /healthz HTTP/1.0\r\n${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n`,
  );
  assert.match(h2c, /^HTTP\/1\.1 200 [\s\S]*Connection: close/, 'the connection ends by itself');
  const body = '{"message":"a"}';
  const expecting = `Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
  assert.deepEqual(await statusesTo(`POST /api/events HTTP/1.0\r\n${HOST}${expecting}\r\n${body}`), [201]);
});

test('an offer of WebSocket may stand among others, and a handshake has no body', async () => {
  const offers = UPGRADE.replace('websocket', 'h2c, WebSocket');
  assert.deepEqual(await statusesTo(`GET /ws HTTP/1.1\r\n${HOST}${offers}\r\n`), [101]);
  for (const body of ['Content-Length: 5\r\n\r\nhello', 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n'])
    assert.deepEqual(await statusesTo(`GET /ws HTTP/1.1\r\n${HOST}${UPGRADE}${body}`), [400], body);
});

test('an offer that is ignored takes nothing else of Connection with it', async () => {
  const offer = 'Connection: Upgrade, close\r\nUpgrade: h2c\r\n';
  const text = await raw(server.port, `GET /healthz HTTP/1.1\r\n${HOST}${offer}\r\n`);
  assert.match(text, /^HTTP\/1\.1 200 [\s\S]*Connection: close/);
});

test('of thousands of headers none is left out', async () => {
  const many = 'a:b\r\n'.repeat(2500);
  const asking = (more: string) => statusesTo(`POST /api/events HTTP/1.1\r\n${many}${more}\r\n`);
  assert.deepEqual(await asking(`${HOST}Origin: https://evil.example\r\n`), [403]);
  assert.deepEqual(await asking(`${HOST}Host: evil.example\r\n`), [400]);
});
