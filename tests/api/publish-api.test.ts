// Publishing: our own short form, lists, and CloudEvents in the three modes of their HTTP binding.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CloudEvent, HTTP } from 'cloudevents';
import { connect, get, post } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';

let server: OpenServer;
let url: string;
before(async () => {
  server = await openServer();
  url = `${server.url}/api/events`;
});
after(() => server?.stop());

const STRUCTURED = { 'Content-Type': 'application/cloudevents+json' };
const BATCH = { 'Content-Type': 'application/cloudevents-batch+json' };
let names = 0;
/** A CloudEvent that nobody has published yet. */
const cloudEvent = (fields: object = {}) => ({
  specversion: '1.0',
  id: `id-${++names}`,
  source: '/shop',
  type: 'order.shipped',
  data: { order: 7 },
  ...fields,
});
/** What was stored last, as a reader gets it. */
const newest = async (count: number) => (await get(`${url}?limit=1000`)).body.events.slice(-count);

test('a list is stored in its order, in one transaction, and answered as a list', async () => {
  const client = await connect(server.wsUrl);
  const { status, body, headers } = await post(url, [
    { data: 1 },
    { message: 'two' },
    { type: 'a.b', source: '/x', data: 3 },
  ]);
  assert.equal(status, 201);
  assert.deepEqual(
    body.map(({ type, source, data }: { type: string; source: string; data: unknown }) => [
      type,
      source,
      data,
    ]),
    [
      ['notification', '/api/events', 1],
      ['notification', '/api/events', { message: 'two' }],
      ['a.b', '/x', 3],
    ],
  );
  assert.equal(headers.get('last-event-id'), body[2].id);
  for (const event of body) assert.deepEqual(await client.nextEvent(), event);
  assert.deepEqual(await newest(3), body);
  await client.close();
});

test('of a list with bad events every fault is named with its place, and nothing is stored', async () => {
  const before = (await get(`${server.url}/healthz`)).body.lastEventId;
  const answer = await post(url, [{ data: 1 }, { type: 'Upper' }, 7, { source: 'white space', extra: 1 }]);
  assert.equal(answer.status, 422);
  assert.deepEqual(
    answer.body.errors.map(({ pointer }: { pointer: string }) => pointer),
    ['#/1/type', '#/2', '#/3/source', '#/3/extra'],
  );
  for (const list of [[], Array(1001).fill({ data: 1 })]) assert.equal((await post(url, list)).status, 422);
  assert.equal((await get(`${server.url}/healthz`)).body.lastEventId, before);
});

test('a list with an Idempotency-Key is stored once', async () => {
  const headers = { 'Idempotency-Key': 'a-list' };
  const first = await post(url, [{ data: 1 }, { data: 2 }], headers);
  const again = await post(url, [{ data: 1 }, { data: 2 }], headers);
  assert.deepEqual([again.status, again.body], [201, first.body]);
  assert.equal(again.headers.get('idempotency-replayed'), 'true');
  assert.equal(again.headers.get('last-event-id'), first.headers.get('last-event-id'));
  assert.equal((await post(url, [{ data: 2 }], headers)).status, 422);
});

test('a CloudEvent in structured mode keeps its attributes; its id becomes ours and stands in originid', async () => {
  const sent = cloudEvent({
    time: '2026-11-23T10:00:00+01:00',
    subject: 'order 7',
    datacontenttype: 'application/json',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    urgent: true,
    attempt: 2,
    left: null,
  });
  const { status, body } = await post(url, sent, STRUCTURED);
  const { id, left, ...kept } = sent as typeof sent & { left: null };
  assert.equal(status, 201);
  assert.match(body.id, /^[0-9a-f]{8,}-\d+$/);
  assert.deepEqual(body, { ...kept, id: body.id, originid: id });
  assert.deepEqual(await newest(1), [body]);
});

test('a CloudEvent in binary mode is the same event, with its headers percent-decoded', async () => {
  const { data, ...attributes } = cloudEvent({ subject: 'Zürich 100%' });
  const headers = Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [
      `ce-${name}`,
      encodeURIComponent(value).replaceAll('%2F', '/'),
    ]),
  );
  const { status, body } = await post(url, data, headers);
  assert.equal(status, 201);
  assert.deepEqual(
    [body.type, body.source, body.subject, body.data, body.originid, body.datacontenttype],
    ['order.shipped', '/shop', 'Zürich 100%', data, attributes.id, 'application/json'],
  );
  const quoted = await post(url, data, { ...headers, 'ce-id': 'quoted', 'ce-subject': '"50%25 \\"off\\""' });
  assert.equal(quoted.body.subject, '50% "off"', 'as older senders wrote it');
  const empty = await fetch(url, { method: 'POST', headers: { ...headers, 'ce-id': 'no-data' } });
  assert.deepEqual([empty.status, (await empty.json()).data], [201, null]);
  const inHeader = { ...headers, 'ce-id': 'data-as-header', 'ce-data': 'hello' };
  assert.equal((await fetch(url, { method: 'POST', headers: inHeader })).status, 400);
  const inLatin1 = await post(url, data, { ...headers, 'ce-id': 'latin1', 'ce-subject': 'Zürich' });
  assert.equal(inLatin1.status, 400, 'what is not escaped would be stored as other characters');
  const odd = await post(url, data, { ...headers, 'ce-id': 'odd', 'ce-__proto__': 'x' });
  assert.deepEqual([odd.status, odd.body.errors[0].pointer], [422, '#/__proto__']);
  const { 'ce-id': _, ...nameless } = headers;
  const refused = await post(url, data, nameless);
  assert.deepEqual([refused.status, refused.body.errors[0].pointer], [422, '#/id']);
  assert.equal((await post(url, '<xml/>', { ...headers, 'Content-Type': 'text/xml' })).status, 415);
});

test('what the CloudEvents SDK sends is taken, in structured and in binary mode', async () => {
  const event = new CloudEvent({ source: '/sdk', type: 'sdk.sent', data: { n: 1 }, partitionkey: 'a' });
  for (const [i, message] of [HTTP.structured(event), HTTP.binary(event)].entries()) {
    const answer = await fetch(url, {
      method: 'POST',
      headers: message.headers as Record<string, string>,
      body: message.body as string,
    });
    const body = await answer.json();
    assert.deepEqual(
      [answer.status, body.originid, body.partitionkey, body.data],
      [201, event.id, 'a', { n: 1 }],
      `mode ${i}`,
    );
  }
});

test('source and id of a CloudEvent are its key: a repeat is stored once, also in a batch beside new ones', async () => {
  const [one, two, three] = [cloudEvent(), cloudEvent(), cloudEvent()];
  const first = await post(url, one, STRUCTURED);
  const again = await post(url, one, STRUCTURED);
  assert.deepEqual(
    [again.status, again.body, again.headers.get('idempotency-replayed')],
    [201, first.body, 'true'],
  );
  const batch = await post(url, [two, one, three, two], BATCH);
  assert.equal(batch.status, 201);
  assert.deepEqual(
    batch.body.map(({ originid }: { originid: string }) => originid),
    [two.id, one.id, three.id, two.id],
  );
  assert.deepEqual(batch.body[1], first.body);
  assert.deepEqual(batch.body[3], batch.body[0]);
  const changed = await post(url, [cloudEvent(), { ...one, data: 'other' }], BATCH);
  assert.deepEqual([changed.status, changed.body.errors[0].pointer], [422, '#/1']);
  const alone = await post(url, { ...one, data: 'other' }, STRUCTURED);
  assert.deepEqual([alone.status, alone.body.errors[0].pointer], [422, '#']);
  assert.deepEqual(await newest(2), [batch.body[0], batch.body[2]], 'nothing of the refused batch is stored');
});

test('what is wrong with a CloudEvent is named', async () => {
  const cases: [object, string][] = [
    [{ specversion: '0.3' }, '#/specversion'],
    [{ id: '' }, '#/id'],
    [{ source: undefined }, '#/source'],
    [{ type: 'stream.ready' }, '#/type'],
    [{ time: 'yesterday' }, '#/time'],
    [{ time: '2026-13-01T00:00:00Z' }, '#/time'],
    [{ time: '2026-02-30T00:00:00Z' }, '#/time'],
    [{ time: '2026-01-01T24:00:00Z' }, '#/time'],
    [{ subject: '' }, '#/subject'],
    [{ datacontenttype: 'text/xml' }, '#/datacontenttype'],
    [{ data: undefined, data_base64: 'AA==' }, '#/data_base64'],
    [{ Upper: 'x' }, '#/Upper'],
    [{ extension: { a: 1 } }, '#/extension'],
    [{ extension: 2 ** 31 }, '#/extension'],
    [{ extension: 1.5 }, '#/extension'],
  ];
  for (const [fields, pointer] of cases) {
    const { status, body } = await post(url, cloudEvent(fields), STRUCTURED);
    assert.deepEqual([status, body.errors?.[0]?.pointer], [422, pointer], JSON.stringify(fields));
  }
  for (const extension of [2 ** 31 - 1, -(2 ** 31)])
    assert.equal((await post(url, cloudEvent({ extension }), STRUCTURED)).body.extension, extension);
  assert.equal((await post(url, [cloudEvent()], STRUCTURED)).status, 422);
  assert.equal((await post(url, cloudEvent(), BATCH)).status, 422);
});

test('what triggers write nobody can publish', async () => {
  for (const change of ['created', 'updated', 'deleted']) {
    const type = `customer.${change}`;
    assert.equal((await post(url, { type })).status, 422, type);
    assert.equal((await post(url, cloudEvent({ type }), STRUCTURED)).status, 422, type);
  }
  assert.equal((await post(url, { type: 'customer.called' })).status, 201);
});

test('that a table must be loaded again nobody can publish: it would pass tokens of a single row', async () => {
  for (const source of ['/watch/orders/*', '/api/customers/*']) {
    const event = { type: 'chat.reset', source };
    for (const { status, body } of [
      await post(url, event),
      await post(url, [{ message: 'fine' }, event]),
      await post(url, cloudEvent(event), STRUCTURED),
    ])
      assert.deepEqual([status, body.errors?.[0]?.pointer.replace('/1/', '/')], [422, '#/source'], source);
  }
  for (const event of [
    { type: 'chat.reset', source: '/watch/orders/7' },
    { type: 'chat.said', source: '/watch/orders/*' },
    { type: 'chat.reset', source: '/rooms/*' },
  ])
    assert.equal((await post(url, event)).status, 201, JSON.stringify(event));
});
