// Plain HTTP on the event log: any program publishes with a POST, and reads what it missed with a GET
// and a cursor. The same ids as on the streams, and the same answers to a cursor that is no good.
import assert from 'node:assert/strict';
import { connect as connectSocket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect, get, post, range, seqOf, seqsOf, within } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';
import { head } from '../support/raw-http.ts';

const server = await openServer();
const events = `${server.url}/api/events`;

const publish = async (body: unknown) => {
  const answer = await post(events, body);
  assert.equal(answer.status, 201, answer.text);
  return answer.body;
};
const pointersOf = (body: { errors: { pointer: string }[] }) =>
  body.errors.map((error) => error.pointer).sort();

test('a message becomes a notification that every client gets', async () => {
  const client = await connect(server.wsUrl);
  const event = await publish({ message: 'Hello, all' });
  assert.deepEqual(
    [event.type, event.source, event.data],
    ['notification', '/api/events', { message: 'Hello, all' }],
  );
  assert.equal(event.specversion, '1.0');
  assert.match(event.id, /^[0-9a-f]{6,}-\d+$/);
  assert.match(event.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(await client.nextEvent(), event);
  await client.close();
});

test('type, source and data are stored as given, any JSON, and data is null when absent', async () => {
  const event = await publish({
    type: 'order.shipped',
    source: '/shop/orders/7',
    data: { deep: [1, 'ä', null] },
  });
  assert.deepEqual(
    [event.type, event.source, event.data],
    ['order.shipped', '/shop/orders/7', { deep: [1, 'ä', null] }],
  );
  for (const data of [0, -1.5, 'text', '', true, false, null, [], {}, { '': 0 }, '\u2028\n\r\0']) {
    assert.deepEqual((await publish({ data })).data, data);
  }
  const bare = await publish({});
  assert.deepEqual([bare.type, bare.source, bare.data], ['notification', '/api/events', null]);
});

test('every bad field of an event is named', async () => {
  const cases: [unknown, string[]][] = [
    [{ type: 'Upper' }, ['#/type']],
    [{ type: '' }, ['#/type']],
    [{ type: '1st' }, ['#/type']],
    [{ type: 'a'.repeat(101) }, ['#/type']],
    [{ type: 'stream.ready' }, ['#/type']],
    [{ type: 7, source: 7 }, ['#/type', '#/source']],
    [{ source: 'has space' }, ['#/source']],
    [{ source: '' }, ['#/source']],
    [{ source: `/${'a'.repeat(200)}` }, ['#/source']],
    [{ extra: 1, more: 2 }, ['#/extra', '#/more']],
    [{ message: '' }, ['#/message']],
    [{ message: 'x'.repeat(1001) }, ['#/message']],
    [{ message: 7 }, ['#/message']],
    [{ message: 'x', type: 'a' }, ['#/type']],
    [[], ['#']],
  ];
  for (const [body, pointers] of cases) {
    const answer = await post(events, JSON.stringify(body));
    assert.equal(answer.status, 422, JSON.stringify(body));
    assert.deepEqual(pointersOf(answer.body), pointers.sort());
  }
  assert.equal((await post(events, { type: 'a'.repeat(100), source: `/${'a'.repeat(199)}` })).status, 201);
  assert.equal((await post(events, { message: '🔔'.repeat(1000) })).status, 201);
});

test('a source is a URI reference by the letter of RFC 3986, or a 422', async () => {
  const good = [
    ...[
      '/',
      '/a//b',
      'a/b:c',
      '?a=/?',
      '#/x?y',
      '//',
      '///x',
      '//host',
      '//u:p@h.example:80/x',
      'http://[::1]:5000/x',
    ],
    ...[
      'https://[v7.a:b]/',
      'urn:uuid:6e8bc430',
      'mailto:a@b.example',
      'a:',
      'http://h:/',
      '/%C3%A4',
      "/(a)!$&'*+,;=~",
    ],
  ];
  const stored = await publish(good.map((source) => ({ source })));
  assert.deepEqual(
    stored.map(({ source }: { source: string }) => source),
    good,
  );
  const bad = [
    ...[
      'http://[',
      'http://]',
      '/[1]',
      'a?[',
      '#[]',
      'http://[::1',
      'http://[1::2::3]/',
      'http://[127.0.0.1]/',
      'x[]:',
    ],
    ...[
      '1:b',
      ':',
      'a b',
      'ä',
      '/%4',
      '/%zz',
      '#a#b',
      '//h:a/',
      '//a@b@c/',
      'http://h:80:80/',
      '//[::1]x/',
      '/a\\b',
    ],
  ];
  const answer = await post(
    events,
    bad.map((source) => ({ source })),
  );
  assert.equal(answer.status, 422);
  assert.deepEqual(
    answer.body.errors.map(({ pointer }: { pointer: string }) => bad[Number(pointer.split('/')[1])]),
    bad,
  );
});

test('data nested 64 deep is stored, and 65 deep is refused', async () => {
  const nested = (depth: number) => `{"data":${'['.repeat(depth)}${']'.repeat(depth)}}`;
  assert.equal((await post(events, nested(64))).status, 201);
  assert.deepEqual(pointersOf((await post(events, nested(65))).body), ['#/data']);
  assert.equal((await post(events, nested(20_000))).status, 422);
});

test('a number that JavaScript cannot hold is refused instead of becoming null', async () => {
  for (const data of ['1e400', '{"deep":[-1e999]}']) {
    assert.deepEqual(pointersOf((await post(events, `{"data":${data}}`)).body), ['#/data']);
  }
});

test('a repeat with the same Idempotency-Key is answered with the same event', async () => {
  const key = { 'Idempotency-Key': 'ring-1' };
  const first = await post(events, { message: 'once' }, key);
  const again = await post(events, { message: 'once' }, key);
  assert.deepEqual([again.status, again.body], [201, first.body]);
  assert.equal(again.headers.get('idempotency-replayed'), 'true');
});

test('catching up is strictly after the cursor, oldest first, each event once', async () => {
  const start = await publish({ data: 'start' });
  for (let i = 1; i <= 5; i++) await publish({ data: i });
  const first = (await get(`${events}?lastEventId=${start.id}&limit=3`)).body;
  assert.deepEqual(
    first.events.map((event: { data: number }) => event.data),
    [1, 2, 3],
  );
  assert.equal(first.more, true);
  assert.equal(first.lastEventId, first.events[2].id);
  const second = (await get(`${events}?lastEventId=${first.lastEventId}`)).body;
  assert.deepEqual(
    second.events.map((event: { data: number }) => event.data),
    [4, 5],
  );
  assert.equal(second.more, false);
  const third = (await get(`${events}?lastEventId=${second.lastEventId}`)).body;
  assert.deepEqual(third, { events: [], lastEventId: second.lastEventId, more: false });
});

test('more is false when a full page is the last one', async () => {
  const start = await publish({});
  await publish({});
  const answer = (await get(`${events}?lastEventId=${start.id}&limit=1`)).body;
  assert.deepEqual([answer.events.length, answer.more], [1, false]);
});

test('without a cursor reading begins at the oldest event, and sequence has no gaps', async () => {
  const answer = (await get(`${events}?limit=1000`)).body;
  assert.equal(seqOf(answer.events[0].id), 1);
  assert.deepEqual(
    seqsOf(answer.events),
    answer.events.map((_: unknown, index: number) => index + 1),
  );
});

test('types hides the others, but lastEventId is the position up to which was read', async () => {
  const start = await publish({});
  const shipped = await publish({ type: 'order.shipped' });
  const exact = await publish({ type: 'order' });
  await publish({ type: 'orders.shipped' });
  const last = await publish({ type: 'other' });
  const url = (types: string) => `${events}?lastEventId=${start.id}&types=${encodeURIComponent(types)}`;
  const prefix = (await get(url('order.*'))).body;
  assert.deepEqual(prefix.events, [shipped]);
  assert.equal(prefix.lastEventId, last.id);
  const both = (await get(url('order.*,order'))).body;
  assert.deepEqual(both.events, [shipped, exact]);
  const none = (await get(url('nothing.here'))).body;
  assert.deepEqual(none, { events: [], lastEventId: last.id, more: false });
});

test('a filtered walk by limit and lastEventId meets every event of that type', async () => {
  const start = await publish({});
  for (let i = 0; i < 30; i++) await publish({ type: i % 7 === 0 ? 'rare' : 'common', data: i });
  const found: number[] = [];
  let page = { lastEventId: start.id, more: true, events: [] as { data: number }[] };
  for (let round = 0; page.more && round < 100; round++) {
    page = (await get(`${events}?lastEventId=${page.lastEventId}&types=rare&limit=2`)).body;
    found.push(...page.events.map((event) => event.data));
  }
  assert.deepEqual(found, [0, 7, 14, 21, 28]);
});

test('a filter may hide thousands of events: one request looks past them for what it lets through', async () => {
  const start = await publish({});
  for (const _ of range(1, 3)) await publish(range(1, 1000).map((data) => ({ type: 'common', data })));
  const rare = await publish({ type: 'rare' });
  const page = (await get(`${events}?lastEventId=${start.id}&types=rare`)).body;
  assert.deepEqual(page, { events: [rare], lastEventId: rare.id, more: false });
});

test('who has found half a page behind a filter is answered, since thousands who look for more would hold much', async () => {
  const start = await publish({});
  const list = range(1, 1000).map((n) => (n % 10 === 0 ? { type: 'tenth', data: 'x'.repeat(500) } : {}));
  for (const _ of range(1, 3)) await publish(list);
  const counts: number[] = [];
  let page = { lastEventId: start.id, more: true, events: [] as unknown[] };
  while (page.more) {
    page = (await get(`${events}?lastEventId=${page.lastEventId}&types=tenth&limit=1000`)).body;
    counts.push(page.events.length);
  }
  assert.deepEqual(counts, [100, 100, 100]);
});

describe('in a log of 11,000 events that a filter hides', () => {
  let busy: OpenServer;
  before(async () => {
    busy = await openServer();
    const common = range(1, 1000).map(() => ({ type: 'common' }));
    for (const _ of range(1, 11)) await post(`${busy.url}/api/events`, common);
  });
  after(() => busy.stop());

  test('a search in vain ends at a bound and says that there is more, and goes on from there to the end', async () => {
    const url = `${busy.url}/api/events?types=rare`;
    const first = (await get(url)).body;
    assert.deepEqual([first.events, first.more], [[], true]);
    assert.ok(seqOf(first.lastEventId) >= 10_000 && seqOf(first.lastEventId) < 11_000, first.lastEventId);
    const second = (await get(`${url}&lastEventId=${first.lastEventId}`)).body;
    assert.deepEqual([second.events, second.more, seqOf(second.lastEventId)], [[], false, 11_000]);
  });

  test('who breaks off while it is searched for them is forgotten, and holds nobody up', async () => {
    for (const count of range(1, 6)) {
      const callers = range(1, 12).map(() => connectSocket(Number(new URL(busy.url).port), '127.0.0.1'));
      for (const caller of callers) {
        caller.on('error', () => {});
        caller.write(head('GET /api/events?types=rare', 'Prefer: wait=60\r\n'));
      }
      // So long each time that some are in the middle of their search, and no two times alike.
      for (const _ of range(1, count)) await get(`${busy.url}/healthz`);
      for (const caller of callers) caller.resetAndDestroy();
      await within(get(`${busy.url}/healthz`), 'an answer after they have broken off');
    }
  });
});

test('a malformed cursor, limit or type filter is a 400 with a problem', async () => {
  const queries = [
    'lastEventId=x',
    'lastEventId=',
    'lastEventId=abc-1',
    'limit=0',
    'limit=1001',
    'limit=ten',
    'types=',
    'types=*',
    'types=a,,b',
  ];
  for (const query of queries) {
    const answer = await get(`${events}?${query}`);
    assert.equal(answer.status, 400, query);
    assert.match(answer.headers.get('content-type')!, /^application\/problem\+json/);
  }
});

test('a parameter that can never be right is a 400 for a page and for a stream alike', async () => {
  for (const Accept of ['application/json', 'text/event-stream']) {
    for (const query of ['limit=0', 'limit=many', 'conflate=type', 'conflate=', 'limit=1&limit=2'])
      assert.equal((await get(`${events}?${query}`, { Accept })).status, 400, `?${query} as ${Accept}`);
  }
  const page = await get(`${events}?conflate=source&limit=1`);
  assert.equal(page.status, 200, 'what only the other form heeds is no mistake');
});

test('a cursor of another log, or ahead of this one, is 410 with the reason and the newest id', async () => {
  const { id } = await publish({});
  const log = id.slice(0, id.lastIndexOf('-'));
  for (const [cursor, reason] of [
    ['abcdef012345-1', 'unknown-log'],
    [`${log}-${seqOf(id) + 1000}`, 'ahead'],
  ]) {
    const answer = await get(`${events}?lastEventId=${cursor}`);
    assert.equal(answer.status, 410);
    assert.match(answer.headers.get('content-type')!, /^application\/problem\+json/);
    assert.deepEqual([answer.body.reason, answer.body.lastEventId], [reason, id]);
  }
});

test('a cursor older than what EVENT_RETENTION keeps is 410 expired; the oldest kept can be continued', async () => {
  const small = await openServer({ EVENT_RETENTION: '20' });
  const url = `${small.url}/api/events`;
  const sent = [];
  for (let i = 0; i < 200; i++) sent.push((await post(url, { data: i })).body);
  const [first] = sent;
  const answer = await get(`${url}?lastEventId=${first.id}`);
  assert.deepEqual([answer.status, answer.body.reason], [410, 'expired']);
  const kept = (await get(`${url}?limit=1000`)).body;
  assert.equal(kept.events.at(-1).data, 199);
  assert.ok(kept.events.length >= 20 && kept.events.length < 200, String(kept.events.length));
  const oldest = kept.events[0];
  const newestGone = sent.at(-kept.events.length - 1);
  const atEdge = await get(`${url}?limit=1&lastEventId=${newestGone.id}`);
  assert.deepEqual([atEdge.status, atEdge.body.events[0]], [200, oldest]);
  const reset = await connect(small.wsUrl, { query: { lastEventId: first.id } });
  const frame = await reset.next();
  assert.deepEqual(
    [frame.type, frame.data, frame.id],
    ['stream.reset', { reason: 'expired' }, kept.lastEventId],
  );
  await reset.close();
  await small.stop();
});

test('from says where to begin, but not beside a cursor', async () => {
  const { id } = await publish({});
  assert.deepEqual((await get(`${events}?from=latest`)).body, { events: [], lastEventId: id, more: false });
  assert.equal(seqOf((await get(`${events}?from=earliest&limit=1`)).body.events[0].id), 1);
  assert.equal((await get(`${events}?from=latest&lastEventId=${id}`)).status, 400);
});

test('any time of RFC 3339 is a place to begin, also one from before computers and one that is far away', async () => {
  await publish({});
  for (const [time, first] of [
    ['1815-12-10T00:00:00Z', 1],
    ['0000-01-01T00:00:00%2B23:59', 1],
    ['9999-12-31T23:59:59-23:59', undefined],
  ]) {
    const { status, body } = await get(`${events}?from=${time}&limit=1`);
    assert.deepEqual([status, body.events[0] && seqOf(body.events[0].id)], [200, first], `${time}`);
  }
});

test('Prefer: wait holds an empty answer back until there is an event that the filter lets through', async () => {
  const { id } = await publish({});
  const waiting = get(`${events}?lastEventId=${id}&types=rung`, { Prefer: 'respond-async, wait=30' });
  let isAnswered = false;
  void waiting.then(() => {
    isAnswered = true;
  });
  await publish({ type: 'other' });
  await get(`${events}?limit=1`);
  assert.equal(isAnswered, false);
  const rung = await publish({ type: 'rung' });
  const answer = await waiting;
  assert.deepEqual(answer.body, { events: [rung], lastEventId: rung.id, more: false });
  assert.equal(answer.headers.get('preference-applied'), 'wait=30');
  const inVain = await get(`${events}?lastEventId=${rung.id}`, { Prefer: 'wait=0' });
  assert.deepEqual(inVain.body.events, []);
});

test('a page that ends below the head may be kept by caches, and is known again by its tag; others are not', async () => {
  const start = await publish({});
  for (let i = 0; i < 3; i++) await publish({});
  const url = `${events}?lastEventId=${start.id}&limit=2`;
  const page = await get(url);
  assert.match(page.headers.get('cache-control')!, /^public, max-age=\d+$/);
  const again = await get(url, { 'If-None-Match': page.headers.get('etag')! });
  assert.deepEqual([again.status, again.text], [304, '']);
  const withToken = await get(url, { Authorization: 'Bearer any' });
  assert.match(withToken.headers.get('cache-control')!, /^private, /);
  for (const { headers } of [page, withToken])
    assert.match(
      headers.get('vary')!,
      /Origin.*Accept.*Authorization/,
      'no page for who comes with another token',
    );
  for (const query of [`lastEventId=${start.id}`, 'limit=1', 'from=earliest&limit=1'])
    assert.equal((await get(`${events}?${query}`)).headers.get('cache-control'), 'no-store', query);
});

test('a filter of more than 100 items is refused', async () => {
  const list = (count: number) => range(1, count).map((number) => `type-${number}`);
  assert.equal((await get(`${events}?types=${list(100)}`)).status, 200);
  assert.equal((await get(`${events}?types=${list(101)}`)).status, 400);
  assert.equal(
    (await get(`${events}?sources=/${'x'.repeat(190)},${list(100).map((item) => `/${item}`)}`)).status,
    400,
  );
});
