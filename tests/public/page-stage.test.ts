// The stage, as someone meets it who has never heard of a cursor: the story of a lost change on real
// connections, outages that last until they are ended, and words that are never better than the truth.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  addCustomer,
  assertAccessible,
  assertGoodToLookAt,
  button,
  field,
  inState,
  namesInTable,
  needsChromium,
  openPage,
  region,
  samePage,
  sentences,
  verdict,
} from '../support/browser.ts';
import { del, eventually, get, post, range } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';

const WIDE_FONT = 'DejaVu Sans';
const NARROW_FONT = 'DejaVu Sans Condensed';
const SPACING_EM = 0.055; // with it the wide font is wider by a tenth, as some are
const FONTS = [
  [WIDE_FONT, SPACING_EM],
  [WIDE_FONT, 0],
  [NARROW_FONT, 0],
] as const;
const BEAT_MS = 300;
const ROW_PX = 36;

let server: OpenServer;
before(async () => {
  server = await openServer();
});
after(() => server.stop());

const at = (path: string) => server.url + path;
const customersOf = async () => (await get(at('/api/customers'))).body.customers as { name: string }[];
const loop = (page: Page) => region(page, 'A loop over sockets');
const caption = (page: Page) => page.locator('#caption-text');

/** Both clients are live, and hold the same list. */
async function bothLive(page: Page): Promise<void> {
  await inState(page, 'live');
  await page.waitForSelector('#loop-state[data-state="live"]');
}

const byItsOwnClock = ({ clock }: Page) => clock.install();

/** Plays on the page's own clock, put forward bit by bit while the connections are real. */
async function playUntil(page: Page, words: RegExp): Promise<void> {
  await eventually(
    async () => {
      await page.clock.fastForward(BEAT_MS);
      return caption(page).textContent();
    },
    (text) => words.test(text ?? ''),
    `the caption says ${words}`,
  );
}

test(
  'Show me: left three changes are replayed, right three are lost, and its customers are wrong',
  needsChromium,
  async () => {
    const { page, faults } = await samePage(server.url, byItsOwnClock);
    await bothLive(page);
    await button(page, 'Show me').click();
    const startedAt = await page.evaluate(() => Date.now());
    await playUntil(page, /cables are cut/);
    await inState(page, 'waiting');
    await playUntil(page, /Grace joins, Ada is renamed, Edsger joins/);
    for (const client of [region(page, 'Connection'), loop(page)])
      await client.getByText('Cut off, 3 changes missed').waitFor();
    await playUntil(
      page,
      /^Left: 3 changes replayed, 0 lost\. Right: 3 changes lost, and it does not know\.$/,
    );
    const rate = await page.locator('#rate').textContent();
    assert.match(rate ?? '', /^0\.[1-9]$/, 'three changes were saved in the last ten seconds');
    const ms = await page.evaluate((begin) => Date.now() - begin, startedAt);
    assert.ok(ms > 9000 && ms < 20_000, `some 12 s, but it took ${ms} ms`);

    // Of four events the loop has heard one: that its connection stands at the fourth tells it nothing.
    await region(page, 'Connection').getByText('Live at 4', { exact: true }).waitFor();
    await loop(page).getByText('Live at 1, 3 changes lost', { exact: true }).waitFor();
    const { events } = (await get(at('/api/events'))).body;
    assert.deepEqual(await page.locator('#last-event-id, #loop-last-event-id').allTextContents(), [
      events[3].id,
      events[0].id,
    ]);
    assert.equal(await page.locator('#loop-state').getAttribute('data-lossy'), 'true');
    assert.equal(await page.locator('#strip .replayed').count(), 3);
    assert.equal(await page.locator('#loop-strip .missing').count(), 3);
    assert.deepEqual(await page.locator('#page-roster li').allTextContents(), [
      'Edsger Dijkstra',
      'Grace Hopper',
      'Ada King',
    ]);
    assert.deepEqual(await page.locator('#loop-roster li').allTextContents(), [
      'never heard of Edsger Dijkstra',
      'never heard of Grace Hopper',
      'Ada Lovelaceis Ada King now',
    ]);
    const sides = await page.locator('#loop-roster, #loop-roster .wrong').evaluateAll((nodes) =>
      nodes.map((node) => {
        const { left, right } = node.getBoundingClientRect();
        return `${left} to ${right}`;
      }),
    );
    assert.equal(new Set(sides).size, 1, `what is wrong does not stick out: ${sides}`);
    await button(page, 'The same with curl').first().click();
    assert.match(
      (await page.locator('#curl-line').textContent()) ?? '',
      /^curl \S+\/api\/customers .* -d '\{"name":"Edsger Dijkstra"\}'$/,
      'what the stage writes has its line too',
    );
    await assertAccessible(page, 'the line for a terminal');
    await page.keyboard.press('Escape');
    await assertGoodToLookAt(page, 'after the story');
    assert.deepEqual(
      (await customersOf()).map(({ name }) => name),
      ['Ada King', 'Grace Hopper', 'Edsger Dijkstra'],
      'real writes',
    );

    await button(page, 'Tidy up').click();
    await playUntil(page, /^Two clients of one server/);
    assert.deepEqual(await customersOf(), []);
    await loop(page)
      .getByText(/^Live at \d+$/)
      .waitFor();
    assert.equal(
      await page.locator('#loop-live-count').textContent(),
      '0',
      'it has begun anew after the deletions, and not among them',
    );
    assert.equal(await button(page, 'Tidy up').getAttribute('aria-disabled'), 'true');
    assert.deepEqual(faults, []);
  },
);

test('Show me can be stopped at any moment, and leaves the page usable', needsChromium, async () => {
  const { page } = await samePage(server.url, byItsOwnClock);
  await bothLive(page);
  await button(page, 'Show me').click();
  await playUntil(page, /cables are cut/);
  await button(page, 'Stop').click();
  await playUntil(page, /^Two clients of one server/);
  await bothLive(page);
  await addCustomer(page, 'After the story');
  await page.getByRole('button', { name: 'Edit After the story' }).waitFor();
  await button(page, 'Tidy up').click();
  await eventually(
    () => page.clock.fastForward(BEAT_MS).then(customersOf),
    (all) => all.length === 1,
    'all but one are tidied up',
  );
  assert.deepEqual(
    (await customersOf()).map(({ name }) => name),
    ['After the story'],
    'what others added stays',
  );
  await Promise.all(
    (await get(at('/api/customers'))).body.customers.map(({ id }: { id: number }) =>
      del(at(`/api/customers/${id}`)),
    ),
  );
});

test('an outage lasts until Bring back, or eight seconds where that is ticked', needsChromium, async () => {
  const { page } = await samePage(server.url, byItsOwnClock);
  await bothLive(page);
  await button(page, 'Cut the cable').click();
  await inState(page, 'waiting');
  await page.clock.fastForward(600_000);
  await button(page, 'Add a customer').click();
  await page.getByText('Cut off, 1 change missed').first().waitFor();
  await button(page, 'Add a customer').click();
  await page.getByText('Cut off, 2 changes missed').first().waitFor();
  assert.deepEqual(
    (await customersOf()).map(({ name }) => name),
    ['Ada Lovelace', 'Grace Hopper'],
    'both are saved, under names of their own',
  );
  assert.equal((await namesInTable(page)).length, 0, 'the page has not heard of them');
  assert.equal(await button(page, 'Retry now').isVisible(), false, 'nothing counts down');
  await button(page, 'Bring back').click();
  await verdict(page, '2 changes replayed, 0 lost').waitFor();
  await playUntil(page, /^Left: 2 changes replayed, 0 lost\. Right: 2 changes lost, and it does not know\.$/);

  await field(page, 'automatically, after 8 s').check();
  await button(page, 'Cut the cable').click();
  await inState(page, 'waiting');
  await page.clock.fastForward(6000);
  assert.equal(await page.locator('#state').getAttribute('data-state'), 'waiting');
  await page.clock.fastForward(3000);
  await bothLive(page);
  await button(page, 'Tidy up').click();
  await eventually(
    () => page.clock.fastForward(BEAT_MS).then(customersOf),
    (all) => all.length === 0,
    'tidy',
  );
});

test(
  'all of the stage fits, whatever the font, and nothing is cut off or covered',
  needsChromium,
  async () => {
    const laptop = { width: 1280, height: 720 };
    const looks = {
      '': [laptop, { width: 960, height: 1040 }],
      '?present': [laptop, { width: 1920, height: 1080 }],
    };
    for (const [query, sizes] of Object.entries(looks)) {
      const { page } = await (query ? openPage(at(`/${query}`)) : samePage(server.url));
      await bothLive(page);
      await button(page, 'Cut the cable').click(); // the longest headlines
      await button(page, 'Add a customer').click();
      await page.getByText('Cut off, 1 change missed').first().waitFor();
      for (const { width, height, font, spacing } of sizes.flatMap((size) =>
        FONTS.map(([font, spacing]) => ({ ...size, font, spacing })),
      )) {
        await page.setViewportSize({ width, height });
        await page.evaluate(
          ([family, em]) => {
            const wider = new CSSStyleSheet();
            wider.replaceSync(`* { letter-spacing: ${em}em }`);
            document.adoptedStyleSheets = [wider];
            document.documentElement.style.fontFamily = family;
          },
          [font, spacing] as const,
        );
        const seen = await page.evaluate(() => {
          const boxes = [...document.querySelectorAll('#bar > *, .client')].map((node) =>
            node.getBoundingClientRect(),
          );
          const bottoms = (selector: string) =>
            new Set(
              [...document.querySelectorAll(selector)].map((node) => node.getBoundingClientRect().bottom),
            );
          const linesOf = (node: Element) =>
            node.clientHeight / Number.parseFloat(getComputedStyle(node).fontSize);
          const edges = (selector: string) =>
            [...document.querySelectorAll(selector)].flatMap((node) => {
              const { left, right } = node.getBoundingClientRect();
              return [Math.round(left), Math.round(right)];
            });
          // The longest of its reasons, in the place of the one that stands there.
          const why = document.getElementById('why')!;
          const said = why.textContent;
          why.textContent =
            'No answer comes from a.very.long.name.of.a.host.example.com:5000. Next try in 10 s.';
          const [left, right] = ['#connection', '#loop'].map((client) =>
            [...document.querySelectorAll(`${client} > *`)].map((line) => line.getBoundingClientRect().top),
          );
          why.textContent = said;
          return {
            isLevel: String(left) === String(right),
            grid: [edges('.client'), edges('main > .pane')],
            barLines: bottoms('#bar > button').size,
            lines: Math.max(...[...document.querySelectorAll('.state')].map(linesOf)),
            newest: document.getElementById('notifications')!.getBoundingClientRect().top,
            bottom: Math.max(...boxes.map((box) => box.bottom)),
            right: Math.max(...boxes.map((box) => box.right)),
            sideways: document.documentElement.scrollWidth - innerWidth,
          };
        });
        const where = `${width} by ${height}${query}, ${font}: ${JSON.stringify(seen)}`;
        assert.ok(seen.bottom <= height && seen.right <= width && seen.sideways <= 0, where);
        assert.ok(seen.isLevel, `the lines of the two stand side by side: ${where}`);
        assert.equal(seen.barLines, 1, `no button of the bar stands in another line: ${where}`);
        assert.ok(seen.lines < 2, `each headline is one line: ${where}`);
        assert.ok(seen.newest + ROW_PX < height, `the newest notification is on the first screen: ${where}`);
        assert.deepEqual(
          seen.grid[0],
          seen.grid[1],
          `clients and what is below them stand on one grid: ${where}`,
        );
      }
      await button(page, 'Bring back').click();
      await verdict(page, '1 change replayed, 0 lost').waitFor();
      await button(page, 'Tidy up').click();
      await eventually(customersOf, (all) => all.length === 0, 'tidied up');
      await page.evaluate(() => {
        document.adoptedStyleSheets = [];
        document.documentElement.style.fontFamily = '';
      });
    }
  },
);

test(
  'every control of the stage is within ten presses of Tab from any other, and the two that matter have keys',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    await bothLive(page);
    const controls = page.locator('#stage').locator('button:visible, input:visible');
    const names = await controls.evaluateAll((nodes) => nodes.map(({ id }) => id));
    // From each of them Tab leads to the next: so any two are as far from each other as their places.
    assert.ok(names.length >= 6 && names.length <= 11, names.join());
    for (const [key, wanted] of [
      ['Tab', names],
      ['Shift+Tab', names.toReversed()],
    ] as const) {
      await controls.nth(names.indexOf(wanted[0]!)).focus();
      const met = [wanted[0]];
      while (met.length < wanted.length) {
        await page.keyboard.press(key);
        met.push(await page.evaluate(() => document.activeElement?.id));
      }
      assert.deepEqual(met, wanted, key);
    }
    await button(page, 'What is what?').focus();
    for (let time = 1; time <= 2; time += 1) {
      await page.keyboard.press('Enter');
      const words = page.getByRole('dialog', { name: 'What is what?' });
      await words.getByText('Live at 4').waitFor();
      if (time === 1) await assertAccessible(page, 'the meaning of the words');
      await page.keyboard.press('Escape');
      await words.waitFor({ state: 'hidden' });
      assert.equal(await page.evaluate(() => document.activeElement?.id), 'what', 'the focus is back');
    }
    await page.keyboard.press('Alt+c');
    await inState(page, 'waiting');
    await page.waitForSelector('#loop-state[data-state="waiting"]');
    await page.keyboard.press('Alt+b');
    await bothLive(page);
    for (const [name, keys] of [
      ['Cut the cable', 'Alt C'],
      ['Bring back', 'Alt B'],
    ] as const)
      assert.equal(await button(page, name).locator('kbd').textContent(), keys, 'the shortcut is shown');
  },
);

test(
  'a key that writes a letter of a name is no shortcut: Alt C is the ç of a Mac',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    const press = (key: string, code: string) =>
      field(page, 'Name').evaluate(
        (node, init) => node.dispatchEvent(new KeyboardEvent('keydown', init)), // false: it writes nothing
        { key, code, altKey: true, bubbles: true, cancelable: true },
      );
    assert.deepEqual([await press('ç', 'KeyC'), await press('∫', 'KeyB')], [true, true]);
    assert.equal(await page.locator('#state').getAttribute('data-state'), 'live');
    assert.equal(await press('c', 'KeyC'), false, 'where Alt writes nothing it cuts, also from a field');
    await inState(page, 'waiting');
    await button(page, 'Bring back').click();
    await bothLive(page);
  },
);

test(
  'a cable that is brought back before it has gone is one connection, not two, and not none',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    await bothLive(page);
    for (let number = 0; number < 5; number += 1)
      await page.evaluate(() => {
        for (const id of ['cut', 'back']) document.getElementById(id)!.click();
      });
    await post(at('/api/events'), { message: 'after the haste' });
    await page.locator('#log').getByText('after the haste').waitFor();
    await bothLive(page);
    await eventually(
      async () => (await get(at('/healthz'))).body.clients,
      (clients) => clients === 2,
      'two streams, the page and the loop',
    );
    assert.equal(await page.locator('#missing-count').textContent(), '0');
  },
);

test('on a phone the bar is on the first screen, below whatever one looks at', needsChromium, async () => {
  const { page } = await samePage(server.url);
  await page.setViewportSize({ width: 390, height: 844 });
  await bothLive(page);
  for (const top of [300, 0]) {
    await page.evaluate((y) => scrollTo(0, y), top);
    for (const name of ['Show me', 'Cut the cable', 'Bring back', 'Tidy up']) {
      const { y = Number.NaN, height = 0 } = (await button(page, name).boundingBox()) ?? {};
      assert.ok(y > 0 && y + height <= 844, `${name} at ${y}, scrolled by ${top}`);
    }
  }
});

test('the id of a customer is read whole, up to six digits', needsChromium, async () => {
  const { page } = await samePage(server.url);
  const db = openDatabase(server.databaseFile, { timeout: 5000 });
  db.exec("INSERT INTO customers (id, name) VALUES (123456, 'Ada Byron')");
  db.close();
  await page.getByRole('button', { name: 'Edit Ada Byron' }).waitFor();
  const cell = page.getByRole('rowheader', { name: '123456' });
  const [needed, given] = await cell.evaluate((it) => [it.scrollWidth, it.clientWidth]);
  assert.ok(needed! <= given!, `it needs ${needed} px, and has ${given}`);
  await del(at('/api/customers/123456'));
});

test('Delete can be undone, under another number', needsChromium, async () => {
  const { page } = await samePage(server.url);
  await addCustomer(page, 'Ada Byron', 'ada@example.com');
  await page.getByRole('button', { name: 'Delete Ada Byron' }).click();
  await page.getByText('Ada Byron is deleted.').waitFor();
  await page.getByRole('button', { name: 'Edit Ada Byron' }).waitFor({ state: 'detached' });
  await button(page, 'Undo').click();
  await page.getByRole('button', { name: 'Edit Ada Byron' }).waitFor();
  const [back] = (await get(at('/api/customers'))).body.customers;
  assert.deepEqual([back.name, back.email], ['Ada Byron', 'ada@example.com']);
  assert.equal(await button(page, 'Undo').isVisible(), false);
  await del(at(`/api/customers/${back.id}`));
});

test(
  'a message is published from the page, and after a reload the last 50 are there, with what was missed',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    await post(
      at('/api/events'),
      range(1, 55).map((number) => ({ message: `number ${number}` })),
    );
    await field(page, 'Message to everyone').fill('Lunch is ready');
    await button(page, 'Publish').click();
    await page.locator('#log').getByText('Lunch is ready').waitFor();
    await page.goto('about:blank');
    await post(at('/api/events'), { message: 'while nobody looked' });
    await page.goto(server.url);
    await inState(page, 'live');
    await page.locator('#log').getByText('while nobody looked').waitFor();
    const shown = await sentences(page);
    assert.deepEqual(
      [shown.length, shown[0], ...shown.slice(-2)],
      [51, 'number 7', 'Lunch is ready', 'while nobody looked'],
    );
  },
);

test(
  'who opens the page for the first time sees the newest 50 events from before, then what comes, each once',
  needsChromium,
  async () => {
    const own = await openServer();
    const publish = (message: string) => post(`${own.url}/api/events`, { message });
    for (let number = 1; number <= 55; number += 1) await publish(`number ${number}`);
    const { page, context } = await openPage(own.url, {
      // What is published while the past is being asked for is in both answers.
      prepare: (fresh) =>
        fresh.route(
          '**/api/events?*',
          async (question) => {
            await publish('meanwhile');
            await fresh.locator('#log').getByText('meanwhile').waitFor();
            await question.continue();
          },
          { times: 1 }, // when the server has ended the page asks again
        ),
    });
    await page.locator('#log').getByText('number 55').waitFor();
    const shown = await page.locator('#log').locator('.bar, span').allTextContents();
    assert.deepEqual(
      [shown.length, shown[0], ...shown.slice(-3)],
      [52, 'number 6', 'number 55', 'The page was opened here.', 'meanwhile'],
    );
    assert.equal(await page.locator('#live-count').textContent(), '1', 'what was before is nobody’s merit');
    await context.close(); // else it asks again while the server ends, and what answers for it publishes
    await own.stop();
  },
);

test(
  'the status bar tells how long a change takes to the screen, and the page how to listen from a terminal',
  needsChromium,
  async () => {
    const { page } = await openPage(server.url);
    await post(at('/api/events'), { message: 'how long did I take?' });
    const shown = await eventually(
      () => page.locator('#save-to-screen').textContent(),
      (text) => /^[\d,]+ ms$/.test(text ?? ''),
      'a figure',
    );
    assert.ok(shown);
    await eventually(
      () => page.locator('#rate').textContent(),
      (text) => text === '0.1',
      'one change in ten seconds',
    );
    const places = await page.evaluate(() => {
      const rights = () =>
        [...document.querySelectorAll('header dd, header dt')].map(
          (node) => node.getBoundingClientRect().right,
        );
      const [clients, delay, rate] = ['clients', 'save-to-screen', 'rate'].map(
        (id) => document.getElementById(id)!,
      );
      const seen: string[] = [];
      for (const texts of [
        ['?', '–', '0'],
        ['2', '7 ms', '0.1'],
        ['9,999', '9,999 ms', '9,999'],
      ]) {
        [clients, delay, rate].forEach((node, index) => {
          node!.textContent = texts[index]!;
        });
        seen.push(rights().join());
      }
      return seen;
    });
    assert.equal(new Set(places).size, 1, `no figure moves another: ${places.join(' | ')}`);
    await page.getByText('Listen from a terminal').click();
    assert.equal(
      await page.locator('#terminal-line').textContent(),
      `curl -N ${server.url}/api/events -H 'Accept: text/event-stream'`,
    );
    assert.ok(await button(page, 'Copy').first().isVisible());
  },
);

test(
  'where the lab is off nothing dead is left, and the story can be told as well',
  needsChromium,
  async () => {
    const plain = await openServer({ LAB: '0' });
    const { page } = await openPage(plain.url);
    await bothLive(page);
    for (const name of ['Failure lab', "Server's view"])
      assert.equal(await region(page, name).count(), 0, name);
    await assertAccessible(page, 'without the lab');
    await button(page, 'Cut the cable').click();
    await post(`${plain.url}/api/events`, { message: 'missed by both' });
    await button(page, 'Bring back').click();
    await caption(page).getByText('Left: 1 change replayed, 0 lost. Right: 1 change lost').waitFor();
    await plain.stop();
  },
);
