// An id, a cursor and the judgement on it; and an event as it goes over the wire. All of it without a database: what
// the log holds at a place is given.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  eventId,
  judgeCursor,
  onOneLine,
  parseCursor,
  parseTime,
  type StoredEvent,
  toCloudEvent,
} from '../lib/event.ts';
import { Problem } from '../lib/problem.ts';

const event = (fields: Partial<StoredEvent> = {}): StoredEvent => ({
  seq: 42,
  stamp: '9c41e2f0',
  type: 'order.shipped',
  source: '/shop/7',
  time: '2026-11-23T09:30:00.123Z',
  data: 'null',
  extensions: null,
  ...fields,
});

test('an id is read back as the place that it was made of', () => {
  for (const place of [
    { seq: 0, stamp: '00000000' },
    { seq: 42, stamp: '9c41e2f0' },
    { seq: Number.MAX_SAFE_INTEGER, stamp: 'f'.repeat(64) },
  ]) {
    assert.deepEqual(parseCursor(eventId(place)), place);
  }
});

test('no cursor is none, and what was never an id of ours is a 400', () => {
  for (const none of [null, undefined]) assert.equal(parseCursor(none), undefined);
  for (const bad of [
    '',
    '-',
    '42',
    'abcdef-',
    '-42',
    'abc-1',
    'ABCDEF01-1',
    'abcdef01-01',
    'abcdef01--1',
    'abcdef01-1.5',
    'abcdef01-1e3',
    'abcdef01-9007199254740992',
    ' abcdef01-1',
    'abcdef01-1\n',
    `${'a'.repeat(65)}-1`,
  ]) {
    assert.throws(
      () => parseCursor(bad),
      (error) => error instanceof Problem && error.status === 400,
      JSON.stringify(bad),
    );
  }
});

const position = { head: { seq: 100, stamp: 'aaaaaaaa' }, pruned: { seq: 10, stamp: 'bbbbbbbb' } };
const judge = (seq: number, stampThere: string | undefined, stamp = 'cccccccc') =>
  judgeCursor({ seq, stamp }, position, stampThere);

test('a cursor goes on where the log holds the very event that it names', () => {
  for (const seq of [11, 50, 99, 100]) assert.equal(judge(seq, 'cccccccc'), undefined, `at ${seq}`);
  assert.equal(judge(10, undefined, 'bbbbbbbb'), undefined, 'the newest that is not kept has left its stamp');
});

test('a cursor whose place holds another event is of an unknown log', () => {
  for (const seq of [10, 50, 100]) {
    assert.equal(judge(seq, 'dddddddd'), 'unknown-log', `at ${seq}`);
    assert.equal(judge(seq, undefined), 'unknown-log', `at ${seq}, where nothing is known`);
  }
});

test('a cursor is expired below what is kept, and ahead beyond the newest event, to the very position', () => {
  assert.equal(judge(9, undefined), 'expired');
  assert.equal(judge(0, undefined), 'expired');
  assert.equal(judge(101, undefined), 'ahead');
});

test('an event is a CloudEvent around the stored text of its data, to the byte', () => {
  const data = '{ "b": 1.50, "a": [] }';
  const json = toCloudEvent(event({ data }));
  assert.deepEqual(JSON.parse(json), {
    specversion: '1.0',
    id: '9c41e2f0-42',
    source: '/shop/7',
    type: 'order.shipped',
    time: '2026-11-23T09:30:00.123Z',
    data: { b: 1.5, a: [] },
  });
  assert.ok(json.includes(`"data":${data}`));
});

test('a source with quotes in it breaks no JSON', () => {
  assert.equal(JSON.parse(toCloudEvent(event({ source: '/a"b\\c' }))).source, '/a"b\\c');
});

test('further attributes stand beside the others', () => {
  const { subject, data, type } = JSON.parse(toCloudEvent(event({ extensions: '{"subject":"s","x":1}' })));
  assert.deepEqual([subject, data, type], ['s', null, 'order.shipped']);
});

test('line breaks between the tokens of JSON become blanks: they would end a line of an event stream', () => {
  const { data } = onOneLine(event({ data: '{\n "a":\r\n1}' }));
  assert.deepEqual(JSON.parse(data), { a: 1 });
  assert.doesNotMatch(data, /[\r\n]/);
});

test('a time may be a leap second, which RFC 3339 has and the clocks of computers have not', () => {
  assert.equal(parseTime('2016-12-31T23:59:60Z')?.toJSON(), '2016-12-31T23:59:59.000Z');
  assert.equal(parseTime('2016-12-31T18:59:60.25-05:00')?.toJSON(), '2016-12-31T23:59:59.250Z');
  for (const text of ['2016-12-31T23:60:00Z', '2016-12-31T23:59:61Z', '2016-12-31T23:60:60Z'])
    assert.equal(parseTime(text), undefined, text);
});
