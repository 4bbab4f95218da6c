// What every HTTP server must get right before its own business begins: methods, bodies, limits, paths.
// Much of it is sent by hand over TCP, since a well-behaved client could not send it at all.
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { after, before, test } from 'node:test';
import {
  type Answer,
  eventually,
  get,
  parseRaw,
  post,
  put,
  raw,
  rawRequest,
  request,
} from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';

let server: OpenServer;
before(async () => {
  server = await openServer();
});
after(() => server.stop());

const at = (path: string) => server.url + path;

function assertProblem(answer: Answer, status: number, hint = ''): void {
  assert.equal(answer.status, status, `${hint} ${answer.text}`);
  assert.match(answer.headers.get('content-type')!, /^application\/problem\+json/);
  for (const member of ['type', 'title', 'detail'])
    assert.equal(typeof answer.body[member], 'string', member);
  assert.equal(answer.body.status, status);
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  assert.doesNotMatch(answer.text, /node_modules|\/lib\/|\.ts:|SQLITE/, 'no internals');
}

test('an unknown path, and a known one with a slash at its end, is a 404', async () => {
  for (const path of [
    '/nope',
    '/api',
    '/api/',
    '/api/nope',
    '/api/customers/',
    '/api/events/',
    '/api/events/1',
    '/ws/',
    '/healthz/',
    '/API/customers',
  ]) {
    assertProblem(await get(at(path)), 404, path);
  }
});

test('a known path with another method is a 405 that says what is allowed', async () => {
  const { body } = await post(at('/api/customers'), { name: 'Ada' });
  const cases: [string, string, string[]][] = [
    ['DELETE', '/api/customers', ['GET', 'HEAD', 'POST']],
    ['POST', `/api/customers/${body.id}`, ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE']],
    ['PUT', '/api/events', ['GET', 'HEAD', 'POST']],
    ['POST', '/ws', ['GET']],
    ['POST', '/healthz', ['GET', 'HEAD']],
    ['DELETE', '/metrics', ['GET', 'HEAD']],
    ['POST', '/', ['GET', 'HEAD']],
  ];
  for (const [method, path, allowed] of cases) {
    const answer = await request(method, at(path));
    assertProblem(answer, 405, `${method} ${path}`);
    const allow = answer.headers.get('allow')!.split(/, */);
    for (const name of allowed) assert.ok(allow.includes(name), `${path}: ${name} in ${allow}`);
    assert.ok(!allow.includes(method));
  }
});

test('OPTIONS is a 204 with Allow, and on an unknown path a 404', async () => {
  for (const path of ['/api/customers', '/api/customers/1', '/api/events', '/healthz', '/']) {
    const answer = await request('OPTIONS', at(path));
    assert.deepEqual([answer.status, answer.text], [204, ''], path);
    assert.match(answer.headers.get('allow')!, /\bGET\b/);
  }
  assertProblem(await request('OPTIONS', at('/nope')), 404);
});

test('HEAD answers as GET does, without the body', async () => {
  for (const path of ['/api/customers', '/api/events', '/healthz', '/metrics', '/']) {
    const answer = await request('HEAD', at(path));
    assert.deepEqual([answer.status, answer.text], [200, ''], path);
    assert.equal(answer.headers.get('content-type'), (await get(at(path))).headers.get('content-type'));
  }
  assert.equal((await request('HEAD', at('/nope'))).status, 404);
});

test('each file of public/ has a type that says what it is', async () => {
  const folder = new URL('../../public/', import.meta.url);
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (statSync(new URL(file, folder)).isDirectory()) continue;
    const { headers } = await get(at(`/${file.replaceAll('\\', '/')}`));
    assert.doesNotMatch(headers.get('content-type')!, /octet-stream/, file);
  }
});

test('a body that is not JSON, or not UTF-8, is a 400', async () => {
  for (const body of ['', '{', 'nope', '{"name":"Ada"}}', "{'name':'Ada'}", '\u0000']) {
    assertProblem(await post(at('/api/customers'), body), 400, JSON.stringify(body));
  }
  const headers = { 'Content-Type': 'application/json' };
  const body = Buffer.concat([Buffer.from('{"name":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);
  assertProblem(await request('POST', at('/api/customers'), { headers, body }), 400);
});

test('a Content-Type that is not JSON, or none, is a 415', async () => {
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
    'application/jsonx',
  ]) {
    assertProblem(await post(at('/api/customers'), { name: 'Ada' }, { 'Content-Type': type }), 415, type);
  }
  const body = '{"name":"Ada"}';
  const none = await rawRequest(
    server.port,
    'POST /api/customers',
    { 'Content-Length': String(body.length) },
    body,
  );
  assert.equal(none.status, 415);
  for (const type of [
    'application/json; charset=utf-8',
    'application/json;charset=UTF8',
    'Application/JSON',
  ]) {
    assert.equal(
      (await post(at('/api/customers'), { name: 'Ada' }, { 'Content-Type': type })).status,
      201,
      type,
    );
  }
});

test('a body of 64 KiB is read, of 1 MiB where events are published, and one byte more is a 413', async () => {
  const event = (size: number) => `{"data":"${'x'.repeat(size - 11)}"}`;
  assert.equal((await post(at('/api/events'), event(1_048_576))).status, 201);
  assertProblem(await post(at('/api/events'), event(1_048_577)), 413);
  const customer = (size: number) => `{"name":"Ada"${' '.repeat(size - 14)}}`;
  assert.equal((await post(at('/api/customers'), customer(65_536))).status, 201);
  assertProblem(await post(at('/api/customers'), customer(65_537)), 413);
});

test('a body that is announced as too large is refused before it is sent', async () => {
  const headers = { 'Content-Type': 'application/json', 'Content-Length': '1000000000' };
  assert.equal((await rawRequest(server.port, 'POST /api/events', headers)).status, 413);
});

test('a chunked body that grows too large is refused without reading the rest', async () => {
  const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
  const headers = { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' };
  assert.equal((await rawRequest(server.port, 'POST /api/customers', headers, chunk.repeat(5))).status, 413);
});

test('Expect: 100-continue is answered before the body is sent', async () => {
  const headers = { 'Content-Type': 'application/json', Expect: '100-continue', 'Content-Length': '14' };
  const answer = await rawRequest(server.port, 'POST /api/customers', headers, '{"name":"Ada"}');
  assert.match(`${answer.head}\n${answer.body}`, /HTTP\/1\.1 201/);
});

test('headers over 16 KiB are a 431', async () => {
  assert.equal(
    (await rawRequest(server.port, 'GET /healthz', { 'X-Large': 'x'.repeat(17_000) })).status,
    431,
  );
});

test('what is not HTTP at all is a 400, and the server goes on', async () => {
  for (const text of [
    'nonsense\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
    `GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n`,
    '\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n',
  ]) {
    const { status, head } = parseRaw(await raw(server.port, text));
    assert.equal(status, 400, JSON.stringify(text));
    assert.match(head, /^Date: .+ GMT$/m, 'RFC 9110 §6.6.1');
  }
  assert.equal((await get(at('/healthz'))).status, 200);
});

test('a byte order mark before the body is skipped', async () => {
  assert.equal((await post(at('/api/customers'), '\ufeff{"name":"Ada"}')).status, 201);
  assertProblem(await post(at('/api/customers'), '\ufeff\ufeff{"name":"Ada"}'), 400);
  // Skipped, but not unseen: to a key it is another body.
  const key = { 'Idempotency-Key': 'with-a-mark' };
  assert.equal((await post(at('/api/customers'), '{"name":"Ada"}', key)).status, 201);
  assertProblem(await post(at('/api/customers'), '\ufeff{"name":"Ada"}', key), 422);
});

test('an encoded body is a 415 that says so, unless its encoding is none', async () => {
  for (const encoding of ['gzip', 'br', 'identity, gzip', 'x']) {
    const answer = await post(at('/api/customers'), { name: 'Ada' }, { 'Content-Encoding': encoding });
    assertProblem(answer, 415, encoding);
    assert.equal(answer.headers.get('accept-encoding'), 'identity');
  }
  const plain = await post(at('/api/customers'), { name: 'Ada' }, { 'Content-Encoding': 'Identity' });
  assert.equal(plain.status, 201);
});

test('what a PATCH may be is told where it was something else, and by OPTIONS', async () => {
  const { headers } = await post(at('/api/customers'), { name: 'Ada' });
  const path = headers.get('location')!;
  const wrong = { 'Content-Type': 'application/json-patch+json' };
  const refused = await request('PATCH', at(path), { headers: wrong, body: '[]' });
  assertProblem(refused, 415);
  for (const answer of [refused, await request('OPTIONS', at(path))])
    assert.match(answer.headers.get('accept-patch')!, /application\/merge-patch\+json/);
  assert.equal((await request('OPTIONS', at('/api/events'))).headers.get('accept-patch'), null);
});

test('an empty If-None-Match is a list of none', async () => {
  const { headers } = await post(at('/api/customers'), { name: 'Ada' });
  for (const list of ['', ',', ' , ,'])
    assert.equal(
      (await rawRequest(server.port, `GET ${headers.get('location')}`, { 'If-None-Match': list })).status,
      200,
    );
});

test('a malformed path escape is a 400', async () => {
  for (const path of ['/%zz', '/api/customers/%', '/api/customers/%ff'])
    assertProblem(await get(at(path)), 400, path);
});

test('a Host that is not this machine is a 421', async () => {
  for (const host of [
    'evil.example',
    `evil.example:${server.port}`,
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '10.0.0.1',
  ]) {
    assert.equal((await rawRequest(server.port, 'GET /api/customers', { Host: host })).status, 421, host);
  }
  for (const host of ['localhost', `LOCALHOST:${server.port}`, '127.0.0.1', `[::1]:${server.port}`]) {
    assert.equal((await rawRequest(server.port, 'GET /api/customers', { Host: host })).status, 200, host);
  }
});

test('no path leaves public/, and no dot file is served', async () => {
  const paths = [
    '/../package.json',
    '/..%2fpackage.json',
    '/%2e%2e/package.json',
    '/%2e%2e%2fpackage.json',
    '/..\\package.json',
    '/..%5cpackage.json',
    '/x/../../package.json',
    '//etc/passwd',
    '/%2fetc/passwd',
    '/etc/passwd',
    '/.gitignore',
    '/.git/config',
    '/%2egitignore',
    '/index.html%00.js',
    '/package.json',
    '/public/index.html',
    '/lib/config.ts',
    '/....//package.json',
  ];
  for (const path of paths) {
    const answer = await rawRequest(server.port, `GET ${path}`);
    assert.ok([400, 404].includes(answer.status), `${path}: ${answer.status}`);
    assert.doesNotMatch(answer.body, /devDependencies|root:x|readConfig/);
  }
});

test('the page is HTML with a strict policy, and is not sent again while it is the same', async () => {
  const page = await get(at('/'));
  assert.equal(page.status, 200);
  assert.match(page.headers.get('content-type')!, /^text\/html; *charset=utf-8$/i);
  const policy = page.headers.get('content-security-policy')!;
  assert.match(policy, /default-src/);
  assert.doesNotMatch(policy, /unsafe-inline.*script|script-src[^;]*unsafe|https?:\/\/\*|\*/);
  assert.doesNotMatch(page.text, /<script(?![^>]*\bsrc=)[^>]*>|\son\w+=/i, 'no inline script');
  const etag = page.headers.get('etag')!;
  const again = await get(at('/'), { 'If-None-Match': etag });
  assert.deepEqual([again.status, again.text, again.headers.get('etag')], [304, '', etag]);
});

test('the files of the page have their types', async () => {
  for (const [path, type] of [
    ['/changebell.js', /javascript/],
    ['/style.css', /^text\/css/],
    ['/index.html', /^text\/html/],
  ] as const) {
    const answer = await get(at(path));
    assert.equal(answer.status, 200, path);
    assert.match(answer.headers.get('content-type')!, type);
    assert.ok(answer.headers.get('etag'));
  }
});

test('/healthz tells the clients and the newest event', async () => {
  const { body: event } = await post(at('/api/events'), { message: 'x' });
  // The answer to a POST leaves before the event is handed out, so this may take a turn.
  const isNewest = (answer: Answer) => answer.body.lastEventId === event.id;
  const answer = await eventually(() => get(at('/healthz')), isNewest, 'the newest event');
  assert.deepEqual([answer.status, answer.body.status, answer.body.clients], [200, 'ok', 0]);
});

test('/metrics is Prometheus text about clients, events, deliveries, commits, delay and memory', async () => {
  const answer = await get(at('/metrics'));
  assert.match(answer.headers.get('content-type')!, /^text\/plain; *version=0\.0\.4/);
  for (const subject of [/clients/, /lagging/, /events/, /deliver/, /commits/, /delay|lag/, /memory|bytes/])
    assert.match(answer.text, subject);
  for (const line of answer.text.trimEnd().split('\n')) {
    assert.match(
      line,
      /^(# (HELP|TYPE) [a-z_:][\w:]* .+|[a-z_:][\w:]*(\{[^}]*\})? -?[\d.e+-]+|[a-z_:][\w:]*(\{[^}]*\})? (NaN|\+Inf))$/i,
    );
  }
  assert.ok(answer.text.endsWith('\n'));
});

test('every answer says nosniff', async () => {
  for (const path of [
    '/',
    '/healthz',
    '/metrics',
    '/api/customers',
    '/api/events',
    '/nope',
    '/changebell.js',
  ]) {
    assert.equal((await get(at(path))).headers.get('x-content-type-options'), 'nosniff', path);
  }
});

test('many requests on one connection are answered in order', async () => {
  const line = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;
  const text = await raw(
    server.port,
    line('/healthz') + line('/nope') + line('/api/customers', 'Connection: close\r\n'),
  );
  assert.deepEqual(text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 404', 'HTTP/1.1 200']);
});

test('a PUT without a body is a 400, and one that breaks off leaves the server well', async () => {
  const { body } = await post(at('/api/customers'), { name: 'Ada' });
  assertProblem(await put(at(`/api/customers/${body.id}`), ''), 400);
  assert.equal((await get(at('/healthz'))).status, 200);
});
