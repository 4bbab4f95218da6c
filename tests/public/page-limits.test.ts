// What others may do to the page, and it must bear: whatever anyone publishes, a browser that blocks storage,
// and one that opens six connections to a host and no more.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  addCustomer,
  button,
  field,
  inState,
  needsChromium,
  openPage,
  region,
  samePage,
} from '../support/browser.ts';
import { eventually, post } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';

let server: OpenServer;
before(async () => {
  server = await openServer();
});
after(() => server.stop());

/** Into the log itself, as another program may: past all that the API refuses. */
function commit(events: { type: string; source?: string; data: unknown }[]): void {
  const db = openDatabase(server.databaseFile, { timeout: 5000 });
  const insert = db.prepare('INSERT INTO changebell_events (type, source, data) VALUES (?, ?, ?)');
  db.transaction(() => {
    for (const { type, source = '/elsewhere', data } of events)
      insert.run(type, source, JSON.stringify(data));
  })();
  db.close();
}

const addTo = async ({ url }: OpenServer, name: string, email: string | null = null) => {
  const { status } = await post(`${url}/api/customers`, { name, email });
  assert.equal(status, 201, name);
};

test('an event that only looks like a change of a customer changes no table', needsChromium, async () => {
  const { page, faults } = await samePage(server.url);
  await addCustomer(page, 'Ada Lovelace');
  await page.getByRole('button', { name: 'Edit Ada Lovelace' }).waitFor();
  const markup = '<img src=x onerror=alert(1)>';
  const odd: unknown[] = [
    { id: 9007199254740000, name: {}, email: null },
    { id: 5, name: { toString: 1, valueOf: 1 }, email: null },
    { id: 6, name: null, email: 7 },
    { id: 7, name: markup, email: { a: 1 } },
    { id: -1, name: 'x', email: null },
    { id: '1', name: 'x', email: null },
    [1],
    'text',
    null,
  ];
  commit(
    odd.flatMap((data) => {
      const id = (data as { id?: unknown } | null)?.id;
      return ['created', 'updated', 'deleted'].map((verb) => ({
        type: `customer.${verb}`,
        source: `/api/customers/${id}`,
        data,
      }));
    }),
  );
  const ada = { id: 1, name: 'Ada Lovelace', email: null };
  commit([
    { type: 'customer.deleted', source: '/somewhere/else', data: ada }, // of the right shape, from the wrong source
    ...['?x', '%2F', '/', '#1'].map((end) => ({
      type: 'customer.deleted',
      source: `/api/customers/1${end}`,
      data: ada,
    })),
    { type: 'customer.deleted', source: '/api%2Fcustomers/1', data: ada },
    { type: 'constructor', data: { name: markup } },
    { type: 'notification', data: { message: { a: 1 } } },
    { type: 'notification', data: { message: 'the last of the odd ones' } },
  ]);
  await page.locator('#log').getByText('the last of the odd ones').waitFor();
  await addCustomer(page, 'Grace Hopper');
  await page.getByRole('button', { name: 'Edit Grace Hopper' }).waitFor();
  assert.equal(await page.locator('#customers tr').count(), 2);
  assert.equal(await page.locator('#log img').count(), 0);
  assert.deepEqual(faults, []);
});

test('a thousand types fill no filter', needsChromium, async () => {
  const { page } = await samePage(server.url);
  commit(
    Array.from({ length: 1000 }, (_, number) => ({ type: `t${number}.${'x'.repeat(80)}`, data: number })),
  );
  await page.locator('#log').getByText('t999.').waitFor();
  assert.equal(await page.locator('#filter option').count(), 52);
  assert.equal(await page.locator('#filter option').last().textContent(), 'and more types');
  const clear = button(page, 'Clear');
  const pause = await button(page, 'Pause').boundingBox();
  assert.equal((await clear.boundingBox())?.y, pause?.y, 'the controls stay on one line');
});

test(
  'where the browser blocks storage, the page works and only remembers nothing',
  needsChromium,
  async () => {
    const { page, faults } = await openPage(server.url, {
      prepare: (fresh) =>
        fresh.addInitScript(() => {
          for (const name of ['sessionStorage', 'localStorage']) {
            Object.defineProperty(globalThis, name, {
              get() {
                throw new DOMException('Access is denied for this document.', 'SecurityError');
              },
            });
          }
        }),
    });
    await addCustomer(page, 'Without storage');
    await page.getByRole('button', { name: 'Edit Without storage' }).waitFor();
    assert.deepEqual(faults, []);
  },
);

test(
  'a fifth event stream of one browser is a WebSocket, with the reason, and the page can still write',
  needsChromium,
  async () => {
    const { page, context } = await samePage(server.url);
    const other = await context.newPage();
    await other.goto(server.url);
    await inState(other, 'live');
    const add = async (tab: typeof page, name: string) => {
      await field(tab, 'Transport').selectOption('Server-sent events');
      await button(tab, 'Add client').press('Enter');
      return tab.locator('#lanes li').filter({ has: tab.getByText(name, { exact: true }) });
    };
    for (const name of ['A', 'B', 'C', 'D'])
      await (await add(page, name)).getByText('Server-sent events').waitFor();
    await (await add(other, 'A')).getByText('WebSocket').waitFor();
    await region(other, 'Fan-out')
      .getByText(/A browser opens only six connections to one server/)
      .waitFor();
    await addCustomer(other, 'Saved all the same');
    await other.getByRole('button', { name: 'Edit Saved all the same' }).waitFor();
    await button(page, 'Remove client B').press('Enter');
    await eventually(
      async () => {
        await button(other, 'Remove client A').press('Enter');
        const lane = await add(other, 'A');
        await lane.waitFor();
        return lane.textContent();
      },
      (text) => /Server-sent events/.test(text ?? ''),
      'the seat that was given back is taken',
    );
    await other.close();
    for (const name of ['A', 'C', 'D']) await button(page, `Remove client ${name}`).press('Enter');
  },
);

test('names and addresses of any length and direction stay in their own lines', needsChromium, async () => {
  const own = await openServer();
  const { page, faults } = await openPage(own.url, { viewport: { width: 320, height: 640 } });
  const names = [
    'x'.repeat(200),
    'Wörter '.repeat(28).trim(),
    '\u202eecalevoL adA', // turns what follows
    'Ada\u200b\u200b\u2066 Lovelace',
    'עדה לאבלייס',
    '👩🏽‍💻'.repeat(40),
  ];
  for (const name of names) await addTo(own, name, `${'a'.repeat(64)}@${'b'.repeat(189)}`);
  await eventually(
    () => page.locator('#customers tr').count(),
    (count) => count === names.length,
    'all stand in the table',
  );
  for (const width of [320, 700, 1280]) {
    await page.setViewportSize({ width, height: 640 });
    const seen = await page.evaluate(() => ({
      tooWide: document.documentElement.scrollWidth - innerWidth,
      heights: [...document.querySelectorAll('#customers tr')].map((row) => row.clientHeight),
    }));
    assert.ok(seen.tooWide <= 0, `${seen.tooWide} px too wide at ${width}`);
    assert.equal(new Set(seen.heights).size, 1, `rows of one height at ${width}: ${seen.heights}`);
  }
  await page.getByRole('button', { name: `Delete ${names[0]}` }).click();
  await button(page, 'Undo').waitFor();
  for (const width of [320, 700, 1280]) {
    await page.setViewportSize({ width, height: 640 });
    const { x = Number.NaN, width: length = 0 } = (await button(page, 'Undo').boundingBox()) ?? {};
    assert.ok(x >= 0 && x + length <= width, `Undo is in reach at ${width}: ${x}`);
  }
  await page.locator('#log').getByText('ecalevoL adA was added', { exact: true }).waitFor();
  assert.deepEqual(faults, []);
  await own.stop();
});

test('a time that someone made up is not taken for a delay', needsChromium, async () => {
  const { page } = await openPage(server.url);
  const yesterday = new Date(Date.now() - 86_400_000).toISOString();
  await page.clock.setFixedTime(Date.now()); // what is live now takes no time at all
  for (const [id, time] of [yesterday, '0001-01-01T00:00:00Z'].entries()) {
    const event = {
      specversion: '1.0',
      id: `odd-${Date.now()}-${id}`,
      source: '/odd',
      type: 'odd.time',
      time,
    };
    const { status } = await post(`${server.url}/api/events`, event, {
      'Content-Type': 'application/cloudevents+json',
    });
    assert.equal(status, 201);
  }
  await page.locator('#log').getByText('odd.time').nth(1).waitFor();
  assert.equal(await page.locator('#save-to-screen').textContent(), '–');
});

test('where the memory of the tab is full, the page only remembers nothing', needsChromium, async () => {
  const { page, faults } = await openPage(server.url, {
    prepare: (fresh) =>
      fresh.addInitScript(() => {
        Storage.prototype.setItem = () => {
          throw new DOMException('The quota has been exceeded.', 'QuotaExceededError');
        };
      }),
  });
  await button(page, 'Add a customer').click();
  await page.locator('#caption-text').getByText('is added').waitFor();
  assert.deepEqual(faults, []);
});

test(
  'in colours that the reader has chosen, shapes tell what came and what is missing',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    await page.emulateMedia({ forcedColors: 'active' });
    const looks = await page.evaluate(() =>
      ['live', 'replayed', 'missing', 'none'].map((fate) => {
        const cell = document.createElement('i');
        cell.className = `cell ${fate}`;
        document.getElementById('strip')!.append(cell);
        const { backgroundColor, backgroundImage, borderTopWidth, borderTopColor } = getComputedStyle(cell);
        const mark = getComputedStyle(cell, '::before').content;
        return [backgroundColor, backgroundImage.slice(0, 9), borderTopWidth, borderTopColor, mark].join();
      }),
    );
    assert.equal(new Set(looks).size, 4, looks.join('; '));
    const ink = await page.evaluate(() => getComputedStyle(document.body).color);
    assert.ok(
      looks[0]?.startsWith(ink),
      `what came live is drawn in the reader's own colour, ${ink}: ${looks[0]}`,
    );
    await page.emulateMedia({ forcedColors: 'none' });
  },
);

test('who asks for more contrast gets no pale words and no pale lines', needsChromium, async () => {
  const { page } = await samePage(server.url);
  await page.emulateMedia({ contrast: 'more' });
  const [ink, ...others] = await page.evaluate(() => {
    const { color } = getComputedStyle(document.body);
    const { color: hint } = getComputedStyle(document.querySelector('.hint')!);
    const { borderTopColor: line } = getComputedStyle(document.querySelector('.client')!);
    return [color, hint, line];
  });
  assert.deepEqual(others, [ink, ink]);
  await page.emulateMedia({ contrast: 'no-preference' });
});

test('a server whose /healthz hangs holds the page back no longer than 2 s', needsChromium, async () => {
  const { page } = await openPage(server.url, {
    state: '',
    prepare: (fresh) => fresh.route('**/healthz', () => {}), // is never answered
  });
  await page.waitForSelector('#state[data-state="live"]', { timeout: 10_000 });
});

test('a write that nobody answers says that it cannot be known', needsChromium, async () => {
  const { page } = await samePage(server.url);
  await page.route('**/api/customers', (route) =>
    route.request().method() === 'POST' ? route.abort() : route.continue(),
  );
  await addCustomer(page, 'Perhaps');
  await page.getByText('No answer came: the server may have saved it, or not.').waitFor();
  await page.unroute('**/api/customers');
});

test('where places are few the page comes first, and a refusal tells its reason', needsChromium, async () => {
  const small = await openServer({ MAX_CLIENTS: '1' });
  const { page } = await openPage(small.url);
  await inState(page, 'live');
  await page.locator('#loop-why').getByText('It has no connection.').waitFor(); // it found no place
  const second = await openPage(small.url, { state: 'refused' });
  await region(second.page, 'Connection')
    .getByText(/Too many clients/)
    .waitFor();
  await post(`${small.url}/api/events`, { message: 'to the one' });
  await page.locator('#log').getByText('to the one').waitFor();
  await small.stop();
});

test('where the server keeps no customers, the page is about messages alone', needsChromium, async () => {
  const plain = await openServer({ CUSTOMERS: '0' });
  const { page, faults } = await openPage(plain.url);
  await page.locator('#caption-text').getByText('Cut the cable, publish a message').waitFor();
  for (const name of ['Show me', 'Add a customer', 'Tidy up', 'Add customer'])
    assert.equal(await button(page, name).isVisible(), false, name);
  await page.waitForSelector('#loop-state[data-state="live"]');
  await button(page, 'Cut the cable').click();
  await inState(page, 'waiting'); // a message that was under way would reach them yet
  await post(`${plain.url}/api/events`, { message: 'missed by both' });
  await page.getByText('Cut off, 1 change missed').first().waitFor();
  await button(page, 'Bring back').click();
  await page
    .locator('#caption-text')
    .getByText('Left: 1 change replayed, 0 lost. Right: 1 change lost')
    .waitFor();
  assert.deepEqual(faults, []);
  await plain.stop();
});
