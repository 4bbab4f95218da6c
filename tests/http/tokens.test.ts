// JWTs: who signed, for whom, until when, and what the bearer may. Forged, stale and misdirected ones are refused; what
// a reader may not see never reaches it, on no transport.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { openTokens } from '../../lib/http/tokens.ts';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  connect,
  eventually,
  type Frame,
  get,
  openEventStream,
  post,
  refusedHandshake,
  startServer,
  temporaryFolder,
} from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';
import { refusalToStart } from '../support/open-store.ts';

const SECRET = 'a secret of thirty-two bytes or more';
const KEY = new TextEncoder().encode(SECRET);
const ALL = { subscribe: ['*'], publish: ['*'], write: true };
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;

/** A JWT as the application would sign it. */
const sign = (
  claim: unknown,
  more: { [claim in keyof JWTPayload]: JWTPayload[claim] | undefined } = {},
  key: Uint8Array | CryptoKey = KEY,
  header = {},
) =>
  new SignJWT({ changebell: claim, aud: 'changebell', exp: inSeconds(60), ...more } as JWTPayload)
    .setProtectedHeader({ alg: 'HS256', ...header })
    .sign(key);
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

const DATABASE_URL = join(temporaryFolder(), 'tokens.db');
let server: OpenServer;
let everything: Record<string, string>;
before(async () => {
  server = await openServer({ DATABASE_URL, JWT_SECRET: SECRET, API_TOKEN: 'the-token' });
  everything = bearer(await sign(ALL));
});
after(() => server?.stop());
const api = (path: string) => `${server.url}/api${path}`;

test('a JWT is taken wherever the token is, and the token still is', async () => {
  for (const headers of [everything, bearer('the-token')]) {
    assert.equal((await get(api('/customers'), headers)).status, 200);
    assert.equal((await get(`${server.url}/metrics`, headers)).status, 200);
    assert.equal((await post(api('/customers'), { name: 'Ada' }, headers)).status, 201);
  }
  const client = await connect(server.wsUrl, { query: { access_token: await sign(ALL) } });
  assert.equal((await client.next()).type, 'stream.ready');
  await client.close();
});

test('a token that is forged, stale, misdirected or endless is a 401 that says why', async () => {
  const other = new TextEncoder().encode('another secret that is long enough, too');
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
  const spki = new TextEncoder().encode(await exportSPKI(publicKey));
  const unsigned = new UnsecuredJWT({ changebell: ALL, aud: 'changebell', exp: inSeconds(60) }).encode();
  const bad: Record<string, string> = {
    'signed by another': await sign(ALL, {}, other),
    'alg none': unsigned,
    'another algorithm': await sign(ALL, {}, privateKey, { alg: 'RS256' }),
    'the public key as a secret': await sign(ALL, {}, spki),
    HS512: await new SignJWT({ changebell: ALL, aud: 'changebell', exp: inSeconds(60) })
      .setProtectedHeader({ alg: 'HS512' })
      .sign(new Uint8Array(64)),
    expired: await sign(ALL, { exp: inSeconds(-31) }),
    'without an end': await sign(ALL, { exp: undefined }),
    'not valid yet': await sign(ALL, { nbf: inSeconds(40) }),
    'for somebody else': await sign(ALL, { aud: 'another' }),
    'for nobody': await sign(ALL, { aud: undefined }),
    'no JWT at all': 'x.y.z',
  };
  for (const [what, token] of Object.entries(bad)) {
    const { status, headers } = await get(api('/customers'), bearer(token));
    assert.equal(status, 401, what);
    assert.match(
      headers.get('www-authenticate')!,
      /^Bearer realm="changebell", error="invalid_token"$/,
      what,
    );
    assert.equal(
      (await refusedHandshake(`${server.wsUrl}?access_token=${encodeURIComponent(token)}`)).status,
      401,
      what,
    );
  }
  assert.match((await get(api('/customers'), bearer(bad.expired!))).body.detail, /expired/);
  assert.equal(
    (await get(api('/customers'), bearer(await sign(ALL, { nbf: inSeconds(20), exp: inSeconds(-20) }))))
      .status,
    200,
    'clocks differ',
  );
  const late = await sign(ALL, { exp: inSeconds(-1) });
  assert.equal(
    (await refusedHandshake(`${server.wsUrl}?access_token=${late}`)).status,
    401,
    'a stream of its',
  );
});

test('what a claim does not name is not allowed', async () => {
  for (const claim of [undefined, {}, [], 'all', { subscribe: 'customer.*', write: 'yes', publish: null }]) {
    const headers = bearer(await sign(claim));
    assert.equal((await get(api('/customers'), headers)).status, 403);
    assert.equal((await post(api('/customers'), { name: 'x' }, headers)).status, 403);
    assert.equal((await post(api('/events'), { message: 'x' }, headers)).status, 403);
    assert.equal(
      (await get(api('/clients'), headers)).status,
      403,
      'positions of others tell what they may see',
    );
    assert.deepEqual((await get(api('/events'), headers)).body.events, []);
  }
});

test('publishing keeps to the types that are allowed, in a list as well', async () => {
  const headers = bearer(await sign({ publish: ['chat.*'] }));
  assert.equal((await post(api('/events'), { type: 'chat.said' }, headers)).status, 201);
  assert.equal((await post(api('/events'), { type: 'chatter' }, headers)).status, 403);
  assert.equal((await post(api('/events'), [{ type: 'chat.said' }, { type: 'other' }], headers)).status, 403);
});

test('a token that may not is told apart from a foreign page, in the log and in the numbers', async () => {
  const strict = await startServer({ JWT_SECRET: SECRET });
  assert.equal(
    (await post(`${strict.url}/api/customers`, { name: 'x' }, bearer(await sign({})))).status,
    403,
  );
  await eventually(
    () => strict.output.stderr,
    (text) => text !== '',
    'the refusal stands in the log',
  );
  assert.equal(
    strict.output.stderr,
    'Refused: a token that may not do this (scope): POST "/api/customers".\n',
  );
  await strict.stop();
});

test('a snapshot is for those who may see the events of all its rows', async () => {
  const { body: ada } = await post(api('/customers'), { name: 'Ada' }, everything);
  const one = bearer(await sign({ subscribe: ['customer.*'], sources: [`/api/customers/${ada.id}`] }));
  assert.equal((await get(api(`/customers/${ada.id}`), one)).status, 200);
  assert.equal((await get(api(`/customers/${ada.id + 1}`), one)).status, 403);
  assert.equal((await get(api('/customers'), one)).status, 403);
  const created = bearer(await sign({ subscribe: ['customer.created'] }));
  assert.equal((await get(api('/customers'), created)).status, 403);
  assert.equal((await get(api('/customers'), bearer(await sign({ subscribe: ['customer.*'] })))).status, 200);
  assert.equal(
    (await get(api('/watch/orders'), one)).status,
    403,
    'nor does it learn which tables are watched',
  );
  assert.equal(
    (await get(api('/watch/orders'), bearer(await sign({ subscribe: ['orders.*'] })))).status,
    404,
  );
});

test('what it may not see never reaches a reader: not live, not replayed, not in a page, not in a count', async () => {
  const { lastEventId } = (await get(api('/customers'), everything)).body;
  const token = await sign({ subscribe: ['room.*'], sources: ['/rooms/42/*'] });
  const query = { lastEventId, access_token: token };
  const say = (type: string, source: string) => post(api('/events'), { type, source }, everything);
  await say('room.said', '/rooms/42/a');
  await say('room.said', '/rooms/43/a');
  await say('secret', '/rooms/42/a');
  const client = await connect(server.wsUrl, { query });
  assert.equal((await client.next()).data.behind, 1);
  const wide = await connect(server.wsUrl, {
    query: { ...query, types: '*.said'.replace('*.', 'room.'), sources: '/rooms/43/*' },
  });
  const stream = await openEventStream(`${api('/events')}?lastEventId=${lastEventId}`, bearer(token));
  await say('secret', '/rooms/42/a');
  await say('room.said', '/rooms/42/b');
  const sourcesOf = (frames: Frame[]) => frames.map(({ source }) => source);
  for (const reader of [client, stream]) {
    await reader.until(({ source }) => source === '/rooms/42/b');
    assert.deepEqual(sourcesOf(reader.events()), ['/rooms/42/a', '/rooms/42/b']);
  }
  const page = await get(`${api('/events')}?lastEventId=${lastEventId}`, bearer(token));
  assert.deepEqual(sourcesOf(page.body.events), ['/rooms/42/a', '/rooms/42/b']);
  assert.deepEqual(wide.events(), [], 'a filter that asks for more than it may is narrowed');
  for (const reader of [client, wide, stream]) reader.close();
});

test('who may see each change of a table hears that it must be loaded again, and nothing else beyond its scope', async () => {
  const { lastEventId } = (await get(api('/customers'), everything)).body;
  const changes = ['orders.created', 'orders.updated', 'orders.deleted'];
  const stream = async (subscribe: string[], sources?: string[]) =>
    connect(server.wsUrl, { query: { lastEventId, access_token: await sign({ subscribe, sources }) } });
  const [copy, part, row, other] = [
    await stream(changes),
    await stream(['orders.created', 'orders.updated', 'orders.done']),
    await stream(changes, ['/watch/orders/1']),
    await stream(['orders.*', 'rooms.*'], ['/watch/orders2/1', '/rooms/*', '/watch/orders']),
  ];
  // By another hand: nobody can publish the second.
  const db = openDatabase(DATABASE_URL, { timeout: 5000 });
  const put = db.prepare('INSERT INTO changebell_events (type, source) VALUES (?, ?)');
  for (const [type, source] of [
    ['orders.reset', '/rooms/orders'],
    ['orders.reset', '/watch/orders/*'],
    ['orders.resets', '/watch/orders/*'],
    ['orders.created', '/watch/orders/2'],
    ['orders.created', '/watch/orders/1'],
    ['rooms.said', '/rooms/1'],
  ])
    put.run(type, source);
  db.close();
  for (const [reader, types] of [
    [copy, ['orders.reset', 'orders.created', 'orders.created']],
    [part, ['orders.created', 'orders.created']],
    [row, ['orders.reset', 'orders.created']],
    [other, ['orders.reset', 'rooms.said']], // the one at /rooms/orders: no table
  ] as const) {
    await reader.until(({ source }) => source === '/watch/orders/1' || source === '/rooms/1');
    assert.deepEqual(
      reader.events().map(({ type }) => type),
      types,
    );
    reader.close();
  }
});

test('at its end a stream says so, is closed, and goes on with a fresh token where it was', async () => {
  const exp = Date.now() / 1000 + 1;
  const client = await connect(server.wsUrl, { query: { access_token: await sign(ALL, { exp }) } });
  const stream = await openEventStream(api('/events'), bearer(await sign(ALL, { exp })));
  const last = await client.until(({ type }) => type === 'stream.expired', 1500);
  assert.equal((await client.closed).code, 1008);
  await stream.until(({ type }) => type === 'stream.expired', 1500);
  await stream.closed;
  const { body } = await post(api('/events'), { message: 'meanwhile' }, everything);
  const again = await connect(server.wsUrl, {
    query: { access_token: await sign(ALL), lastEventId: last.id },
  });
  assert.deepEqual(await again.nextEvent(), body);
  await again.close();
});

test('a page of the log is not waited for beyond the end of its token', async () => {
  const exp = Date.now() / 1000 + 0.5;
  const headers = { ...bearer(await sign(ALL, { exp })), Prefer: 'wait=30' };
  const { status, body } = await get(api('/events?from=latest'), headers);
  assert.deepEqual([status, body.events], [200, []]);
});

/** A key set that is served at `url`; what is in `keys` counts. */
async function serveKeys() {
  const set = { keys: [] as object[], url: '', asked: 0, close: () => {} };
  const keyServer = createServer((_, res) => {
    set.asked += 1;
    res.end(JSON.stringify({ keys: set.keys }));
  }).listen(0, '127.0.0.1');
  await once(keyServer, 'listening');
  set.url = `http://127.0.0.1:${(keyServer.address() as AddressInfo).port}/keys`;
  set.close = () => {
    keyServer.close();
    keyServer.closeAllConnections();
  };
  return set;
}

/** A pair, and its public half as it stands in a key set. */
async function makeKey(alg: string, kid: string) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const token = () => sign(ALL, {}, privateKey, { alg, kid });
  return { jwk: { ...(await exportJWK(publicKey)), kid, alg }, publicKey, privateKey, token };
}

test('a key set: each key pins its algorithm, and what no key of it has signed is a 401', async () => {
  const set = await serveKeys();
  const [ours, fresh] = [await makeKey('ES256', 'ours'), await makeKey('EdDSA', 'fresh')];
  const rsa = await makeKey('RS256', 'rsa');
  set.keys = [ours.jwk, rsa.jwk];
  const other = await openServer({ JWT_JWKS_URL: set.url });
  const ask = async (token: string) => (await get(`${other.url}/api/customers`, bearer(token))).status;
  assert.equal(await ask(await ours.token()), 200);
  assert.equal(await ask(await rsa.token()), 200);
  const pem = new TextEncoder().encode(await exportSPKI(rsa.publicKey));
  const bad: Record<string, string> = {
    'HS256 is not taken from a key set': await sign(ALL, {}, KEY, { kid: 'ours' }),
    'the public key as a secret': await sign(ALL, {}, pem, { kid: 'rsa' }),
    'a key that is not in the set': await fresh.token(),
    "another one's kid": await sign(ALL, {}, fresh.privateKey, { alg: 'EdDSA', kid: 'ours' }),
    'a kid that is a path': await sign(ALL, {}, fresh.privateKey, { alg: 'EdDSA', kid: '../../dev/null' }),
    'a kid of another algorithm': await sign(ALL, {}, ours.privateKey, { alg: 'ES256', kid: 'rsa' }),
    'a key of its own in its head': await sign(ALL, {}, fresh.privateKey, { alg: 'EdDSA', jwk: fresh.jwk }),
    'a key set of its own': await sign(ALL, {}, fresh.privateKey, { alg: 'EdDSA', kid: 'x', jku: set.url }),
  };
  for (const [what, token] of Object.entries(bad)) assert.equal(await ask(token), 401, what);
  await other.stop();
  set.close();
});

test('a key set that rotates is asked again for a key that it did not have, at most every 30 s', async (t) => {
  const set = await serveKeys();
  const [old, fresh] = [await makeKey('ES256', 'old'), await makeKey('EdDSA', 'fresh')];
  set.keys = [old.jwk];
  const jwt = { secret: undefined, jwksUrl: new URL(set.url), audience: 'changebell' };
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const tokens = await openTokens({ apiToken: undefined, jwt });
  const isTaken = async (token: string) =>
    tokens.scopeOf(token, false).then(
      () => true,
      ({ status }) => status !== 401,
    );
  assert.equal(await isTaken(await old.token()), true);
  set.keys = [fresh.jwk];
  for (const _ of [1, 2, 3]) assert.equal(await isTaken(await fresh.token()), false, 'not yet');
  assert.equal(set.asked, 1, 'a flood of unknown keys asks nobody');
  t.mock.timers.tick(31_000);
  assert.equal(await isTaken(await fresh.token()), true);
  assert.equal(await isTaken(await old.token()), false, 'it was taken out of the set');
  assert.equal(set.asked, 2);
  set.close();
});

test('a key set that is away is a 503, and ten lines in the log, however many ask', async () => {
  const set = await serveKeys();
  set.close();
  const key = await makeKey('ES256', 'key');
  const alone = await startServer({ JWT_JWKS_URL: set.url, API_TOKEN: 'the-token' });
  for (const _ of Array(25)) {
    const away = await get(`${alone.url}/api/customers`, bearer(await key.token()));
    assert.deepEqual([away.status, away.headers.has('retry-after')], [503, true]);
  }
  const lines = alone.output.stderr.split('\n').filter((line) => line !== '');
  assert.equal(lines.length, 10, lines.join('\n'));
  assert.match(lines[0]!, /^Refused: the key set .* \(keys\): GET "\/api\/customers": \w+/);
  const { text } = await get(`${alone.url}/metrics`, bearer('the-token'));
  assert.match(text, /^changebell_refusals_total\{reason="keys"\} 25$/m);
  await alone.stop();
});

test('settings that make no sense are one line, without the secret', async () => {
  for (const env of [
    { JWT_SECRET: 'too short' },
    { JWT_SECRET: SECRET, JWT_JWKS_URL: 'http://localhost/keys' },
    { JWT_JWKS_URL: 'file:///keys' },
  ]) {
    const line = await refusalToStart({ DATABASE_URL: ':memory:', ...(env as Record<string, string>) });
    assert.match(line, /^JWT_\w+ [^\n]*$/);
    assert.doesNotMatch(line, /short|keys$/);
    if (env.JWT_JWKS_URL?.startsWith('file:')) assert.match(line, /"file:…", but must be an http/);
  }
});
