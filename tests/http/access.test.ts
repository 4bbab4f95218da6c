// Who may connect: which Host a request may name, which Origin a browser may come from, and who has to
// bring a token. A page on the open web must neither read nor write through its visitor's browser.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  connect,
  get,
  openEventStream,
  post,
  rawRequest,
  refusedHandshake,
  request,
} from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';

const FRIEND = 'https://shop.example';
const FOE = 'https://evil.example';
const TOKEN = 'correct-horse';
/** What pages of an allowed origin may read of an answer, and may send. */
const READABLE = [
  'ETag',
  'Location',
  'Last-Event-ID',
  'Idempotency-Replayed',
  'Retry-After',
  'Heartbeat-Seconds',
  'Allow',
  'WWW-Authenticate',
];
const SENDABLE = [
  'content-type',
  'if-match',
  'if-none-match',
  'idempotency-key',
  'authorization',
  'last-event-id',
  'cache-control',
  'prefer',
  'traceparent',
  'tracestate',
];
let open: OpenServer;
let locked: OpenServer;
before(async () => {
  [open, locked] = await Promise.all([
    openServer({ ALLOWED_ORIGINS: FRIEND, ALLOWED_HOSTS: 'bell.example,root.example.,[2001:DB8::0:1]' }),
    openServer({ API_TOKEN: TOKEN, ALLOWED_ORIGINS: FRIEND }),
  ]);
});
after(() => Promise.all([open.stop(), locked.stop()]));

test('names in ALLOWED_HOSTS may stand in Host, whatever the port, and others get 421', async () => {
  // The last three as browsers write them: the root's dot may stand or not, an address of IPv6 is in its shortest form.
  const asBrowsersWrite = ['root.example', 'root.example.', '[2001:db8::1]'];
  for (const host of ['bell.example', 'bell.example:443', 'BELL.example', 'localhost', ...asBrowsersWrite]) {
    assert.equal((await rawRequest(open.port, 'GET /api/customers', { Host: host })).status, 200, host);
  }
  for (const host of ['other.example', 'sub.bell.example']) {
    const answer = await rawRequest(open.port, 'GET /api/customers', { Host: host });
    assert.equal(answer.status, 421, host);
    assert.match(answer.head, /application\/problem\+json/);
  }
});

test('a WebSocket handshake with a foreign Host is refused with 421', async () => {
  assert.equal((await refusedHandshake(open.wsUrl, { Host: 'evil.example' })).status, 421);
});

test('without an Origin, from its own, or from an allowed one, a WebSocket opens', async () => {
  const own = open.url;
  for (const origin of [undefined, own, own.replace('http:', 'https:'), FRIEND]) {
    const client = await connect(open.wsUrl, { headers: origin ? { Origin: origin } : {} });
    assert.equal((await client.next()).type, 'stream.ready');
    await client.close();
  }
});

test('a foreign or opaque Origin is refused for WebSocket, server-sent events and writes with 403', async () => {
  for (const Origin of [FOE, 'null', 'http://shop.example', `${FRIEND}.evil.example`, `${FRIEND}:8443`]) {
    const handshake = await refusedHandshake(open.wsUrl, { Origin });
    assert.equal(handshake.status, 403, Origin);
    assert.match(handshake.headers.get('content-type')!, /^application\/problem\+json/);
    assert.equal((await get(`${open.url}/api/events`, { Origin, Accept: 'text/event-stream' })).status, 403);
    assert.equal((await post(`${open.url}/api/customers`, { name: 'x' }, { Origin })).status, 403);
    assert.equal(
      (await request('DELETE', `${open.url}/api/customers/1`, { headers: { Origin } })).status,
      403,
    );
  }
  assert.deepEqual((await get(`${open.url}/api/customers`)).body.customers, []);
});

test('a foreign Origin may read, but gets no CORS header that would let its page see the answer', async () => {
  const answer = await get(`${open.url}/api/customers`, { Origin: FOE });
  assert.deepEqual([answer.status, answer.headers.get('access-control-allow-origin')], [200, null]);
});

test('an allowed Origin gets CORS headers, on refusals as well', async () => {
  const headers = { Origin: FRIEND };
  const answers = [
    await get(`${open.url}/api/customers`, headers),
    await get(`${open.url}/api/customers/999`, headers),
    await post(`${open.url}/api/events`, { message: 'hello' }, headers),
    await post(`${open.url}/api/customers`, {}, headers),
  ];
  assert.deepEqual(
    answers.map((answer) => answer.status),
    [200, 404, 201, 422],
  );
  for (const answer of answers) {
    assert.equal(answer.headers.get('access-control-allow-origin'), FRIEND);
    assert.match(answer.headers.get('vary')!, /\borigin\b/i);
    for (const name of READABLE) {
      assert.match(answer.headers.get('access-control-expose-headers')!, new RegExp(name, 'i'));
    }
  }
});

test('a preflight of an allowed Origin is answered with methods and headers, of a foreign one it is not', async () => {
  const ask = (Origin: string) =>
    request('OPTIONS', `${open.url}/api/customers/1`, {
      headers: {
        Origin,
        'Access-Control-Request-Method': 'PATCH',
        'Access-Control-Request-Headers': 'content-type,if-match',
      },
    });
  const answer = await ask(FRIEND);
  assert.equal(answer.status, 204);
  assert.equal(answer.headers.get('access-control-allow-origin'), FRIEND);
  assert.match(answer.headers.get('access-control-allow-methods')!, /\bPATCH\b/);
  for (const name of SENDABLE) {
    assert.match(answer.headers.get('access-control-allow-headers')!, new RegExp(name, 'i'));
  }
  assert.equal((await ask(FOE)).headers.get('access-control-allow-origin'), null);
});

test('with API_TOKEN the API, the metrics and the WebSocket want it, and 401 says how', async () => {
  for (const path of ['/api/customers', '/api/events', '/api/customers/1', '/api/clients', '/metrics']) {
    const answer = await get(locked.url + path);
    assert.equal(answer.status, 401, path);
    assert.match(answer.headers.get('www-authenticate')!, /^Bearer\b/);
    assert.match(answer.headers.get('content-type')!, /^application\/problem\+json/);
  }
  assert.equal((await post(`${locked.url}/api/customers`, { name: 'x' })).status, 401);
  assert.equal((await refusedHandshake(locked.wsUrl)).status, 401);
});

test('a wrong token is a 401: longer, shorter, another case, another scheme', async () => {
  for (const value of [
    `Bearer ${TOKEN}x`,
    'Bearer correct',
    `Bearer ${TOKEN.toUpperCase()}`,
    `Basic ${TOKEN}`,
    TOKEN,
    'Bearer',
    'Bearer ',
  ]) {
    assert.equal((await get(`${locked.url}/api/customers`, { Authorization: value })).status, 401, value);
    assert.equal((await refusedHandshake(locked.wsUrl, { Authorization: value })).status, 401, value);
  }
});

test('the right token opens everything', async () => {
  const headers = { Authorization: `Bearer ${TOKEN}` };
  assert.equal((await get(`${locked.url}/api/customers`, headers)).status, 200);
  assert.equal((await get(`${locked.url}/metrics`, headers)).status, 200);
  assert.equal((await get(`${locked.url}/api/customers`, { Authorization: `bearer ${TOKEN}` })).status, 200);
  const client = await connect(locked.wsUrl, { headers });
  assert.equal((await client.next()).type, 'stream.ready');
  await client.close();
});

test('access_token in the query counts on streams only', async () => {
  const client = await connect(locked.wsUrl, { query: { access_token: TOKEN } });
  assert.equal((await client.next()).type, 'stream.ready');
  await client.close();
  const stream = await openEventStream(`${locked.url}/api/events?access_token=${TOKEN}`);
  assert.equal((await stream.next()).type, 'stream.ready');
  stream.close();
  assert.equal((await get(`${locked.url}/api/events?access_token=${TOKEN}`)).status, 401);
  assert.equal((await get(`${locked.url}/api/customers?access_token=${TOKEN}`)).status, 401);
  assert.equal((await get(`${locked.url}/metrics?access_token=${TOKEN}`)).status, 401);
  const accept = { Accept: 'text/event-stream' }; // who publishes gets no stream, whatever it would take
  const published = await post(`${locked.url}/api/events?access_token=${TOKEN}`, { message: 'x' }, accept);
  assert.equal(published.status, 401);
  assert.equal((await refusedHandshake(`${locked.wsUrl}?access_token=wrong`)).status, 401);
});

test('preflights, /healthz and the page stay open without a token', async () => {
  const headers = {
    Origin: FRIEND,
    'Access-Control-Request-Method': 'POST',
    'Access-Control-Request-Headers': 'authorization',
  };
  const preflight = await request('OPTIONS', `${locked.url}/api/customers`, { headers });
  assert.deepEqual([preflight.status, preflight.headers.get('access-control-allow-origin')], [204, FRIEND]);
  assert.equal((await get(`${locked.url}/healthz`)).status, 200);
  assert.equal((await get(`${locked.url}/`)).status, 200);
});

test('a preflight also allows what it asks for by name, unless that is no list of names', async () => {
  const ask = async (names: string) => {
    const headers = {
      Origin: FRIEND,
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': names,
    };
    const answer = await request('OPTIONS', `${open.url}/api/events`, { headers });
    assert.equal(answer.status, 204);
    return answer.headers.get('access-control-allow-headers')!;
  };
  assert.match(await ask('ce-id,ce-type,baggage'), /ce-id,ce-type,baggage$/);
  assert.doesNotMatch(await ask('x"y'), /x"y/);
});

test('every answer of the API, refusals and metrics too, says that it is nothing for a shared cache', async () => {
  const token = { Authorization: `Bearer ${TOKEN}` };
  const { headers } = await post(`${locked.url}/api/customers`, { name: 'Ada' }, token);
  const customer = locked.url + headers.get('location');
  const answers = {
    created: headers,
    list: (await get(`${locked.url}/api/customers`, token)).headers,
    customer: (await get(customer, token)).headers,
    events: (await get(`${locked.url}/api/events`, token)).headers,
    metrics: (await get(`${locked.url}/metrics`, token)).headers,
    healthz: (await get(`${locked.url}/healthz`)).headers,
    readyz: (await get(`${locked.url}/readyz`)).headers,
    'no token': (await get(`${locked.url}/api/customers`)).headers,
    'nothing there': (await get(`${locked.url}/api/nope`, token)).headers,
    'no metrics': (await get(`${locked.url}/metrics`)).headers,
    'wrong method': (await request('PUT', `${locked.url}/api/events`, { headers: token })).headers,
    'no stream': (await refusedHandshake(locked.wsUrl)).headers,
  };
  for (const [what, fields] of Object.entries(answers)) {
    const needsNoToken = what === 'healthz' || what === 'readyz';
    assert.equal(fields.get('cache-control'), needsNoToken ? 'no-store' : 'private, no-store', what);
    assert.match(fields.get('vary') ?? '', /\bOrigin\b/, what);
  }
  for (const odd of [{ Host: 'evil.example' }, { Expect: 'a-miracle' }]) {
    const { head } = await rawRequest(locked.port, 'GET /api/customers', odd);
    assert.match(head, /\r\nCache-Control: private, no-store\r\n/i);
    assert.match(head, /\r\nVary: .*Origin/i);
  }
});

test('what a foreign page embeds is refused before any work, and a link that is followed is not', async () => {
  const from = (site: string, mode: string, dest: string) =>
    rawRequest(open.port, 'GET /api/events', {
      'Sec-Fetch-Site': site,
      'Sec-Fetch-Mode': mode,
      'Sec-Fetch-Dest': dest,
    });
  for (const [mode, dest] of [
    ['no-cors', 'image'],
    ['no-cors', 'script'],
    ['no-cors', 'empty'],
    ['navigate', 'iframe'],
    ['navigate', 'object'],
  ] as const)
    assert.equal((await from('cross-site', mode, dest)).status, 403, `${mode} ${dest}`);
  assert.equal((await from('cross-site', 'navigate', 'document')).status, 200);
  assert.equal((await from('same-origin', 'no-cors', 'image')).status, 200);
  assert.equal((await from('none', 'navigate', 'document')).status, 200);
  assert.equal((await from('cross-site', 'cors', 'empty')).status, 200);
  const page = { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors', 'Sec-Fetch-Dest': 'image' };
  assert.equal((await rawRequest(open.port, 'GET /', page)).status, 200, 'the page is no work');
});

test('a request is asked in one order, whatever it is: Host, then Origin, then token', async () => {
  const wrong = { Host: 'evil.example', Origin: FOE };
  const asked = [
    ['POST /api/events', {}],
    ['GET /api/events', { Accept: 'text/event-stream' }],
    ['GET /ws', { Connection: 'Upgrade', Upgrade: 'websocket' }],
  ] as const;
  for (const [line, more] of asked) {
    const statuses = [];
    for (const headers of [wrong, { Origin: FOE }, {}])
      statuses.push((await rawRequest(locked.port, line, { ...more, ...headers })).status);
    assert.deepEqual(statuses, [421, 403, 401], line);
  }
});
