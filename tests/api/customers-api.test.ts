// The customers resource as a caller meets it: create, read, replace, patch, delete; entity tags and
// preconditions; what is refused and how; pages that are a snapshot; keys that make a POST safe to repeat.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, connect, del, get, patch, post, put, request, seqOf } from '../support/helpers.ts';
import { openServer } from '../support/open-server.ts';

const server = await openServer();
const customers = `${server.url}/api/customers`;

const create = async (fields: object = { name: 'Ada Lovelace', email: 'ada@example.com' }) => {
  const answer = await post(customers, fields);
  assert.equal(answer.status, 201, answer.text);
  return { ...answer, url: `${customers}/${answer.body.id}` };
};
const lastSeq = async () => seqOf((await get(`${customers}?limit=1`)).body.lastEventId);

function assertRefused(answer: Answer, pointers: string[]): void {
  assert.equal(answer.status, 422, answer.text);
  assert.match(answer.headers.get('content-type')!, /^application\/problem\+json/);
  assert.equal(answer.body.status, 422);
  assert.equal(typeof answer.body.title, 'string');
  assert.deepEqual(
    answer.body.errors.map((error: { pointer: string }) => error.pointer).sort(),
    pointers.sort(),
  );
  for (const error of answer.body.errors) assert.match(error.detail, /\w+/);
}

test('a created customer comes back with Location, ETag and its times', async () => {
  const { headers, body } = await create({ name: '  Ada Lovelace ', email: ' ada@example.com ' });
  assert.deepEqual(Object.keys(body).sort(), ['createdAt', 'email', 'id', 'name', 'updatedAt']);
  assert.equal(body.name, 'Ada Lovelace');
  assert.equal(body.email, 'ada@example.com');
  assert.ok(Number.isInteger(body.id));
  assert.match(body.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(Math.abs(Date.parse(body.createdAt) - Date.now()) < 10_000);
  assert.equal(body.updatedAt, body.createdAt);
  assert.equal(headers.get('location'), `/api/customers/${body.id}`);
  assert.match(headers.get('etag')!, /^"[^"]+"$/);
  assert.match(headers.get('content-type')!, /^application\/json/);
});

test('what was created can be read, and HEAD gives the same headers without the body', async () => {
  const { url, body, headers } = await create();
  const read = await get(url);
  assert.equal(read.status, 200);
  assert.deepEqual(read.body, body);
  assert.equal(read.headers.get('etag'), headers.get('etag'));
  const head = await request('HEAD', url);
  assert.deepEqual([head.status, head.text], [200, '']);
  for (const name of ['etag', 'content-length', 'content-type']) {
    assert.equal(head.headers.get(name), read.headers.get(name), name);
  }
});

test('a matching If-None-Match gets 304 without a body, weak or in a list as well', async () => {
  const { url, headers } = await create();
  const etag = headers.get('etag')!;
  for (const value of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const answer = await get(url, { 'If-None-Match': value });
    assert.deepEqual([answer.status, answer.text], [304, ''], value);
    assert.equal(answer.headers.get('etag'), etag);
  }
  assert.equal((await get(url, { 'If-None-Match': '"other"' })).status, 200);
});

test('PUT replaces the customer: an email that is not given becomes null', async () => {
  const { url, body, headers } = await create();
  const answer = await put(url, { name: 'Ada King' });
  assert.equal(answer.status, 200);
  assert.deepEqual([answer.body.name, answer.body.email], ['Ada King', null]);
  assert.deepEqual([answer.body.id, answer.body.createdAt], [body.id, body.createdAt]);
  assert.notEqual(answer.headers.get('etag'), headers.get('etag'));
  assert.deepEqual((await get(url)).body, answer.body);
});

test('PATCH changes only what it names, as a merge patch or as JSON', async () => {
  const { url } = await create();
  const named = await patch(url, { name: 'Ada King' }, { 'Content-Type': 'application/merge-patch+json' });
  assert.deepEqual([named.status, named.body.name, named.body.email], [200, 'Ada King', 'ada@example.com']);
  const cleared = await patch(url, { email: null });
  assert.deepEqual([cleared.status, cleared.body.name, cleared.body.email], [200, 'Ada King', null]);
  assertRefused(await patch(url, { name: null }), ['#/name']);
});

test('a deleted customer is gone, and its id is never used again', async () => {
  const { url, body } = await create();
  const answer = await del(url);
  assert.deepEqual([answer.status, answer.text], [204, '']);
  assert.equal((await get(url)).status, 404);
  assert.equal((await del(url)).status, 404);
  assert.equal((await put(url, { name: 'Ada' })).status, 404);
  assert.equal((await patch(url, { name: 'Ada' })).status, 404);
  assert.ok((await create()).body.id > body.id);
});

test('each change is one event with the resource after it, and for a deletion as it last was', async () => {
  const client = await connect(server.wsUrl);
  const { url, body } = await create();
  const updated = (await patch(url, { name: 'Ada King' })).body;
  await del(url);
  const events = [await client.nextEvent(), await client.nextEvent(), await client.nextEvent()];
  const expected = [
    ['customer.created', body],
    ['customer.updated', updated],
    ['customer.deleted', updated],
  ];
  assert.deepEqual(
    events.map((event) => [event.type, event.data]),
    expected,
  );
  for (const event of events) assert.equal(event.source, `/api/customers/${body.id}`);
  await client.close();
});

test('an update that changes nothing writes no event and keeps the ETag', async () => {
  const { url, body, headers } = await create();
  const before = await lastSeq();
  const answer = await put(url, { name: body.name, email: body.email });
  assert.deepEqual([answer.status, answer.body], [200, body]);
  assert.equal(answer.headers.get('etag'), headers.get('etag'));
  assert.equal((await patch(url, {})).status, 200);
  assert.equal(await lastSeq(), before);
});

test('If-Match lets a change through only for the current ETag, or * for what exists', async () => {
  const { url, headers } = await create();
  const stale = headers.get('etag')!;
  const updated = await put(url, { name: 'Ada King' }, { 'If-Match': stale });
  assert.equal(updated.status, 200);
  const before = await lastSeq();
  for (const refused of [
    await put(url, { name: 'Lost update' }, { 'If-Match': stale }),
    await patch(url, { name: 'Lost update' }, { 'If-Match': `W/${updated.headers.get('etag')}` }),
    await del(url, { 'If-Match': stale }),
  ]) {
    assert.equal(refused.status, 412);
    assert.match(refused.headers.get('content-type')!, /^application\/problem\+json/);
  }
  assert.equal(await lastSeq(), before);
  assert.equal((await patch(url, { name: 'Ada' }, { 'If-Match': '*' })).status, 200);
  const etag = (await get(url)).headers.get('etag')!;
  assert.equal((await del(url, { 'If-Match': `"x", ${etag}` })).status, 204);
  assert.equal((await del(url, { 'If-Match': '*' })).status, 412);
  assert.equal((await put(url, { name: 'Ada' }, { 'If-Match': etag })).status, 412);
});

test('a write that If-None-Match forbids is a 412 that says by which of the two it failed, and changes nothing', async () => {
  const { url, headers } = await create();
  const etag = headers.get('etag')!;
  const before = await lastSeq();
  for (const list of ['*', etag, `W/${etag}`, `"x", ${etag}`]) {
    for (const refused of [
      await put(url, { name: 'Lost update' }, { 'If-None-Match': list }),
      await patch(url, { name: 'Lost update' }, { 'If-None-Match': list }),
      await del(url, { 'If-None-Match': list }),
    ]) {
      assert.equal(refused.status, 412);
      assert.match(refused.body.detail, /If-None-Match says it must not be/);
    }
  }
  const both = await put(url, { name: 'x' }, { 'If-Match': etag, 'If-None-Match': etag });
  assert.match(both.body.detail, /not what If-Match and If-None-Match ask for/);
  const stale = await put(url, { name: 'x' }, { 'If-Match': '"stale"' });
  assert.match(stale.body.detail, /was changed meanwhile/);
  assert.equal(await lastSeq(), before);
  assert.equal((await patch(url, { name: 'Ada King' }, { 'If-None-Match': '"x"' })).status, 200);
});

test('of two concurrent changes with the same If-Match exactly one wins', async () => {
  const { url, headers } = await create();
  const match = { 'If-Match': headers.get('etag')! };
  const answers = await Promise.all(['a', 'b', 'c', 'd'].map((name) => put(url, { name }, match)));
  assert.deepEqual(answers.map((answer) => answer.status).sort(), [200, 412, 412, 412]);
});

test('If-Match holds for a read too: it is 412 unless it names the current ETag', async () => {
  const { url, headers } = await create();
  const etag = headers.get('etag')!;
  for (const match of [etag, '*', `"x", ${etag}`])
    assert.equal((await get(url, { 'If-Match': match })).status, 200, match);
  for (const match of ['"x"', `W/${etag}`, ''])
    assert.equal((await get(url, { 'If-Match': match })).status, 412, match);
  for (const path of ['/', '/openapi.json'])
    assert.equal((await get(`${server.url}${path}`, { 'If-Match': '"x"' })).status, 412, path);
});

test('a malformed If-Match is a 400', async () => {
  const { url } = await create();
  assert.equal((await del(url, { 'If-Match': 'unquoted' })).status, 400);
  assert.equal((await get(url)).status, 200);
});

test('reading a long If-Match takes time in proportion to its length', async () => {
  const { parseEtagList } = await import('../../lib/etag.ts');
  const milliseconds = (commas: number) => {
    const startedAt = performance.now();
    assert.throws(() => parseEtagList(`"a"${','.repeat(commas)}x`, 'If-Match'), /entity tags/);
    return performance.now() - startedAt;
  };
  const short = milliseconds(15_000);
  const long = milliseconds(150_000); // 100 times as long, were it quadratic: some 10 s
  assert.ok(long < 20 * short + 500, `${short} ms and ${long} ms`);
});

test('every bad field is named, unknown ones too, and nothing is written', async () => {
  const before = await lastSeq();
  assertRefused(await post(customers, {}), ['#/name']);
  assertRefused(await post(customers, { name: '  ', email: 'nobody', extra: 1 }), [
    '#/name',
    '#/email',
    '#/extra',
  ]);
  assertRefused(await post(customers, { name: 7, email: 7 }), ['#/name', '#/email']);
  assertRefused(await post(customers, { name: 'Ada', 'a/b~c d': 1 }), ['#/a~1b~0c%20d']);
  for (const body of [[], 'text', 7, null, true])
    assertRefused(await post(customers, JSON.stringify(body)), ['#']);
  assert.equal(await lastSeq(), before);
});

test('emails need something on both sides of one @, and no white space', async () => {
  for (const email of [
    '',
    '@',
    'a@',
    '@b',
    'a b@c',
    'a@b@c',
    'a@b c',
    'a\u00a0b@c',
    `${'a'.repeat(253)}@b`,
  ]) {
    assertRefused(await post(customers, { name: 'Ada', email }), ['#/email']);
  }
  for (const email of ['a@b', `${'a'.repeat(252)}@b`, 'ä@ö.example']) {
    assert.equal((await create({ name: 'Ada', email })).body.email, email);
  }
});

test('lengths count code points; control characters and lone surrogates are refused', async () => {
  assert.equal((await create({ name: '🔔'.repeat(200) })).body.name, '🔔'.repeat(200));
  assertRefused(await post(customers, { name: '🔔'.repeat(201) }), ['#/name']);
  assert.equal((await create({ name: 'x'.repeat(200) })).body.name.length, 200);
  assertRefused(await post(customers, { name: 'x'.repeat(201) }), ['#/name']);
  for (const name of ['a\u0000b', 'a\nb', 'a\u0085b', 'a\u007fb'])
    assertRefused(await post(customers, { name }), ['#/name']);
  assertRefused(await post(customers, '{"name":"a\\ud800b"}'), ['#/name']);
  assertRefused(await post(customers, '{"name":"Ada","email":"a@\\udc00b"}'), ['#/email']);
});

test('text comes back exactly as it was sent', async () => {
  const client = await connect(server.wsUrl);
  for (const name of [
    'Ünï côdé',
    '日本語',
    "Robert'); DROP TABLE customers;--",
    '<b>"\\',
    '👩‍👩‍👧',
    'e\u0301',
    'x\u2028y',
  ]) {
    const sent = name.trim();
    const { url } = await create({ name: sent });
    assert.equal((await get(url)).body.name, sent);
    assert.equal((await client.nextEvent()).data.name, sent);
  }
  await client.close();
});

test('id, createdAt and updatedAt in a body are ignored, so that what was read can be sent back', async () => {
  const { url, body } = await create();
  const answer = await put(url, { ...body, id: 999_999, name: 'Ada King' });
  assert.deepEqual([answer.status, answer.body.id, answer.body.createdAt], [200, body.id, body.createdAt]);
});

test('an id that is no plain positive integer is a 404', async () => {
  for (const id of [
    '0',
    '-1',
    '1.0',
    '01',
    '1e0',
    'abc',
    '+1',
    '%31x',
    '9007199254740993',
    '99999999999999999999',
  ]) {
    assert.equal((await get(`${customers}/${id}`)).status, 404, id);
  }
  const { url } = await create();
  assert.equal((await get(`${url}/`)).status, 404);
  assert.equal((await get(`${customers}/`)).status, 404);
});

test('pages follow each other by next, in ascending id, until next is null', async () => {
  for (let i = 0; i < 5; i++) await create();
  const all = (await get(`${customers}?limit=500`)).body;
  assert.equal(all.next, null);
  const ids: number[] = [];
  let page = await get(`${customers}?limit=2`);
  for (;;) {
    assert.equal(page.status, 200);
    assert.ok(page.body.customers.length <= 2);
    ids.push(...page.body.customers.map((customer: { id: number }) => customer.id));
    if (page.body.next === null) break;
    page = await get(new URL(page.body.next, server.url).href);
  }
  assert.deepEqual(
    ids,
    all.customers.map((customer: { id: number }) => customer.id),
  );
  assert.deepEqual(
    ids,
    ids.toSorted((a, b) => a - b),
  );
  assert.ok(ids.length >= 5);
});

test('a page that is exactly full and the last has no next', async () => {
  const { body } = await create();
  const answer = await get(`${customers}?limit=1&after=${body.id - 1}`);
  assert.deepEqual([answer.body.customers.length, answer.body.next], [1, null]);
});

test('a limit or an after that is malformed or out of range is a 400', async () => {
  for (const query of ['limit=0', 'limit=501', 'limit=x', 'limit=', 'limit=1.5', 'after=-1', 'after=x']) {
    assert.equal((await get(`${customers}?${query}`)).status, 400, query);
  }
});

test('a stream resumed from the lastEventId of a list continues that very snapshot', async () => {
  const rows = new Map<number, string>();
  let isWriting = true;
  const writer = (async () => {
    while (isWriting) {
      const { url } = await create();
      await patch(url, { name: 'Changed' });
      if (Math.random() < 0.5) await del(url);
    }
  })();
  const list = (await get(`${customers}?limit=500`)).body;
  for (const customer of list.customers) rows.set(customer.id, JSON.stringify(customer));
  const client = await connect(server.wsUrl, { query: { lastEventId: list.lastEventId } });
  for (let i = 0; i < 30; i++) await client.nextEvent();
  isWriting = false;
  await writer;
  const final = (await get(`${customers}?limit=500`)).body;
  if (client.events().at(-1)!.id !== final.lastEventId) await client.event(final.lastEventId);
  for (const event of client.events()) {
    if (event.type === 'customer.deleted') rows.delete(event.data.id);
    else rows.set(event.data.id, JSON.stringify(event.data));
  }
  const expected = final.customers.map((customer: object) => JSON.stringify(customer));
  assert.deepEqual(
    [...rows.entries()].sort(([a], [b]) => a - b).map(([, json]) => json),
    expected,
  );
  await client.close();
});

test('a POST repeated with its Idempotency-Key gets the first answer again and creates nothing', async () => {
  const key = { 'Idempotency-Key': 'order-1' };
  const first = await post(customers, { name: 'Once' }, key);
  const before = await lastSeq();
  const again = await post(customers, { name: 'Once' }, key);
  assert.deepEqual([again.status, again.body], [201, first.body]);
  assert.equal(first.headers.get('idempotency-replayed'), null);
  assert.equal(again.headers.get('idempotency-replayed'), 'true');
  assert.equal(again.headers.get('location'), first.headers.get('location'));
  assert.equal(again.headers.get('etag'), first.headers.get('etag'));
  assert.equal(await lastSeq(), before);
});

test('concurrent POSTs with one Idempotency-Key create one customer', async () => {
  const key = { 'Idempotency-Key': 'stampede' };
  const answers = await Promise.all(Array.from({ length: 10 }, () => post(customers, { name: 'One' }, key)));
  assert.equal(new Set(answers.map((answer) => answer.text)).size, 1);
  for (const answer of answers) assert.equal(answer.status, 201);
});

test('an Idempotency-Key with another body, or on another path, is a 422', async () => {
  const key = { 'Idempotency-Key': 'taken' };
  assert.equal((await post(customers, { name: 'First' }, key)).status, 201);
  assert.equal((await post(customers, { name: 'Second' }, key)).status, 422);
  assert.equal((await post(`${server.url}/api/events`, { name: 'First' }, key)).status, 422);
  const event = { 'Idempotency-Key': 'taken-2' };
  assert.equal((await post(`${server.url}/api/events`, { message: 'x' }, event)).status, 201);
  assert.equal((await post(customers, { message: 'x' }, event)).status, 422);
});

test('a refused request leaves its Idempotency-Key free', async () => {
  const key = { 'Idempotency-Key': 'second-try' };
  assert.equal((await post(customers, { name: '' }, key)).status, 422);
  assert.equal((await post(customers, { name: 'Ada' }, key)).status, 201);
});

test('an Idempotency-Key that is empty, too long or not visible characters is a 400', async () => {
  for (const key of ['', 'x'.repeat(256), 'a b', 'é']) {
    assert.equal((await post(customers, { name: 'Ada' }, { 'Idempotency-Key': key })).status, 400, key);
  }
  assert.equal((await post(customers, { name: 'Ada' }, { 'Idempotency-Key': 'x'.repeat(255) })).status, 201);
});

test('an Idempotency-Key is remembered through a restart', async () => {
  const key = { 'Idempotency-Key': 'survivor' };
  const first = await openServer();
  const made = await post(`${first.url}/api/customers`, { name: 'Ada' }, key);
  await first.stop();
  const second = await openServer({ DATABASE_URL: first.databaseFile });
  const again = await post(`${second.url}/api/customers`, { name: 'Ada' }, key);
  assert.deepEqual([again.status, again.body], [201, made.body]);
  assert.equal(again.headers.get('idempotency-replayed'), 'true');
  assert.equal((await get(`${second.url}/api/customers`)).body.customers.length, 1);
  await second.stop();
});
