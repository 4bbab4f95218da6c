// The account of what waits to be taken, over all connections.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UnsentBytes } from '../../lib/http/unsent-bytes.ts';

const MEBIBYTE = 1024 * 1024;

test('128 MiB may wait; above that a long answer is a 503, and a short one goes out all the same', () => {
  const bytes = new UnsentBytes();
  let refusals = 0;
  bytes.onRefusal = () => {
    refusals += 1;
  };
  bytes.total += 127 * MEBIBYTE;
  assert.doesNotThrow(() => bytes.check(MEBIBYTE), 'there is room for this one');
  assert.equal(bytes.isFull, false);
  bytes.total += MEBIBYTE + 1;
  assert.equal(bytes.isFull, true, 'who sends ahead of his answers may go now');
  assert.throws(
    () => bytes.check(64 * 1024),
    ({ status, headers }) => status === 503 && Number(headers['Retry-After']) > 0,
  );
  assert.doesNotThrow(() => bytes.check(8 * 1024), '/healthz must speak when nothing else does');
  assert.throws(() => bytes.check(2 * 1024, 7 * 1024), 'a long body is one however small its pieces are');
  assert.equal(refusals, 2);
  bytes.total -= MEBIBYTE;
  assert.doesNotThrow(() => bytes.check(64 * 1024), 'what was taken makes room');
});
