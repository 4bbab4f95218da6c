// The descriptions of the server for programs: by the rules of their standards, complete, and of this very server.
// That they are true is held by every other test: see `tests/support/described.ts`.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createDescriptionsApi, describe } from '../../lib/api/descriptions-api.ts';
import { readConfig } from '../../lib/config.ts';
import type { Call } from '../../lib/http/request.ts';
import { RESOURCES } from '../../lib/resources.ts';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { answerFault, frameFault } from '../support/described.ts';
import { get, parseBody, post, ROOT, range, request, temporaryFolder } from '../support/helpers.ts';
import { openServer } from '../support/open-server.ts';
import { raw, rawRequest } from '../support/raw-http.ts';

// One server where all is on that can be, and one where all is off that can be, and a token is wanted.
const server = await openServer();
const closed = { LAB: '0', CUSTOMERS: '0', API_TOKEN: 'a-token', JWT_SECRET: 's'.repeat(32) };
const narrow = await openServer(closed);

async function lintOpenApi(source: string): Promise<string[]> {
  const { createConfig, lintFromString } = await import('@redocly/openapi-core');
  const rules = { 'info-license': 'off', 'no-server-example.com': 'off' } as const; // it is at localhost
  const config = await createConfig({ extends: ['recommended-strict'], rules });
  const problems = await lintFromString({ source, absoluteRef: 'openapi.json', config });
  // A WebSocket has no 2xx: its handshake ends with 101.
  const isWebSocket = (pointer = '') => pointer.startsWith('#/paths/~1ws/');
  return problems
    .filter(
      (found) => !(found.ruleId === 'operation-2xx-response' && isWebSocket(found.location[0]?.pointer)),
    )
    .map(({ ruleId, message, location }) => `${ruleId} ${location[0]?.pointer} ${message}`);
}

async function lintAsyncApi(source: string): Promise<string[]> {
  const { Parser } = await import('@asyncapi/parser');
  const { diagnostics } = await new Parser().parse(source);
  const isNewer = 'asyncapi-latest-version'; // 3.1 is there, and 3.0 is what tools read
  return diagnostics
    .filter(({ code }) => code !== isNewer)
    .map(({ code, message, path }) => `${code} ${path.join('/')} ${message}`);
}

type Lint = (source: string) => Promise<string[]>;

/**
 * What a linter finds. To load it and to look takes a second, so what it found in a text is noted, and the text not looked
 * at again by the same linter, with the rules of this file.
 */
async function faultsOf(text: string, host: string, lint: Lint): Promise<string[]> {
  const source = text.replaceAll(host, 'localhost:5000');
  const rules = [join(ROOT, 'package-lock.json'), fileURLToPath(import.meta.url)].map((file) =>
    readFileSync(file, 'utf8'),
  );
  const name = createHash('sha1')
    .update([lint.name, source, ...rules].join('\n'))
    .digest('hex');
  const folder = join(ROOT, 'node_modules/.cache/linted');
  const kept = join(folder, `${name}.json`);
  if (existsSync(kept)) return JSON.parse(readFileSync(kept, 'utf8'));
  const faults = await lint(source);
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${kept}.${process.pid}`, JSON.stringify(faults));
  renameSync(`${kept}.${process.pid}`, kept); // whole, or not at all: others may want it meanwhile
  return faults;
}

const faultsIn = async (url: string, lint: Lint) => faultsOf((await get(url)).text, new URL(url).host, lint);

test('/openapi.json has no fault that the linter of Redocly finds, whatever is on or off', async () => {
  for (const { url } of [server, narrow])
    assert.deepEqual(await faultsIn(`${url}/openapi.json`, lintOpenApi), []);
});

test('/asyncapi.json has no fault that the parser of AsyncAPI finds, whatever is on or off', async () => {
  for (const { url } of [server, narrow])
    assert.deepEqual(await faultsIn(`${url}/asyncapi.json`, lintAsyncApi), []);
});

test('the linters see a fault', async () => {
  const { body: openapi } = await get(`${server.url}/openapi.json`);
  delete openapi.paths['/healthz'].get.responses['200'].description;
  const { host } = new URL(server.url);
  assert.match((await faultsOf(JSON.stringify(openapi), host, lintOpenApi)).join(), /description/);
  const { body: asyncapi } = await get(`${server.url}/asyncapi.json`);
  asyncapi.channels.websocket.messages.Event.$ref = '#/components/messages/Nothing';
  assert.match((await faultsOf(JSON.stringify(asyncapi), host, lintAsyncApi)).join(), /Nothing/);
});

test('every route of the program is described, with every method that it takes', async () => {
  const { body } = await get(`${server.url}/openapi.json`);
  const source = readFileSync(join(ROOT, 'lib/api/routes.ts'), 'utf8');
  const routes = [...source.matchAll(/path: \/\^(.+?)\$\/,/g)].map(([, route]) =>
    route!.replaceAll('\\', ''),
  );
  routes.push('/api/customers', '/api/customers/(id)'); // made of the table's name
  assert.ok(routes.length >= 10, `only ${routes.length} routes were found in lib/api/routes.ts`);
  for (const route of routes) {
    const path = route.startsWith('/api/watch') ? undefined : route.replace(/\(.*\)/, '{id}');
    if (path === undefined) continue; // this server watches nothing
    assert.ok(body.paths[path], `${path} is not described`);
    const { headers } = await request('OPTIONS', `${server.url}${path.replace('{id}', '1')}`);
    const methods = Object.keys(body.paths[path]).filter((key) => key !== 'parameters');
    assert.deepEqual(
      methods.map((method) => method.toUpperCase()).sort(),
      headers.get('allow')?.split(', ').sort(),
      path,
    );
  }
});

test('it is this very server that is described: its URL, its tables, and nothing that is off', async () => {
  const { body } = await get(`${server.url}/openapi.json`);
  assert.equal(body.servers[0].url, server.url);
  assert.ok(body.paths['/api/customers/{id}'] && body.paths['/api/clients']);
  assert.deepEqual(body.security, [], 'nobody is asked for a token');
  assert.deepEqual(body.components.securitySchemes, {});
  const { body: other } = await get(`${narrow.url}/openapi.json`);
  const off = Object.keys(other.paths).filter((path) => /customers|clients|watch/.test(path));
  assert.deepEqual(off, []);
  assert.equal(other.components.schemas.Customer, undefined);
  assert.deepEqual(other.security, [{ apiToken: [] }, { jwt: [] }]);
  assert.ok(other.paths['/api/events'].get.security.some((one: object) => 'accessToken' in one));
  const { body: streams } = await get(`${narrow.url}/asyncapi.json`);
  assert.equal(streams.components.messages.Cut, undefined, 'the lab is off');
  assert.equal(streams.servers.webSocketServer.host, new URL(narrow.url).host);
});

test('watched tables are named where they may stand in a path', async () => {
  const file = join(temporaryFolder(), 'watched.db');
  const db = openDatabase(file);
  db.exec(
    'CREATE TABLE orders (shop, id, PRIMARY KEY (shop, id)); CREATE TABLE "odd name" (shop, id, PRIMARY KEY (shop, id))',
  );
  db.close();
  const watching = await openServer({ DATABASE_URL: file, WATCH: 'orders,odd name' });
  const { body, text } = await get(`${watching.url}/openapi.json`);
  assert.deepEqual(body.components.schemas.WatchedTable.enum, ['orders', 'odd name']);
  assert.ok(body.paths['/api/watch/{table}'] && body.paths['/api/watch/{table}/{key}']);
  assert.deepEqual(await lintOpenApi(text), []);
});

test('both are open like the page, answer HEAD, and 304 to whoever has them', async () => {
  for (const name of ['openapi.json', 'asyncapi.json']) {
    const { status, headers } = await get(`${narrow.url}/${name}`);
    assert.equal(status, 200);
    const etag = headers.get('etag')!;
    assert.equal((await get(`${narrow.url}/${name}`, { 'If-None-Match': etag })).status, 304);
    const head = await request('HEAD', `${narrow.url}/${name}`);
    assert.deepEqual([head.status, head.text, head.headers.get('etag')], [200, '', etag]);
    assert.equal((await post(`${narrow.url}/${name}`, {})).status, 405);
  }
});

/** What is refused on any path before anyone looks what it is. */
const REFUSALS: [status: number, headers: Record<string, string>][] = [
  [400, { Host: 'two, names' }],
  [421, { Host: 'evil.example' }],
  [417, { Expect: 'a-miracle' }],
  [431, { 'X-Long': 'x'.repeat(17_000) }],
  [403, { Origin: 'http://evil.example' }],
];

test('what is refused on any path is described for each path and method, and comes as described', async () => {
  const { body: openapi } = await get(`${server.url}/openapi.json`);
  for (const [path, item] of Object.entries<Record<string, { responses: object }>>(openapi.paths))
    for (const method of Object.keys(item).filter((name) => name !== 'parameters'))
      for (const [wanted, more] of REFUSALS) {
        const name = `${method.toUpperCase()} ${path.replace('{id}', '1')}`;
        const isRead = /^(get|head)$/.test(method);
        if (wanted === 403 && isRead) continue;
        const { status, head, body } = await rawRequest(server.port, name, more);
        assert.equal(status, wanted, `${name}: ${head}`);
        assert.ok(
          `${status}` in item[method]!.responses,
          `${name} answers ${status}, which is not described`,
        );
        const headers = new Headers(
          head
            .split('\r\n')
            .slice(1)
            .map((line) => line.split(/: ?/, 2) as [string, string]),
        );
        const answer = { status, headers, text: body, body: parseBody(headers, body) };
        assert.equal(answerFault(method.toUpperCase(), server.url + name.split(' ')[1]!, answer), undefined);
      }
});

test('HEAD answers what GET does, and OPTIONS what may be asked, on every path that is described', async () => {
  const customer = await post(`${server.url}/api/customers`, { name: 'Ada' });
  const { body: openapi } = await get(`${server.url}/openapi.json`);
  for (const [path, item] of Object.entries<Record<string, object>>(openapi.paths)) {
    const url = server.url + path.replace('{id}', customer.body.id);
    const options = await request('OPTIONS', url);
    assert.deepEqual([options.status, options.text], [204, ''], path);
    const statuses = [await request('GET', url), await request('HEAD', url)].map(({ status }) => status);
    assert.deepEqual(statuses, path === '/ws' ? [400, 400] : [200, 200], path);
    if (!('304' in (item.head as { responses: object }).responses)) continue;
    const etag = (await get(url)).headers.get('etag');
    if (etag) assert.equal((await request('HEAD', url, { headers: { 'If-None-Match': etag } })).status, 304);
  }
});

test('they are made once for each name of the server, not for each request', async () => {
  const described = { ...readConfig({}), resources: RESOURCES, isLabOn: true };
  const api = createDescriptionsApi(described);
  const bodies = new Set<string>();
  const res = { reserve() {}, begin() {}, end: (body: string | Buffer) => bodies.add(String(body)) };
  const ask = (host: string) =>
    api.openapi({ req: { headers: { host }, socket: {} }, res } as unknown as Call);
  // The quickest of ten: on a busy machine any other may have been interrupted.
  const timeOf = (deed: () => void) =>
    Math.min(
      ...range(1, 10).map(() => {
        const start = performance.now();
        for (let i = 0; i < 5; i += 1) deed();
        return performance.now() - start;
      }),
    );
  ask('one.example');
  const answering = timeOf(() => ask('one.example'));
  const making = timeOf(() => describe(described, 'http://one.example'));
  assert.ok(answering < making / 4, `${answering} ms to answer 5 times, ${making} ms to make 5`);
  for (let i = 0; i < 30; i += 1) ask(`${i}.example`);
  assert.equal(bodies.size, 31, 'each name gets its own');
});

test('behind a proxy that ends TLS the URLs are those that the caller used', async () => {
  const { body } = await get(`${server.url}/asyncapi.json`, { 'X-Forwarded-Proto': 'https' });
  assert.equal(body.servers.webSocketServer.protocol, 'wss');
});

test('who names no host, as HTTP/1.0 allows, is told an address at which the server is', async () => {
  const text = await raw(Number(new URL(server.url).port), 'GET /openapi.json HTTP/1.0\r\n\r\n');
  assert.match(text, /"servers":\[\{"url":"http:\/\/localhost:\d+"/);
});

test('an answer or a frame that is another than described is found', async () => {
  const answer = await get(`${server.url}/healthz`);
  const url = `${server.url}/healthz`;
  assert.equal(answerFault('GET', url, answer), undefined);
  const { body } = answer;
  assert.match(answerFault('GET', url, { ...answer, status: 201 })!, /no such status/);
  assert.match(
    answerFault('GET', url, { ...answer, body: { ...body, clients: 'two' } })!,
    /clients must be integer/,
  );
  assert.match(
    answerFault('GET', url, { ...answer, body: { ...body, more: 1 } })!,
    /additional properties more/,
  );
  const headers = new Headers(answer.headers);
  headers.delete('heartbeat-seconds');
  assert.match(answerFault('GET', url, { ...answer, headers })!, /has no Heartbeat-Seconds/);
  const frame = {
    specversion: '1.0',
    id: 'abcdef01-1',
    source: '/x',
    type: 'a',
    time: '2026-11-23T09:30:00Z',
    data: 1,
  };
  assert.equal(frameFault(frame), undefined);
  assert.match(frameFault({ ...frame, type: 'stream.new' })!, /type must NOT be valid/);
  assert.match(frameFault({ ...frame, type: 'stream.ready' })!, /stream\.ready.* is not as described/);
});
