// Lesson 7: only who is named may come in, and a name is the whole name.
import assert from 'node:assert/strict';
import type { Program } from '../program.ts';
import type { Checks } from './check.ts';

const EVIL_HOSTS = ['localhost.evil.example', '127.0.0.1.evil.example', 'evil.example', 'notlocalhost'];

const FOREIGN_ORIGINS = [
  'http://evil.example',
  'http://localhost.evil.example',
  'http://evil-localhost',
  'http://localhost:5000',
  'file://localhost',
  'null',
];

const askAs = (program: Program, host: string) => program.ask('GET', '/healthz', { Host: host });

const publishFrom = (program: Program, Origin: string, Host = program.host) =>
  program.ask(
    'POST',
    '/api/events',
    { Host, Origin, 'Content-Type': 'application/json' },
    '{"message":"hello"}',
  );

export const access: Checks = {
  checks: [
    {
      promise: 'who asks for our own name comes in',
      async run(program) {
        for (const host of [program.host, 'localhost', '127.0.0.1:5000', '[::1]:5000']) {
          const { status } = await askAs(program, host);
          assert.equal(status, 200, `Host: ${host} is this machine, and was refused with ${status}.`);
        }
      },
    },
    {
      promise: 'a host that only looks like ours does not',
      async run(program) {
        for (const host of EVIL_HOSTS) {
          const { status } = await askAs(program, host);
          assert.equal(
            status,
            421,
            `Host: ${host} got in (${status}): it is not ours, and must be refused with 421.`,
          );
        }
      },
    },
    {
      promise: 'our own page may publish',
      async run(program) {
        for (const scheme of ['http', 'https']) {
          const { status } = await publishFrom(program, `${scheme}://${program.host}`);
          assert.equal(
            status,
            201,
            `A page of ${scheme}://${program.host}, which is ours, was refused with ${status}.`,
          );
        }
      },
    },
    {
      promise: 'a foreign page may not',
      async run(program) {
        for (const origin of FOREIGN_ORIGINS) {
          const { status } = await publishFrom(program, origin, 'localhost');
          assert.equal(
            status,
            403,
            `A page of ${origin} got in (${status}): it is foreign, and must be refused with 403.`,
          );
        }
      },
    },
  ],
};
