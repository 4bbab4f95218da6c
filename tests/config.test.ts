// Settings as values: what each takes, what it refuses, and the one line that a refusal is. That the program
// ends with that line and exit code 1 is a matter of `tests/http/shutdown.test.ts`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkNode, readConfig, StartError } from '../lib/config.ts';
import { ROOT } from './support/helpers.ts';

/** The line for a user whose settings are these. */
function refusal(env: Record<string, string>): string {
  try {
    readConfig(env);
  } catch (error) {
    assert.ok(error instanceof StartError, String(error));
    assert.doesNotMatch(error.message, /\n/, 'one line');
    return error.message;
  }
  return assert.fail(`${JSON.stringify(env)} was taken`);
}

test('without a variable everything has its default, and an empty one counts as absent', () => {
  const bare = readConfig({});
  assert.equal(bare.port, 5000);
  assert.equal(bare.host, '127.0.0.1');
  assert.equal(bare.databaseUrl, 'changebell.db');
  assert.equal(bare.maxClients, 10_000);
  assert.equal(bare.eventRetention, 100_000);
  assert.equal(bare.heartbeatMs, 15_000);
  assert.equal(bare.apiToken, undefined);
  const names = [
    'PORT',
    'HOST',
    'DATABASE_URL',
    'READ_DATABASE_URL',
    'API_TOKEN',
    'ALLOWED_ORIGINS',
    'ALLOWED_HOSTS',
    'WATCH',
  ];
  const numbers = ['MAX_CLIENTS', 'EVENT_RETENTION', 'HEARTBEAT_SECONDS', 'LAB'];
  const empty = Object.fromEntries([...names, ...numbers].map((name) => [name, '']));
  assert.doesNotThrow(() => readConfig(empty));
  assert.deepEqual(readConfig(empty), bare);
});

test('a number is taken at both ends of its range, and refused one beyond them, with the range', () => {
  const ranges: [string, number, number][] = [
    ['PORT', 0, 65_535],
    ['MAX_CLIENTS', 1, 1_000_000],
    ['EVENT_RETENTION', 1, 1_000_000_000],
    ['HEARTBEAT_SECONDS', 1, 3600],
  ];
  for (const [name, least, most] of ranges) {
    for (const good of [least, most]) readConfig({ [name]: String(good) });
    for (const bad of [String(least - 1), String(most + 1), '1s', '1.5', '1e2', ' 5', '+5', '0x10', '٣']) {
      const line = refusal({ [name]: bad });
      assert.ok(line.includes(name) && line.includes(JSON.stringify(bad)), line);
      assert.match(line, new RegExp(`from ${least} to ${most}`));
    }
  }
});

test('heartbeats are given in seconds, and kept in milliseconds', () => {
  assert.equal(readConfig({ HEARTBEAT_SECONDS: '2' }).heartbeatMs, 2000);
});

test('the lab is on for a loopback host only, unless LAB says otherwise', () => {
  assert.equal(readConfig({}).isLabOn, undefined, 'the bound address decides');
  assert.equal(readConfig({ HOST: '0.0.0.0', LAB: '1' }).isLabOn, true);
  assert.equal(readConfig({ LAB: '0' }).isLabOn, false);
  for (const bad of ['yes', 'true', '01']) assert.match(refusal({ LAB: bad }), /^LAB .*1 or 0/);
});

test('a list is split at commas, without blanks and empty items', () => {
  assert.deepEqual([...readConfig({ WATCH: ' orders ,,odd name,orders' }).watch], ['orders', 'odd name']);
});

test('a list of commas alone names nothing, and is refused: whoever wrote it believes that something is watched', () => {
  for (const name of ['WATCH', 'ALLOWED_ORIGINS', 'ALLOWED_HOSTS'])
    for (const bad of [',', ' , ,'])
      assert.match(refusal({ [name]: bad }), new RegExp(`^${name} is ".*", but must be names`));
  assert.equal(readConfig({ WATCH: ' ' }).watch.size, 0, 'blanks alone are as absent');
});

test('an origin has a scheme and a host, and no more', () => {
  const { allowedOrigins } = readConfig({ ALLOWED_ORIGINS: 'https://Shop.example, http://localhost:3000/' });
  assert.deepEqual([...allowedOrigins], ['https://shop.example', 'http://localhost:3000']);
  for (const bad of ['example.com', 'https://a.example/path', 'https://u@a.example', '*', 'https://'])
    assert.match(refusal({ ALLOWED_ORIGINS: bad }), /^ALLOWED_ORIGINS /, bad);
});

test('an allowed host is a name without scheme, port or path, whatever its case', () => {
  assert.deepEqual(
    [...readConfig({ ALLOWED_HOSTS: 'Bell.example,[::1]' }).allowedHosts],
    ['bell.example', '[::1]'],
  );
  for (const bad of ['http://a.example', 'a.example:80', 'a.example/', 'a b'])
    assert.match(refusal({ ALLOWED_HOSTS: bad }), /^ALLOWED_HOSTS /, bad);
});

test('a database is a file, memory, or a postgres:// URL; what is refused never shows a password', () => {
  for (const good of ['x.db', '/var/lib/x.db', ':memory:', 'postgres://u:p@db.example:5432/shop', 'C:\\x.db'])
    assert.equal(readConfig({ DATABASE_URL: good }).databaseUrl, good);
  const passwords = [
    'mysql://u:hunter2@h/x',
    'postgres//u:hunter2@h/x',
    'shop:hunter2@h/x',
    'postgres://u:hunter2#x@h/x',
    'postgres://u:hunter2/x@h/shop',
  ];
  for (const bad of passwords) {
    const line = refusal({ DATABASE_URL: bad });
    assert.match(line, /^DATABASE_URL .*postgres:\/\//);
    assert.doesNotMatch(line, /hunter2/);
  }
});

test('a replica is a postgres:// URL, and only where the database is one', () => {
  const DATABASE_URL = 'postgres://u:p@one.example/shop';
  const good = 'postgresql://u:p@two.example,three.example:5433/shop';
  assert.equal(readConfig({ DATABASE_URL, READ_DATABASE_URL: ` ${good} ` }).replicaUrl, good);
  assert.equal(readConfig({ DATABASE_URL }).replicaUrl, undefined);
  for (const bad of [
    'replica.db',
    ':memory:',
    'mysql://u:hunter2@h/x',
    'postgres://u:hunter2#x@h/x',
    'u:hunter2@h',
  ]) {
    const line = refusal({ DATABASE_URL, READ_DATABASE_URL: bad });
    assert.match(line, /^READ_DATABASE_URL .*postgres:\/\//);
    assert.doesNotMatch(line, /hunter2/);
  }
  for (const file of ['shop.db', ':memory:', '']) {
    const line = refusal({ DATABASE_URL: file, READ_DATABASE_URL: good });
    assert.match(line, /^READ_DATABASE_URL .*DATABASE_URL is not of PostgreSQL/);
  }
});

test('a token is visible ASCII, and a refusal does not repeat it', () => {
  assert.equal(readConfig({ API_TOKEN: 'correct-horse' }).apiToken, 'correct-horse');
  for (const bad of ['two words', 'gähn', 'line\nbreak']) {
    const line = refusal({ API_TOKEN: bad });
    assert.match(line, /^API_TOKEN /);
    assert.ok(!line.includes(bad));
  }
});

test('a secret that was pasted with a line break is refused, and not repeated', () => {
  const secret = 'correct-horse-battery-staple-and-some-more';
  assert.equal(readConfig({ JWT_SECRET: secret }).jwt?.secret, secret);
  for (const bad of [`${secret}\n`, ` ${secret}`]) {
    const line = refusal({ JWT_SECRET: bad });
    assert.match(line, /^JWT_SECRET .*white space/);
    assert.ok(!line.includes(secret));
  }
  assert.match(refusal({ API_TOKEN: `${secret}\n` }), /^API_TOKEN .*line break/);
});

test('a Node that is too old is named, with the oldest that will do', () => {
  const oldest = Number(
    /\d+/.exec(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).engines.node),
  );
  assert.throws(
    () => checkNode(`${oldest - 1}.9.0`),
    new RegExp(`${oldest - 1}\\.9\\.0 .*${oldest} or newer`),
  );
  for (const good of [`${oldest}.0.0`, process.versions.node]) checkNode(good);
});
