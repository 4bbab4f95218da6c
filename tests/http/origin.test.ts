// Names that only look like ours. An attacker registers `localhost.evil.example` in a minute: a comparison that
// looks at the beginning of a name, or at its end, lets the page in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { get, post, rawRequest, refusedHandshake } from '../support/helpers.ts';
import { openServer } from '../support/open-server.ts';

const server = await openServer({ ALLOWED_ORIGINS: 'https://shop.example', ALLOWED_HOSTS: 'bell.example' });

const LIKE_OURS = [
  `http://localhost.evil.example:${server.port}`,
  `http://localhost:${Math.floor(server.port / 10)}`,
  'http://localhost',
  `http://evil-localhost:${server.port}`,
  `http://127.0.0.1.evil.example:${server.port}`,
  `http://localhost:${server.port}@evil.example`,
  `http://evil.example/localhost:${server.port}`,
];
const LIKE_ALLOWED = [
  'https://shop.example.evil.example',
  'https://evil-shop.example',
  'https://shop.example:444',
];

test('an Origin that only begins, or ends, like ours or an allowed one is a stranger', async () => {
  for (const Origin of [...LIKE_OURS, ...LIKE_ALLOWED]) {
    assert.equal(
      (await refusedHandshake(server.wsUrl, { Origin })).status,
      403,
      `a WebSocket from ${Origin}`,
    );
    const stream = await get(`${server.url}/api/events`, { Origin, Accept: 'text/event-stream' });
    assert.equal(stream.status, 403, `a stream to ${Origin}`);
    const write = await post(`${server.url}/api/events`, { message: 'x' }, { Origin });
    assert.equal(write.status, 403, `a write from ${Origin}`);
  }
});

test('our own origin may come in, also with the scheme of a proxy before us', async () => {
  for (const Origin of [server.url, server.url.replace('http:', 'https:')])
    assert.equal((await post(`${server.url}/api/events`, { message: 'x' }, { Origin })).status, 201, Origin);
});

test('a Host that only begins, or ends, like ours is misdirected', async () => {
  for (const Host of [
    'localhost.evil.example',
    'evil.localhost',
    'evil-localhost',
    '127.0.0.1.evil.example',
    'bell.example.evil.example',
    'evil-bell.example',
  ])
    assert.equal((await rawRequest(server.port, 'GET /healthz', { Host })).status, 421, Host);
});

test('a page of an allowed origin may import the client library from here, and a stranger may not', async () => {
  const files = ['/changebell.js', '/changebell/wire.js', '/openapi.json'];
  for (const path of files) {
    const ours = await get(server.url + path);
    const friend = await get(server.url + path, { Origin: 'https://shop.example' });
    const foreign = await get(server.url + path, { Origin: 'https://evil-shop.example' });
    const allowed = (answer: typeof ours) => answer.headers.get('access-control-allow-origin');
    assert.equal(allowed(friend), 'https://shop.example', `${path} for an allowed origin`);
    assert.deepEqual([allowed(foreign), allowed(ours)], [null, null], `${path} for everyone else`);
    for (const { headers } of [ours, friend, foreign]) {
      assert.match(headers.get('vary') ?? '', /\bOrigin\b/, `a cache keeps ${path} apart for each origin`);
      assert.equal(headers.get('cache-control'), 'no-cache', `${path} is kept, and asked about`);
    }
  }
});
