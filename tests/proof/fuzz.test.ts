// Whatever bytes come in: never a 500, never a crash, never a hang, and a refusal is always a problem document.
// Inputs are made up from what is nearly right, and from right ones that a few bytes were changed in. Nothing
// may appear on standard error either, where the program would log a bug of its own.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { connect, get, post, range, type Server, startServer, temporaryFolder } from '../support/helpers.ts';
import { exchange, statusesOf } from '../support/raw-http.ts';
import { clientFrame, handshake } from '../support/raw-websocket.ts';

const OPTIONS = {
  numRuns: Number(process.env.FUZZ_RUNS || 120),
  ...(process.env.SEED ? { seed: Number(process.env.SEED) } : {}),
};
let server: Server;
/** Of events that are there, and the stamp of one of them. */
let ids: string[];
let stamp: string;
before(async () => {
  const DATABASE_URL = join(temporaryFolder(), 'fuzz.db');
  const db = openDatabase(DATABASE_URL);
  db.exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT); INSERT INTO orders VALUES (1, 'Loom')");
  db.close();
  server = await startServer({
    DATABASE_URL,
    WATCH: 'orders',
    HEARTBEAT_SECONDS: '1',
    ALLOWED_ORIGINS: 'https://shop.example',
  });
  const { body: stored } = await post(
    `${server.url}/api/events`,
    range(1, 30).map((data) => ({ data })),
  );
  ids = stored.map(({ id }: { id: string }) => id);
  stamp = ids[2]!.split('-')[0]!;
});
after(() => server.stop());

/** Answers that any client could have got: no 5xx but a refusal of work, and problems that are documents. */
function checkAnswers(text: string): void {
  const heads = text.match(/HTTP\/1\.1 \d{3} [\s\S]*?\r\n\r\n/g) ?? [];
  if (text !== '') assert.ok(heads.length > 0, text);
  for (const head of heads) {
    const status = Number(head.slice(9, 12));
    if (status === 100 || status === 101) continue;
    assert.ok(status < 500 || status === 501, text); // 501: a transfer coding that nobody knows
    assert.match(head, /\r\nX-Content-Type-Options: nosniff\r\n/i, text);
    if (status >= 400) assert.match(head, /\r\nContent-Type: application\/problem\+json/i, text);
  }
  const bugs = server.output.stderr.replace(/^Refused: .*\n/gm, '');
  assert.equal(bugs, '', text);
}

const CLOUD_EVENTS = ['application/cloudevents+json', 'application/cloudevents-batch+json'];

const oneOf = (...values: string[]) => fc.constantFrom(...values);
const often = <T>(right: fc.Arbitrary<T>, wrong: fc.Arbitrary<T>) =>
  fc.oneof({ arbitrary: right, weight: 4 }, { arbitrary: wrong, weight: 1 });
const nearly = (...values: string[]) =>
  often(oneOf(...values), fc.string({ unit: 'grapheme-ascii', maxLength: 30 }));
const lazily = <T>(make: () => fc.Arbitrary<T>) => fc.constant(null).chain(make);

const cursors = lazily(() =>
  fc.oneof(
    fc.constantFrom(...ids),
    fc.nat(30).map((seq) => `${stamp}-${seq}`),
    oneOf(
      '',
      '-',
      `${stamp}-`,
      `${stamp}--1`,
      `${stamp}-01`,
      `${stamp}-9007199254740993`,
      'abcdef01-3',
      `${stamp}-1e3`,
    ),
    fc.string({ maxLength: 12 }),
  ),
);
const paths = often(
  oneOf(
    '/api/customers',
    '/api/customers/1',
    '/api/events',
    '/api/events',
    '/ws',
    '/healthz',
    '/readyz',
    '/',
  ),
  oneOf(
    '/metrics',
    '/app.js',
    '/openapi.json',
    '/api/clients',
    '/api/watch/orders',
    '/api/watch/orders/1',
    '/api/watch/orders/',
    '/api/watch/none',
    '/api/customers/',
    '/api/customers/01',
    '/%2e%2e/x',
    '/%00',
    '/%',
    '*',
    '//',
    'http://localhost/api/events',
    'http://evil.example/',
  ),
);
const parameters = fc.tuple(
  oneOf('limit', 'after', 'lastEventId', 'types', 'sources', 'from', 'conflate', 'access_token', '%', ''),
  fc.oneof(
    cursors,
    nearly('0', '1', '500', '1001', '-1', '1e2', 'customer.*', '*', 'a,,b', '%zz', '%00'),
    nearly('earliest', 'latest', '2026-11-23T09:30:00Z', '/rooms/42/*', 'source', '["i1"]'),
  ),
);
const targets = fc
  .tuple(paths, often(fc.constant<[string, string][]>([]), fc.array(parameters, { maxLength: 3 })))
  .map(([path, query]) => {
    const target = query.length ? `${path}?${query.map((pair) => pair.join('=')).join('&')}` : path;
    return encodeURI(target.toWellFormed()).replace(/%25/g, '%');
  });
const harmless = fc.oneof(
  fc.tuple(oneOf('Accept'), oneOf('text/event-stream', '*/*', 'TEXT/EVENT-STREAM;q=0')),
  fc.tuple(oneOf('Last-Event-ID'), cursors),
  fc.tuple(oneOf('If-Match', 'If-None-Match'), nearly('*', '"a"', 'W/"a"', '"a", "b"', '"', ',', 'W/')),
  fc.tuple(oneOf('Idempotency-Key'), nearly('a', 'b', '', 'x'.repeat(256))),
  fc.tuple(oneOf('Origin'), nearly('https://shop.example', 'null', 'http://localhost', 'https://')),
  fc.tuple(oneOf('Authorization'), nearly('Bearer x', 'Basic eA==')),
  fc.tuple(oneOf('Sec-Fetch-Site', 'Sec-Fetch-Mode'), nearly('cross-site', 'no-cors', 'navigate')),
  fc.tuple(oneOf('Access-Control-Request-Headers'), nearly('ce-id', 'x,y', ',')),
  fc.tuple(
    oneOf('ce-specversion', 'ce-id', 'ce-type', 'ce-source', 'ce-time', 'ce-x'),
    nearly('1.0', 'order.paid', '/x', '2026-11-23T09:30:00Z', '%'),
  ),
  fc.tuple(oneOf('Prefer'), nearly('wait=0', 'wait=-1', 'wait=x', 'respond-async')),
);
const harmful = fc.oneof(
  fc.tuple(oneOf('Expect', 'Upgrade', 'Connection'), nearly('100-continue', 'websocket', 'upgrade', 'h2c')),
  fc.tuple(oneOf('Content-Encoding'), nearly('gzip', 'identity', ',')),
  fc.tuple(oneOf('Content-Type'), nearly('text/plain', 'application/json;charset=utf-16', ...CLOUD_EVENTS)),
  fc.tuple(oneOf('Transfer-Encoding', 'Content-Length', 'Host'), nearly('chunked', '0', '7', '-1', 'evil')),
);
const headers = often(
  fc.constant<[string, string][]>([]),
  fc.array(often(harmless, harmful), { maxLength: 3 }),
);
const anything = fc.anything({ withNullPrototype: true, withSparseArray: true });
const fields = fc.record(
  {
    name: often(fc.string({ unit: 'binary', minLength: 1 }), anything),
    email: often(oneOf('a@b', 'a', '@'), anything),
    type: nearly('order.paid', 'stream.x', 'A', ''),
    source: nearly('/x', 'http://x/ y', '::'),
    data: anything,
    message: often(fc.string({ unit: 'binary' }), anything),
    id: anything,
  },
  { requiredKeys: [] },
);
const right = fc.oneof(
  fc.record({ name: fc.string({ minLength: 1 }) }),
  fc.record({ type: oneOf('order.paid'), data: fc.jsonValue() }),
  fc.array(fc.record({ type: oneOf('order.paid'), data: fc.jsonValue() }), { maxLength: 3 }),
  fc.record({
    specversion: oneOf('1.0'),
    id: oneOf('1', '2'),
    source: oneOf('/x'),
    type: oneOf('a'),
    data: fc.jsonValue(),
  }),
);
const bodies = often(
  right.map((value) => Buffer.from(toJson(value))),
  fc.oneof(
    fc.json().map((text) => Buffer.from(text)),
    fields.map((value) => Buffer.from(toJson(value))),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  ),
);

function toJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'null';
  } catch {
    return '{}'; // a BigInt
  }
}

const requests = fc
  .tuple(
    often(oneOf('GET', 'POST', 'PUT', 'PATCH'), oneOf('HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT')),
    targets,
    headers,
    bodies,
  )
  .map(([method, target, fields, body]) => {
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    const head = `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${lines}`;
    return Buffer.concat([Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n`, 'latin1'), body]);
  });

/** A few bytes changed, left out, doubled or put in. */
const mutated = (bytes: fc.Arbitrary<Buffer>) =>
  fc
    .tuple(bytes, fc.array(fc.tuple(fc.nat(), fc.nat(255), fc.nat(3)), { minLength: 1, maxLength: 4 }))
    .map(([original, changes]) =>
      changes.reduce((changed, [where, byte, how]) => {
        const at = where % (changed.length + 1);
        const [left, right] = [changed.subarray(0, at), changed.subarray(at)];
        if (how === 0) return Buffer.concat([left, right.subarray(1)]);
        if (how === 1) return Buffer.concat([left, Buffer.from([byte]), right]);
        if (how === 2) return Buffer.concat([left, Buffer.from([byte]), right.subarray(1)]);
        return Buffer.concat([left, right.subarray(0, 20), right]);
      }, original),
    );

test('any request, whole or damaged, alone or in a row, is answered or refused in its own words', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(often(requests, mutated(requests)), { minLength: 1, maxLength: 3 }),
      async (row) => checkAnswers(await exchange(server.port, Buffer.concat(row))),
    ),
    OPTIONS,
  ));

/** A body in chunks, with its size as it is or nearly. */
const chunkedRequests = fc
  .tuple(targets, fc.array(bodies, { maxLength: 3 }), often(fc.constant(0), fc.integer({ min: -2, max: 2 })))
  .map(([target, chunks, wrong]) => {
    const fields = 'Host: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n';
    const pieces = chunks.flatMap((chunk) => {
      const size = Math.max(1, chunk.length + wrong).toString(16);
      return [Buffer.from(`${size}\r\n`), chunk, Buffer.from('\r\n')];
    });
    return Buffer.concat([
      Buffer.from(`POST ${target} HTTP/1.1\r\n${fields}`),
      ...pieces,
      Buffer.from('0\r\n\r\n'),
    ]);
  });

/** How many answers must come for sure: as many as whole requests that keep their connection, if all are whole. */
const plain = fc.array(
  fc.oneof(
    oneOf('/healthz', '/api/customers?limit=1', '/nope').map(
      (path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    ),
    fc.json().map((data) => {
      const body = Buffer.from(`{"data":${data}}`).toString('latin1');
      return `POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    }),
  ),
  { minLength: 2, maxLength: 12 },
);

test('of any row of whole requests, cut into any pieces, each gets one answer, in order', () =>
  fc.assert(
    fc.asyncProperty(plain, fc.array(fc.nat(2000), { maxLength: 4 }), async (row, cuts) => {
      const text = await exchange(server.port, Buffer.from(row.join(''), 'latin1'), cuts);
      checkAnswers(text);
      const expected = row.map((one) =>
        one.startsWith('POST') ? 201 : one.startsWith('GET /nope') ? 404 : 200,
      );
      assert.deepEqual(statusesOf(text), expected);
    }),
    { ...OPTIONS, numRuns: Math.ceil(OPTIONS.numRuns / 4) },
  ));

test('any body in chunks, whole or with a wrong size, is answered, and so is what is behind it or nothing', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(often(chunkedRequests, mutated(chunkedRequests)), { minLength: 1, maxLength: 3 }),
      async (row) => checkAnswers(await exchange(server.port, Buffer.concat(row))),
    ),
    OPTIONS,
  ));

const frames = fc
  .tuple(fc.integer({ min: 0, max: 255 }), fc.oneof(fc.json(), fc.uint8Array({ maxLength: 300 })))
  .map(([first, payload]) => clientFrame(first, payload));
const orders = nearly(
  '{"lab":"cut"}',
  '{"lab":"mute","seconds":1}',
  '{"lab":"mute","seconds":1e99}',
  '{"lab":[]}',
).map((text) => clientFrame(0x81, text));

test('any frames, whole or damaged, end at worst the connection that they came on', async () => {
  const bystander = await connect(server.wsUrl);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(frames, orders, mutated(frames)), { minLength: 1, maxLength: 6 }),
      async (all) =>
        checkAnswers(await exchange(server.port, Buffer.concat([Buffer.from(handshake()), ...all]))),
    ),
    OPTIONS,
  );
  assert.equal(bystander.socket.readyState, bystander.socket.OPEN);
  await bystander.close();
  assert.equal((await get(`${server.url}/healthz`)).status, 200);
});
