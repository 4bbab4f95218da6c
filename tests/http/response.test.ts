// What comes of an error, by a handler of the test's own: no request to the program makes one that is a bug.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Answer } from '../../lib/http/answer.ts';
import { sendProblem } from '../../lib/http/response.ts';
import { Problem, unavailable } from '../../lib/problem.ts';
import { get } from '../support/helpers.ts';

test('an error of ours is a bare 500 to the caller, and whole in the log', async (t) => {
  const complaints = t.mock.method(console, 'error', () => {});
  const bug = new TypeError('password "hunter2" is no number');
  const server = createServer({ ServerResponse: Answer }, (_req, res) => sendProblem(res, bug));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { status, headers, body, text } = await get(
    `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
  );
  assert.deepEqual([status, headers.get('content-type')], [500, 'application/problem+json; charset=utf-8']);
  assert.deepEqual([body.status, body.title], [500, 'Internal Server Error']);
  assert.doesNotMatch(text, /hunter2|TypeError|response\.ts/);
  assert.equal(complaints.mock.calls[0]!.arguments[0], bug);
  server.closeAllConnections();
  server.close();
});

test('a 503 says when trying again makes sense, whoever throws it', () => {
  assert.equal(new Problem(503, 'Not now.').headers['Retry-After'], '1');
  assert.equal(unavailable('Not now.', 7).headers['Retry-After'], '7');
  assert.equal(new Problem(500, 'Never.').headers['Retry-After'], undefined);
});
