// The reference for people: made of the two descriptions, in a real browser, offline.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { assertAccessible, needsChromium, openPage } from '../support/browser.ts';
import { closeAfterTest } from '../support/cleanup.ts';
import {
  eventually,
  get,
  post,
  ROOT,
  shareServer,
  skipWithout,
  startServer,
  temporaryFolder,
} from '../support/helpers.ts';

const server = await shareServer();
const url = `${server.url}/reference.html`;
const open = async (hash = '', options = {}) => {
  const opened = await openPage(url + hash, { state: '', ...options });
  await opened.page.waitForSelector('#contents a');
  return opened;
};

test('every operation, every frame and every shape has an entry', needsChromium, async () => {
  const { page, faults } = await open();
  const { body: openapi } = await get(`${server.url}/openapi.json`);
  const { body: asyncapi } = await get(`${server.url}/asyncapi.json`);
  const operations = Object.values(openapi.paths).flatMap((item) =>
    // biome-ignore lint/suspicious/noExplicitAny: a description is data of any shape.
    Object.entries(item as any).flatMap(([method, operation]: [string, any]) =>
      ['get', 'post', 'put', 'patch', 'delete'].includes(method) ? [operation.operationId] : [],
    ),
  );
  const frames = Object.keys(asyncapi.components.messages).map((name) => `frame-${name}`);
  const shapes = Object.keys(openapi.components.schemas).map((name) => `schema-${name}`);
  const ids = await page.locator('.entry').evaluateAll((all) => all.map(({ id }) => id));
  assert.ok(operations.length > 10 && frames.length > 5);
  assert.deepEqual(
    [...operations, ...frames, ...shapes].filter((id) => !ids.includes(id)),
    [],
  );
  assert.deepEqual(faults, []);
});

test('a search leaves what has all its words, and opens a single find', needsChromium, async () => {
  const { page } = await open();
  const shown = () => page.locator('.entry:not([hidden])').evaluateAll((all) => all.map(({ id }) => id));
  await page.getByLabel('Search').fill('stream.expired 1008');
  assert.deepEqual(await shown(), ['channel-websocket']);
  assert.ok((await page.locator('#channel-websocket').getAttribute('open')) !== null);
  await page.getByLabel('Search').fill('no such words');
  assert.deepEqual(await shown(), []);
  assert.match((await page.locator('#found').textContent())!, /^0 of \d+ entries$/);
});

test(
  'Try it sends what is filled in, shows the answer, and the curl line of the same',
  needsChromium,
  async () => {
    const { page, faults } = await open('#createCustomer');
    const entry = page.locator('#createCustomer');
    await entry.getByLabel('Body').fill(`{"name":"D'Arcy"}`);
    await entry.getByLabel('Idempotency-Key (header)').fill('a-key');
    const line = await entry.locator('pre', { hasText: 'curl' }).textContent();
    assert.equal(
      line,
      `curl -i -X POST '${server.url}/api/customers' -H 'Content-Type: application/json' -H 'Idempotency-Key: a-key' --data-raw '{"name":"D'\\''Arcy"}'`,
    );
    await entry.getByRole('button', { name: 'Send' }).click();
    await entry.locator('pre', { hasText: '201 Created' }).waitFor();
    const { body } = await get(`${server.url}/api/customers`);
    assert.equal(body.customers.at(-1).name, "D'Arcy");
    assert.deepEqual(faults, []);
  },
);

for (const colorScheme of ['light', 'dark'] as const) {
  test(`it is accessible with an entry of each kind open, ${colorScheme}`, needsChromium, async () => {
    const { page, faults } = await open('', { colorScheme });
    const kinds = ['createCustomer', 'channel-websocket', 'frame-StreamReady', 'schema-Customer', 'jwt-node'];
    for (const kind of kinds) await page.locator(`#${kind} > summary`).click();
    await assertAccessible(page, colorScheme);
    assert.deepEqual(faults, []);
  });
}

/** The code of a section *Beside an application that exists*. */
function codeOf(id: string): string {
  const html = readFileSync(join(ROOT, 'public/reference.html'), 'utf8');
  const [, code] = new RegExp(`id="${id}">.*?<code>(.*?)</code>`, 's').exec(html) ?? [];
  assert.ok(code, `no code in #${id}`);
  return code.replaceAll('&lt;', '<').replaceAll('&amp;', '&');
}

test('the token that Node signs is taken', async () => {
  const JWT_SECRET = 'a secret of more than thirty-two bytes';
  const signing = await startServer({ JWT_SECRET });
  const child = spawn(process.execPath, ['--input-type=module', '-'], {
    cwd: ROOT,
    env: { ...process.env, JWT_SECRET },
  });
  child.stdin.end(`${codeOf('jwt-node')}\nconsole.log(token);`);
  const token = (await child.stdout.setEncoding('utf8').toArray()).join('').trim();
  const answer = await get(`${signing.url}/api/events`, { Authorization: `Bearer ${token}` });
  assert.equal(answer.status, 200, answer.text);
});

const needsPython = { skip: skipWithout('/usr/bin/python3', 'python3') };
test(
  'the Python consumer does each thing once, also when it is killed and started again',
  needsPython,
  async () => {
    const folder = temporaryFolder();
    const script = codeOf('python').replace('http://localhost:5000', server.url);
    const file = join(folder, 'consumer.py');
    writeFileSync(file, script);
    const start = () => {
      const child = spawn('/usr/bin/python3', [file], { cwd: folder, stdio: 'ignore' });
      closeAfterTest(() => child.kill('SIGKILL'));
      return child;
    };
    const seen = (): string[] => {
      const db = new Database(join(folder, 'effects.db'));
      try {
        return db.prepare("SELECT name FROM seen WHERE name LIKE 'Python %'").pluck().all() as string[];
      } catch {
        return []; // it has not made its table yet
      } finally {
        db.close();
      }
    };
    const add = (n: number) => post(`${server.url}/api/customers`, { name: `Python ${n}` });
    const first = start();
    await add(1);
    await eventually(seen, (names) => names.length === 1, 'the first is seen');
    first.kill('SIGKILL');
    await add(2);
    start();
    await add(3);
    await eventually(seen, (names) => names.length >= 3, 'all are seen');
    assert.deepEqual(seen(), ['Python 1', 'Python 2', 'Python 3']);
  },
);
