// What an error of PostgreSQL says of what was done.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRefusal, toProblem } from '../../lib/store/postgres-errors.ts';

test('a refusal is told from a lost connection, also where the database speaks another language', () => {
  for (const [severity, code, expected] of [
    ['ERROR', '55P03', true],
    ['ERROR', '57014', true],
    ['FEHLER', '55P03', true],
    ['FEHLER', '23505', true],
    ['FEHLER', '57014', true],
    ['FATAL', '57P01', false],
    ['FATAL', '40001', false],
    ['PANIK', '53100', false],
    [undefined, 'ECONNRESET', false],
  ] as const)
    assert.equal(
      isRefusal(Object.assign(new Error('no'), { severity, code })),
      expected,
      `${severity} ${code}`,
    );
});

test('what a database says is in the log once a minute, also where it says two things in turn, and ten lines at most', (t) => {
  const log = t.mock.method(console, 'error', () => {});
  for (let i = 0; i < 100; i++) for (const what of ['ended', 'reset']) toProblem(new Error(what));
  assert.equal(log.mock.callCount(), 2);
  for (let i = 0; i < 100; i++) toProblem(new Error(`value ${i}`));
  assert.equal(log.mock.callCount(), 10);
});
