// Lesson 1: every request ends in an answer, and the answer says what is wrong with it.
import assert from 'node:assert/strict';
import type { Checks } from './check.ts';

const WRONG_METHODS = [
  ['DELETE', '/api/customers'],
  ['POST', '/healthz'],
  ['PUT', '/'],
] as const;

export const answer: Checks = {
  checks: [
    {
      promise: 'an unknown path is a 404',
      async run(program) {
        const { status } = await program.ask('GET', '/nope');
        assert.equal(
          status,
          404,
          `There is nothing at /nope, and GET /nope is answered with ${status || 'nothing'}.`,
        );
      },
    },
    {
      promise: 'a known path with another method is a 405',
      async run(program) {
        for (const [method, path] of WRONG_METHODS) {
          const { status } = await program.ask(method, path);
          assert.notEqual(
            status,
            0,
            `${method} ${path} got no answer at all: each way through dispatch must end in one, or throw.`,
          );
          assert.equal(
            status,
            405,
            `${path} exists but does not take ${method}: that is a 405, and it was answered with ${status}.`,
          );
        }
      },
    },
    {
      promise: 'a 405 says which methods there are',
      async run(program) {
        const { headers } = await program.ask('DELETE', '/api/customers');
        const allow = headers.allow ?? '(there is no such header)';
        assert.match(
          String(allow),
          /GET.*POST/,
          `DELETE /api/customers was refused with Allow: ${allow}. It should name GET and POST.`,
        );
        assert.doesNotMatch(String(allow), /DELETE/, 'Allow names DELETE, which was just refused.');
        assert.match(
          String(headers['content-type']),
          /^application\/problem\+json/,
          'DELETE /api/customers was refused, and no problem document says why: throw a Problem, and `answer` writes it.',
        );
      },
    },
    {
      promise: 'a known path with a known method is answered as before',
      async run(program) {
        const { status } = await program.ask('GET', '/api/customers');
        assert.equal(status, 200, `GET /api/customers is answered with ${status || 'nothing'}.`);
      },
    },
  ],
};
