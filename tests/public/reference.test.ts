// The reference for people: made of the two descriptions, in a real browser, offline.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAccessible, needsChromium, openPage, outlive } from '../support/browser.ts';
import { eventually, get, post, within } from '../support/helpers.ts';
import { openServer } from '../support/open-server.ts';

const server = await openServer();
const url = `${server.url}/reference.html`;
let shared: Awaited<ReturnType<typeof openPage>> | undefined;

/** One page for all tests, with nothing in its search: to make it of the descriptions takes longer than to ask it. */
async function open(hash = '') {
  if (!shared) {
    shared = await openPage(url, { state: '' });
    outlive(shared);
    await shared.page.waitForSelector('#contents a');
  }
  await shared.page.getByLabel('Search').fill('');
  if (hash) await shared.page.goto(url + hash);
  return shared;
}

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
  assert.match((await page.locator('#found').textContent())!, /^0 of \d+ entries .*try fewer$/);
});

test('a search for a first question begins with its answer, whose links lead on', needsChromium, async () => {
  const { page } = await open();
  const found = async (words: string) => {
    await page.getByLabel('Search').fill(words);
    return page.locator('.entry:not([hidden])').evaluateAll((all) => all.map(({ id }) => id));
  };
  for (const [answer, ...questions] of [
    ['deploy', 'deploy', 'docker', 'systemd', 'https', 'cluster', 'several servers', 'replica'],
    ['lost-database', 'lose the database', 'lost database', 'restore backup', 'rollback', 'migrate'],
    ['own-tables', 'my own tables', 'watch', 'snapshot table', 'database primary key'],
    ['own-resource', 'add a resource'],
    ['bundle', 'webpack', 'vite', 'require('],
    ['authenticate', 'authentication', 'login', 'passwords', 'authenticate'],
    ['promises', 'exactly once', 'duplicate', 'offline', 'reconnect'],
    ['transports', 'EventSource', 'long polling', 'pagination', 'webhook'],
    ['settings', 'CORS', 'retention', 'ALLOWED_ORIGINS', 'READ_DATABASE_URL'],
    ['limits', 'rate limit', '1009'],
  ] as const)
    for (const words of questions) assert.equal((await found(words))[0], answer, words);
  for (const [words, answer] of [
    ['React', 'react'],
    ['Python', 'python'],
    ['C#', 'csharp'],
    ['csharp', 'jwt-csharp'],
    ['Express', 'express'],
  ] as const)
    assert.ok((await found(words)).includes(answer), words);
  assert.deepEqual(await found('login'), ['authenticate'], 'a single find is open');
  await page.locator('#authenticate a[href="#jwt-node"]').click();
  await within(page.locator('#jwt-node pre').waitFor(), 'the entry that the search had hidden');
});

test('a sentence with code in it is one text, and not a row of pieces', needsChromium, async () => {
  const { page } = await open('#lost-database');
  const displays = await page
    .locator('.entry > p')
    .evaluateAll((all) => all.map((text) => getComputedStyle(text).display));
  assert.ok(displays.length > 0);
  assert.deepEqual(new Set(displays), new Set(['block']));
});

test('the paper reaches the edges of a window that is larger than the page', needsChromium, async () => {
  const { page } = await open();
  const paper = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  assert.equal(paper, 'rgb(246, 246, 243)', 'else the window is white beside and below the page');
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

test('Try it follows a stream: what comes is shown as it comes', needsChromium, async () => {
  const { page, faults } = await open('#readEvents');
  const entry = page.locator('#readEvents');
  await entry.getByLabel('Accept (header)').selectOption('text/event-stream');
  assert.match(
    (await entry.locator('pre', { hasText: 'curl' }).textContent())!,
    /^curl -iN .*text\/event-stream'$/,
  );
  await entry.getByRole('button', { name: 'Send' }).click();
  const answer = entry.getByRole('status');
  await answer.filter({ hasText: 'stream.ready' }).waitFor();
  await post(`${server.url}/api/events`, { message: 'seen in the reference' });
  await answer.filter({ hasText: 'seen in the reference' }).waitFor();
  await entry.getByLabel('Accept (header)').selectOption('application/json');
  await entry.getByRole('button', { name: 'Send' }).click();
  await answer.filter({ hasText: '"more": false' }).waitFor();
  const clients = async () => (await get(`${server.url}/healthz`)).body.clients;
  await eventually(clients, (count) => count === 0, 'the stream is let go');
  assert.deepEqual(faults, []);
});

test('it is accessible with an entry of each kind open, light and dark', needsChromium, async () => {
  const { page, faults } = await open();
  const kinds = ['createCustomer', 'channel-websocket', 'frame-StreamReady', 'schema-Customer', 'jwt-node'];
  for (const kind of kinds)
    await page
      .locator(`#${kind}`)
      .evaluate((entry) => (entry as HTMLDetailsElement).setAttribute('open', ''));
  await assertAccessible(page, 'light');
  await page.emulateMedia({ colorScheme: 'dark' });
  await assertAccessible(page, 'dark', ['color-contrast']); // of all rules that one alone sees colours
  assert.deepEqual(faults, []);
});
