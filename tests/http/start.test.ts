// How the program starts: where it listens, which URLs it prints, what it warns of, and which settings it takes.
// Whatever is printed leads here: another program on the other loopback address must never be what opens.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readConfig, StartError } from '../../lib/config.ts';
import { listen } from '../../lib/http/listen.ts';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  connect,
  eventually,
  get,
  launch,
  post,
  range,
  rawRequest,
  startServer,
  temporaryFolder,
  within,
} from '../support/helpers.ts';
import { freePort } from '../support/postgres-cluster.ts';

const hasIpv6 = Object.values(networkInterfaces())
  .flat()
  .some((one) => one?.address === '::1');
const START_MS = 5000;
const ROOM_FILE = '/proc/sys/net/core/somaxconn';
/** How many connections the system completes before a program accepts them; more than enough where it doesn't say. */
const SYSTEM_ROOM = existsSync(ROOM_FILE)
  ? Number(readFileSync(ROOM_FILE, 'utf8'))
  : Number.POSITIVE_INFINITY;
const skip = hasIpv6 ? false : 'needs IPv6 on the loopback interface';

/** The message that the settings are refused with. */
function refusal(env: Record<string, string>): string {
  try {
    readConfig(env);
  } catch (error) {
    assert.ok(error instanceof StartError, String(error));
    return error.message;
  }
  return assert.fail(`${JSON.stringify(env)} is taken`);
}

test('it listens on both loopback addresses, with one port, and prints localhost', { skip }, async () => {
  const server = await startServer();
  assert.equal(new URL(server.url).hostname, 'localhost');
  for (const host of ['127.0.0.1', '[::1]']) {
    const answer = await get(`http://${host}:${server.port}/healthz`);
    assert.equal(answer.status, 200, host);
  }
  const created = await post(`http://[::1]:${server.port}/api/customers`, { name: 'Ada' });
  assert.equal(created.status, 201, 'a write over IPv6');
  assert.equal((await server.stop()).code, 0);
});

test('a herd that comes while the server is busy finds room: nobody has to knock again a second later', {
  skip: SYSTEM_ROOM >= 1000 ? false : 'the system has no room for a thousand: net.core.somaxconn',
}, async () => {
  const server = await startServer();
  server.process.kill('SIGSTOP');
  const herd = range(1, 1000).map(() => connectTcp(server.port, '127.0.0.1'));
  try {
    await within(Promise.all(herd.map((socket) => once(socket, 'connect'))), 'a thousand connections');
  } finally {
    for (const socket of herd) socket.destroy();
    server.process.kill('SIGCONT');
  }
  await server.stop();
});

test('where another program holds [::1], the address itself is printed and not localhost', {
  skip,
}, async () => {
  const other = createServer((_, res) => res.end('another program')).listen(0, '::1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const server = await startServer({ PORT: String(port) });
  assert.equal(server.url, `http://127.0.0.1:${port}`);
  assert.equal((await get(`${server.url}/healthz`)).body.status, 'ok');
  await server.stop();
  other.close();
});

test('an event stream that is asked for while the program starts waits: at a 503 a browser gives up for good', async () => {
  const PORT = String(await freePort());
  const { child, exited } = launch({ PORT, DATABASE_URL: join(temporaryFolder(), 'test.db') });
  const url = `http://127.0.0.1:${PORT}/api/events`;
  const first = await within(firstAnswer(url), 'the first answer', START_MS);
  assert.equal(
    first.status,
    200,
    'of the very first that was taken, which comes before the database is open',
  );
  const { value } = await within(first.body!.getReader().read(), 'its first bytes');
  assert.match(Buffer.from(value!).toString(), /^retry: 2000\n/);
  child.kill();
  await within(exited, 'the server to end', START_MS);
});

test('nonsense on a stream that was asked for while the program started cuts that connection, and nothing else', async () => {
  const PORT = String(await freePort());
  const { child, exited } = launch({ PORT, DATABASE_URL: join(temporaryFolder(), 'test.db') });
  const socket = await within(firstConnection(Number(PORT)), 'the first connection', START_MS);
  socket.write('GET /api/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n');
  await within(once(socket, 'data'), 'the stream', START_MS);
  socket.write('nonsense\r\n\r\n');
  await within(once(socket.resume(), 'close'), 'the end of its connection');
  assert.equal((await get(`http://127.0.0.1:${PORT}/healthz`)).status, 200);
  child.kill();
  await within(exited, 'the server to end', START_MS);
});

/** Knocks again and again, until somebody listens. */
async function firstConnection(port: number): Promise<Socket> {
  for (;;) {
    const socket = connectTcp(port, '127.0.0.1');
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    if (isOpen) return socket;
  }
}

/** Asks for a stream again and again, until somebody listens. */
async function firstAnswer(url: string): Promise<Response> {
  for (;;) {
    const answer = await fetch(url, { headers: { Accept: 'text/event-stream' } }).catch(() => undefined);
    if (answer) return answer;
  }
}

test('loopback is what was bound, however HOST writes it: then the lab is on and a foreign Host is refused', async () => {
  const hosts = [
    '127.1',
    '2130706433',
    '127.0.0.2',
    'LOCALHOST',
    ...(hasIpv6 ? ['::ffff:127.0.0.1', '[::1]'] : []),
  ];
  for (const HOST of hosts) {
    const door = await listen(readConfig({ HOST, PORT: '0' }));
    assert.ok(door.isLoopback, HOST);
    door.close();
  }
  // What hangs on that is the same for all of them.
  for (const HOST of ['2130706433', 'LOCALHOST', ...(hasIpv6 ? ['::ffff:127.0.0.1'] : [])]) {
    const server = await startServer({ HOST });
    const { status, body } = await get(`${server.url}/healthz`);
    assert.deepEqual([status, body.lab], [200, true], HOST);
    assert.equal(server.output.stderr, '', HOST);
    const foreign = await rawRequest(server.port, 'GET /healthz', { Host: 'evil.example' });
    assert.equal(foreign.status, 421, HOST);
    await server.stop();
  }
});

test('on all addresses the URL that is printed leads here, the lab is off, and one line warns', async () => {
  const server = await startServer({ HOST: '0.0.0.0' });
  const { status, body } = await get(`${server.url}/healthz`);
  assert.deepEqual([status, body.lab], [200, undefined]);
  await eventually(
    () => server.output.stderr,
    (text) => text !== '',
    'a warning',
  );
  assert.match(server.output.stderr, /^Warning: HOST [^\n]*API_TOKEN[^\n]*\n$/);
  await server.stop();
});

test('ALLOWED_HOSTS without a token warns in one line and turns the lab off, unless LAB says otherwise', async () => {
  const [open, locked] = await Promise.all([
    startServer({ ALLOWED_HOSTS: 'shop.example', LAB: '1' }),
    startServer({ ALLOWED_HOSTS: 'shop.example', API_TOKEN: 'correct-horse' }),
  ]);
  await eventually(
    () => open.output.stderr,
    (text) => text !== '',
    'a warning',
  );
  assert.match(open.output.stderr, /^Warning: ALLOWED_HOSTS [^\n]*API_TOKEN[^\n]*\n$/);
  assert.equal((await get(`${open.url}/healthz`)).body.lab, true);
  assert.equal((await get(`${locked.url}/healthz`)).body.lab, undefined);
  assert.equal(locked.output.stderr, '');
  await Promise.all([open.stop(), locked.stop()]);
});

test('with CUSTOMERS=0 the customers are off, and all else is on', async () => {
  const server = await startServer({ CUSTOMERS: '0' });
  assert.equal((await get(`${server.url}/api/customers`)).status, 404);
  assert.equal((await post(`${server.url}/api/customers`, { name: 'Ada' })).status, 404);
  assert.equal((await post(`${server.url}/api/events`, { message: 'hello' })).status, 201);
  assert.match(server.output.stdout, /API +\S+\/api\/events$/m);
  await server.stop();
});

test('a second signal ends it at once', async () => {
  const server = await startServer();
  const slow = await startHalfRequest(server.port);
  server.process.kill('SIGTERM');
  await eventually(
    () =>
      get(`http://127.0.0.1:${server.port}/`).then(
        () => false,
        () => true,
      ),
    Boolean,
    'it stops',
  );
  const startedAt = performance.now();
  server.process.kill('SIGTERM');
  const { code } = await within(server.exited, 'exit');
  assert.notEqual(code, 0, 'what was in flight was cut off');
  assert.ok(performance.now() - startedAt < 1500, 'long before the time for requests in flight is over');
  slow.destroy();
});

/** A request that keeps a server from stopping at once. */
async function startHalfRequest(port: number) {
  const { connect } = await import('node:net');
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  socket.write(
    'POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n',
  );
  socket.write('Expect: 100-continue\r\n\r\n');
  await within(once(socket, 'data'), 'the request to be in work');
  return socket;
}

test('the start is over before the first line is printed: with PORT=0 the port is the real one', async () => {
  const { output, child, exited } = launch({ PORT: '0', DATABASE_URL: ':memory:' });
  await eventually(
    () => output.stdout,
    (text) => /ws:\S+\/ws/.test(text),
    'the lines of the start',
  );
  const urls = output.stdout.match(/\w+:\/\/[^\s:]+:(\d+)/g)!;
  assert.equal(new Set(urls.map((url) => url.split(':').at(-1))).size, 1);
  assert.doesNotMatch(output.stdout, /:0\b/);
  child.kill('SIGTERM');
  assert.equal((await exited).code, 0);
});

test('origins of web pages and of apps are taken as they are written', () => {
  const origins = [
    'https://shop.example',
    'http://localhost:3000',
    'capacitor://localhost',
    'ionic://localhost',
    'tauri://localhost',
    'chrome-extension://abcdefghijklmnopabcdefghijklmnop',
    'moz-extension://0b5d5fd1-9d1b-4c0e-9a9b-0a8f5f2d7c11',
    'http://[::1]:8080',
  ];
  const config = readConfig({ ALLOWED_ORIGINS: ` ${origins.join(' , ')}/,HTTPS://Upper.example` });
  assert.deepEqual([...config.allowedOrigins], [...origins, 'https://upper.example']);
});

test('an origin that could match nothing is refused, and * with a line that says why', () => {
  for (const wild of ['*', 'https://*.example.com', 'https://*', '*://x.example', 'capacitor://*'])
    assert.match(refusal({ ALLOWED_ORIGINS: wild }), /ALLOWED_ORIGINS.*\* stands for nothing/, wild);
  for (const wrong of [
    'example.com',
    'null',
    'https://a.example/path',
    'https://a.example:443',
    'https://u@a.example',
    'file:///',
    'capacitor://',
    'tauri://localhost/x',
    'https://',
  ]) {
    const message = refusal({ ALLOWED_ORIGINS: `https://fine.example,${wrong}` });
    assert.ok(message.includes(JSON.stringify(wrong)) && message.includes('ALLOWED_ORIGINS'), message);
  }
});

test('MAX_CONNECTIONS leaves 2,000 beside the clients unless it is set, and an empty variable counts as absent', () => {
  assert.equal(readConfig({}).maxConnections, 12_000);
  assert.equal(readConfig({ MAX_CLIENTS: '50' }).maxConnections, 2050);
  assert.equal(readConfig({ MAX_CLIENTS: '50', MAX_CONNECTIONS: '' }).maxConnections, 2050);
  assert.equal(readConfig({ MAX_CLIENTS: '50', MAX_CONNECTIONS: '60' }).maxConnections, 60);
  for (const MAX_CONNECTIONS of ['0', '-1', '1e3', 'many'])
    assert.match(refusal({ MAX_CONNECTIONS }), /^MAX_CONNECTIONS is ".*", but must be a whole number/);
});

test('CUSTOMERS and LAB are switches: 1 or 0, and nothing else', () => {
  assert.deepEqual([readConfig({}).hasCustomers, readConfig({ CUSTOMERS: '0' }).hasCustomers], [true, false]);
  assert.deepEqual([readConfig({}).isLabOn, readConfig({ LAB: '0' }).isLabOn], [undefined, false]);
  for (const name of ['CUSTOMERS', 'LAB'])
    for (const value of ['yes', 'true', '2'])
      assert.match(refusal({ [name]: value }), new RegExp(`^${name} is`));
});

test('the tables that are watched stand in the start lines by the names that their events have', async () => {
  const DATABASE_URL = join(temporaryFolder(), 'test.db');
  const db = openDatabase(DATABASE_URL);
  db.exec('CREATE TABLE orders (id integer PRIMARY KEY)');
  const server = await startServer({ DATABASE_URL, WATCH: 'ORDERS' }); // to SQLite that is the same name
  const said = () => server.output.stdout;
  assert.match(
    await eventually(said, (text) => text.includes('watching'), 'all lines'),
    /^ +watching +orders$/m,
  );
  const client = await connect(server.wsUrl);
  db.exec('INSERT INTO orders VALUES (1)');
  await client.until(({ type }) => type === 'orders.created');
  db.close();
});
