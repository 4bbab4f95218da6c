// Which events a client wants: exact values, prefixes, both lists at once; and equal wishes have equal keys.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFilter } from '../lib/filter.ts';
import { Problem } from '../lib/problem.ts';

const lets = (types: string | null, sources: string | null, type: string, source = '/x') =>
  parseFilter(types, sources).matches({ type, source });

test('no filter lets everything through', () => {
  assert.ok(lets(null, null, 'anything', '/anywhere'));
});

test('a type is the whole of it, and a prefix ends with a dot', () => {
  for (const [types, type, isWanted] of [
    ['order', 'order', true],
    ['order', 'order.paid', false],
    ['order', 'orders', false],
    ['order.*', 'order.paid', true],
    ['order.*', 'order.paid.twice', true],
    ['order.*', 'order', false],
    ['order.*', 'orders.paid', false],
    ['alarm,order.*', 'alarm', true],
    ['alarm,order.*', 'alarm.off', false],
  ] as const) {
    assert.equal(lets(types, null, type), isWanted, `${types} and ${type}`);
  }
});

test('a source is the whole of it, and a prefix ends with a slash', () => {
  for (const [sources, source, isWanted] of [
    ['/rooms/42', '/rooms/42', true],
    ['/rooms/42', '/rooms/421', false],
    ['/rooms/42/*', '/rooms/42/door', true],
    ['/rooms/42/*', '/rooms/42', false],
    ['/rooms/42/*', '/rooms/421/door', false],
  ] as const) {
    assert.equal(lets(null, sources, 'any', source), isWanted, `${sources} and ${source}`);
  }
});

test('that a table must be loaded again is for whoever follows any row of it, and for nobody else', () => {
  for (const [sources, type, source, isWanted] of [
    ['/watch/orders/42', 'orders.reset', '/watch/orders/*', true],
    ['/rooms/7,/watch/orders/42/*', 'orders.reset', '/watch/orders/*', true],
    ['/watch/orders/*', 'orders.reset', '/watch/orders/*', true],
    ['/api/customers/17', 'customer.reset', '/api/customers/*', true],
    ['/watch/a%2Ab/1', 'a_b.reset', '/watch/a*b/*', true], // a table with a star in its name
    ['/watch/a%2cb/1', 'a_b.reset', '/watch/a%2Cb/*', true],
    ['/watch/orders', 'orders.reset', '/watch/orders/*', false],
    ['/watch/orders2/42', 'orders.reset', '/watch/orders/*', false],
    ['/watch/orders/42', 'orders.created', '/watch/orders/*', false], // the row whose key is a star
    ['/rooms/42', 'rooms.reset', '/rooms/*', false], // published: no table
  ] as const) {
    assert.equal(lets(null, sources, type, source), isWanted, `${sources} and ${type} at ${source}`);
  }
  assert.ok(
    !lets('orders.updated', '/watch/orders/42', 'orders.reset', '/watch/orders/*'),
    'types are as said',
  );
});

test('both lists must let an event through', () => {
  assert.ok(lets('order.*', '/shop/*', 'order.paid', '/shop/7'));
  assert.ok(!lets('order.*', '/shop/*', 'order.paid', '/other/7'));
  assert.ok(!lets('order.*', '/shop/*', 'alarm', '/shop/7'));
});

test('the same wish has the same key, in whatever order and however often it is said', () => {
  assert.equal(parseFilter('b,a, a').key, parseFilter('a,b').key);
  const keys = [parseFilter('a'), parseFilter(null, 'a'), parseFilter('a', 'a'), parseFilter(null)];
  assert.equal(new Set(keys.map(({ key }) => key)).size, 4);
});

test('what is neither a value nor a prefix is a 400 that names it', () => {
  for (const bad of ['', '*', 'a,,b', 'a*', 'a.*.b', '.*', 'a b'])
    assert.throws(
      () => parseFilter(bad),
      (error) => error instanceof Problem && error.status === 400 && error.message.includes('types'),
      JSON.stringify(bad),
    );
  for (const bad of ['', '*', '/a*', '/a/*/b', '/a b'])
    assert.throws(() => parseFilter(null, bad), /sources/, JSON.stringify(bad));
});

test('a source with a comma or a star in it is named with %2C or %2A', () => {
  for (const [sources, source, isWanted] of [
    ['/watch/seats/12%2CA', '/watch/seats/12,A', true],
    ['/watch/seats/12%2cA,/x', '/watch/seats/12,A', true],
    ['/watch/seats/12%2CA', '/watch/seats/12,B', false],
    ['/watch/seats/12%2CA', '/watch/seats/12%2CA', true],
    ['/watch/seats/a%2Cb%2Cc', '/watch/seats/a%2Cb,c', true],
    ['/a%2Cb/*', '/a,b/c', true],
    ['/a%2Cb/*', '/a,bc', false],
    ['/a%2Ab', '/a*b', true],
    ['/a/%2A', '/a/*', true],
    ['/a/%2A', '/a/b', false],
  ] as const)
    assert.equal(lets(null, sources, 'x', source), isWanted, `${sources} and ${source}`);
});

test('a hundred items are a filter, and one more is a 400, as are more than 4,000 characters', () => {
  const items = (count: number, length: number) =>
    Array.from({ length: count }, (_, i) => `t${i}`.padEnd(length, 'x')).join();
  assert.ok(lets(items(100, 10), items(100, 10), 't7xxxxxxxx', 't7xxxxxxxx'));
  for (const long of [items(101, 4), items(30, 150)]) {
    assert.throws(() => parseFilter(long), /types may have at most 100 items and 4000 characters/);
    assert.throws(() => parseFilter(null, long), /sources may have/);
  }
});

test('a list of a hundred items costs an event what a list of one costs', () => {
  const types = (count: number) => Array.from({ length: count }, (_, i) => `shop.order-${i}.*`).join();
  const values = Array.from({ length: 1000 }, (_, i) => ({ type: `shop.order-${i}.paid`, source: '/x' }));
  const cost = (count: number) => {
    const { matches } = parseFilter(types(count));
    const before = process.cpuUsage();
    let passed = 0;
    for (let round = 0; round < 20; round += 1) for (const value of values) if (matches(value)) passed += 1;
    const { user, system } = process.cpuUsage(before);
    assert.equal(passed, 20 * count);
    return user + system;
  };
  const least = (count: number) => Math.min(...[1, 2, 3, 4, 5].map(() => cost(count)));
  const [one, hundred] = [least(1), least(100)];
  assert.ok(hundred < 8 * one + 5000, `${hundred} µs of processor time, and ${one} for one item`);
});
