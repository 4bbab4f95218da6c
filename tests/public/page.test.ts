// The page as people use it, in a real browser: with the keyboard, in two tabs, through cuts and restarts.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  addCustomer,
  assertAccessible,
  button,
  field,
  inState,
  lastEventId,
  namesInTable,
  needsChromium,
  openPage,
  region,
  samePage,
  sentences,
  verdict,
} from '../support/browser.ts';
import { eventually, get, post, range, startServer } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';

let server: OpenServer;
before(async () => {
  server = await openServer();
});
after(() => server.stop());

const at = (path: string) => server.url + path;
const publish = (message: string) => post(at('/api/events'), { message });
/** In one request: the page paints them at once, and not one after the other. */
const publishAll = (messages: string[]) =>
  post(
    at('/api/events'),
    messages.map((message) => ({ message })),
  );

test(
  'the page loads nothing from elsewhere, and under 90 KB until it is live, without the client library',
  needsChromium,
  async () => {
    const { page, faults } = await samePage(server.url); // the first of them: so it is fresh
    await page.waitForLoadState('networkidle');
    const later = ['/earlier.js', '/editor.js']; // once it is live, and there is something to show
    const own = await page.evaluate(() =>
      performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname),
    );
    const files = [
      '/',
      '/favicon.svg',
      ...own.filter((path) => !/^\/(api\/|healthz|changebell)/.test(path) && !later.includes(path)),
    ];
    const sizes = await Promise.all(
      [...new Set(files)].map(async (path) => Buffer.byteLength((await get(at(path))).text)),
    );
    const total = sizes.reduce((sum, size) => sum + size, 0);
    assert.ok(sizes.length > 15, `${files}`);
    assert.ok(total < 90_000, `${total} bytes`);
    assert.deepEqual(faults, []);
  },
);

test(
  'one adds, sees, edits and deletes a customer, is cut off and comes back, by keyboard alone',
  needsChromium,
  async () => {
    const { page, faults } = await samePage(server.url);
    const focused = () =>
      page.evaluate(() => document.activeElement?.textContent || document.activeElement?.id || '');
    const tabTo = async (name: string) => {
      for (let stops = 0; stops < 60; stops += 1) {
        await page.keyboard.press('Tab');
        const found = await page.evaluate(() => {
          const { activeElement: active } = document;
          return active?.ariaLabel || active?.firstChild?.textContent?.trim() || active?.id;
        });
        if (found === name) return;
      }
      assert.fail(`Tab never came to ${name}`);
    };

    await tabTo('name');
    await page.keyboard.type('Ada Lovelace');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Edit Ada Lovelace' }).waitFor();
    assert.equal(await focused(), 'name', 'the form is ready for the next');

    await tabTo('Edit Ada Lovelace');
    await page.keyboard.press('Enter');
    // What edits a row is fetched when the first row is there, and may take longer than a program takes to type.
    await page.locator('#customers input[name="name"]:focus').waitFor();
    await page.keyboard.type('Ada King');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Edit Ada King' }).waitFor();
    assert.equal(await focused(), 'Edit', 'the focus is back where the edit began');

    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText('No customers yet').waitFor();
    assert.equal(await focused(), 'name', 'the row is gone, the focus is not');

    await tabTo('Notifications');
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Enter');
    await region(page, 'Inspector').getByText('customer.deleted').first().waitFor();

    await page.evaluate(() => document.body.focus());
    await tabTo('Cut the cable');
    await page.keyboard.press('Enter');
    await inState(page, 'waiting');
    await publish('While the cable was cut');
    await page.evaluate(() => document.body.focus());
    await tabTo('Bring back');
    await page.keyboard.press('Enter');
    await verdict(page, '1 change replayed, 0 lost').waitFor();
    assert.notEqual(
      await page.evaluate(() => document.activeElement?.tagName),
      'BODY',
      'the focus is not lost',
    );
    assert.deepEqual(faults, []);
  },
);

test('a name that looks like HTML is shown as that text', needsChromium, async () => {
  const { page, faults } = await samePage(server.url);
  const name = '<img src=x onerror=alert(1)>';
  await addCustomer(page, name);
  await page.getByText(`${name} was added`).first().waitFor();
  assert.ok((await namesInTable(page)).includes(name));
  await post(at('/api/events'), { type: 'order.shipped', data: { note: name } });
  await page.locator('#log button').filter({ hasText: 'order.shipped' }).click();
  await region(page, 'Inspector').getByText('onerror=alert').first().waitFor();
  assert.deepEqual(faults, []);
});

test(
  'of two tabs one is cut, the other writes; the first resumes, and both hold the same',
  needsChromium,
  async () => {
    const [a, b] = await Promise.all([samePage(server.url), openPage(server.url)]);
    await button(b.page, 'Cut the cable').click();
    await inState(b.page, 'waiting');
    for (const name of ['Grace Hopper', 'Barbara Liskov', 'Edsger Dijkstra']) {
      await addCustomer(a.page, name);
      await a.page.getByRole('button', { name: `Edit ${name}` }).waitFor();
    }
    assert.ok(!(await namesInTable(b.page)).includes('Grace Hopper'), 'b has not heard of it');
    await button(b.page, 'Bring back').click();
    await verdict(b.page, '3 changes replayed, 0 lost').waitFor();
    assert.deepEqual(await namesInTable(b.page), await namesInTable(a.page));
    assert.equal(await lastEventId(b.page), await lastEventId(a.page));
    assert.match((await region(b.page, 'Positions').textContent()) ?? '', /3 replayed\s+0 missing/);
  },
);

test('without resuming, the same cut leaves holes, and the page counts them', needsChromium, async () => {
  const { page } = await samePage(server.url);
  await field(page, 'Resume after reconnect').uncheck();
  await button(page, 'Cut the cable').click();
  await inState(page, 'waiting');
  await post(at('/api/customers'), { name: 'Nobody' });
  await publish('heard by nobody');
  await button(page, 'Bring back').click();
  await verdict(page, '0 changes replayed, 2 lost').waitFor();
  await page
    .locator('#state')
    .getByText(/^Live at \d+, 2 changes lost$/)
    .waitFor();
  assert.equal(await page.locator('#state').getAttribute('data-lossy'), 'true', 'never plain green');
  assert.match((await region(page, 'Positions').textContent()) ?? '', /2 missing/);
  assert.equal(await page.locator('#strip .missing').count(), 2);
  await page.getByText('2 changes never came: this table may be wrong.').waitFor();
  assert.ok(!(await namesInTable(page)).includes('Nobody'));
  await button(page, 'Load afresh').click();
  await page.getByRole('button', { name: 'Edit Nobody' }).waitFor();
  assert.equal(await button(page, 'Load afresh').isVisible(), false);
  await page
    .locator('#state')
    .getByText(/^Live at \d+$/)
    .waitFor();
  await field(page, 'Resume after reconnect').check();
});

test(
  'an answer of the server stands at its field, and each write shows its curl line',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    await addCustomer(page, '', 'no address');
    await page.getByText('Name must not be empty.').waitFor();
    await page.getByText('Email must look like name@example.com.').waitFor();
    assert.equal(await field(page, 'Name').getAttribute('aria-invalid'), 'true');
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'name');
    await addCustomer(page, "O'Hara");
    await page.getByRole('button', { name: "Edit O'Hara" }).first().waitFor();
    const line = await page.locator('#curl-line').textContent();
    assert.equal(
      line,
      `curl ${server.url}/api/customers -H 'Content-Type: application/json' -d '{"name":"O'\\''Hara"}'`,
    );
    assert.equal(await field(page, 'Name').getAttribute('aria-invalid'), null);
  },
);

test(
  'however long a message is, its row in the log is one line, and none is sliced',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    const log = region(page, 'Notifications');
    await page.setViewportSize({ width: 700, height: 900 });
    const texts = ['short', 'x'.repeat(900), 'many words '.repeat(80)];
    await publishAll(texts.flatMap((text) => range(0, 5).map((number) => `${number} ${text}`)));
    await log.getByText('5 many words').waitFor();
    const heights = await log.locator('li').evaluateAll((rows) => rows.map((row) => row.clientHeight));
    assert.deepEqual([...new Set(heights)].length, 1, `${heights}`);
    assert.equal(
      (await log.evaluate((node) => node.clientHeight)) % heights[0]!,
      0,
      'a whole number of rows',
    );
  },
);

test(
  'the log follows its end until one scrolls up, and can be paused, filtered and cleared',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    const log = region(page, 'Notifications');
    const isAtEnd = () => log.evaluate((node) => node.scrollHeight - node.scrollTop - node.clientHeight < 40);
    await publishAll(range(1, 30).map((number) => `number ${number}`));
    await page.getByText('number 30', { exact: true }).waitFor();
    assert.ok(await isAtEnd(), 'it follows');
    await log.evaluate((node) => node.scrollTo(0, 0));
    await eventually(isAtEnd, (answer) => !answer, 'scrolled up');
    for (const number of [31, 32]) await publish(`number ${number}`);
    await button(page, '2 new ↓').click();
    await eventually(isAtEnd, (answer) => answer, 'at the end again');

    await button(page, 'Pause').click();
    await assertAccessible(page, 'pressed, and under the pointer', ['color-contrast']);
    await publish('while it was paused');
    await page.getByText('Paused, 1 new').waitFor();
    assert.ok(!(await sentences(page)).includes('while it was paused'));
    await button(page, 'Pause').click();
    await page.getByText('while it was paused').first().waitFor();

    await button(page, 'Pause').click();
    await field(page, 'Type').selectOption('notification');
    await log.getByText('number 30', { exact: true }).waitFor(); // a filter empties no log that stands still
    await field(page, 'Type').selectOption('');

    for (const data of [null, 7, 'text', [1, [2]], { name: 'no order' }])
      await post(at('/api/events'), { type: 'order.odd', data });
    await log.getByText('order.odd: {"name":"no order"}').waitFor();
    await field(page, 'Type').selectOption('order.odd');
    assert.deepEqual(
      await eventually(
        () => sentences(page),
        (found) => found.length === 5,
        'only this type',
      ),
      ['null', '7', '"text"', '[1,[2]]', '{"name":"no order"}'].map((data) => `order.odd: ${data}`),
    );
    await button(page, 'Clear').click();
    await page.getByText('Nothing new yet.').waitFor();
  },
);

test(
  'killed and started again with the page open: it returns to live with nothing lost',
  needsChromium,
  async () => {
    const first = await startServer();
    const { page } = await openPage(first.url);
    const asked: string[] = [];
    page.on('request', (request) => /story\.js/.test(request.url()) && asked.push(request.url()));
    await addCustomer(page, 'Before');
    await page.getByRole('button', { name: 'Edit Before' }).waitFor();
    await first.kill9();
    await inState(page, 'refused');
    await region(page, 'Connection').getByText('Nobody answers').waitFor();
    assert.equal(await page.locator('#clients').textContent(), '?', 'nobody tells how many there are');
    await button(page, 'Add a customer').click();
    await page.locator('#caption-text').getByText('No answer came').waitFor();
    const db = openDatabase(first.databaseFile); // another program, while no server runs
    db.exec("INSERT INTO customers (name) VALUES ('After')");
    db.close();
    const second = await openServer({ PORT: String(first.port), DATABASE_URL: first.databaseFile });
    await button(page, 'Retry now')
      .click({ timeout: 2000 })
      .catch(() => {}); // it may be back by itself
    await verdict(page, '1 change replayed, 0 lost').waitFor();
    await inState(page, 'live');
    assert.deepEqual(await namesInTable(page), ['After', 'Before']);
    await button(page, 'Add a customer').click();
    await page.getByRole('button', { name: 'Edit Ada Lovelace' }).waitFor();
    // Chromium asks again for a module that it could not fetch; others remember that, by its address.
    assert.equal(new Set(asked).size, 2, `asked for under two names: ${asked}`);
    await second.stop();
  },
);

test(
  'where the server wants a token, the page asks for it and keeps it for the tab alone',
  needsChromium,
  async () => {
    const locked = await openServer({ API_TOKEN: 'open-sesame' });
    const { page, context } = await openPage(locked.url, { state: '' });
    await inState(page, 'refused');
    await assertAccessible(page, 'the token is asked for');
    await field(page, 'API token').fill('wrong');
    await button(page, 'Use this token').click();
    await page.getByText('The server did not take that token.').waitFor();
    await field(page, 'API token').fill('open-sesame');
    await button(page, 'Use this token').click();
    await inState(page, 'live');
    await addCustomer(page, 'Ali Baba');
    await page.getByRole('button', { name: 'Edit Ali Baba' }).waitFor();
    assert.doesNotMatch((await page.locator('#curl-line').textContent()) ?? '', /open-sesame/);
    assert.equal((await context.storageState()).origins.length, 0, 'nothing in localStorage');
    await locked.stop();
  },
);

test(
  'a link may carry the token behind its #: it is used, kept for the tab, and gone from the address',
  needsChromium,
  async () => {
    const locked = await openServer({ API_TOKEN: 'open-sesame' });
    const { page } = await openPage(`${locked.url}/?present#access_token=open-sesame`, { state: '' });
    await inState(page, 'live');
    assert.equal(page.url(), `${locked.url}/?present`);
    await page.reload();
    await inState(page, 'live');
    await locked.stop();
  },
);

test(
  'in a browser the library tries at once when the network is back, and outlives listeners that throw',
  needsChromium,
  async () => {
    const { page, faults } = await samePage(server.url);
    await page.evaluate(async () => {
      const library = '/changebell.js';
      const { ChangeStream } = await import(library);
      const stream = new ChangeStream('/ws');
      for (const type of ['state', 'ready', 'message']) {
        stream.addEventListener(type, () => {
          throw new Error('a listener that throws');
        });
      }
      Object.assign(globalThis, { stream });
    });
    const until = (field: string, value: string) =>
      page.waitForFunction(
        // biome-ignore lint/suspicious/noExplicitAny: the page's own global
        ([name = '', wanted]) => (globalThis as any).stream[name] === wanted,
        [field, value],
      );
    await until('state', 'live');
    await page.evaluate(async () => {
      // biome-ignore lint/suspicious/noExplicitAny: the page's own global
      const { stream } = globalThis as any;
      // By its event: the wait itself may be shorter than any poll.
      const waiting = new Promise<void>((resolve) => {
        stream.addEventListener('state', () => stream.state === 'waiting' && resolve());
      });
      stream.disconnect();
      await waiting;
      stream.retry(3_600_000); // in an hour
      dispatchEvent(new Event('online'));
    });
    await until('state', 'live');
    const { body } = await publish('to a listener that throws');
    await until('lastEventId', body.id);
    assert.ok(
      faults.length >= 4 && faults.every((fault) => fault === 'Error: a listener that throws'),
      faults.join(),
    );
  },
);
