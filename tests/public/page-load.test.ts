// The page under load: a burst of notifications, 10,000 customers, a hidden tab, a slow reader. What it shows stays
// exact, and it stays quick.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type Database from 'better-sqlite3';
import type { Page } from 'playwright-core';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  button,
  field,
  inState,
  lastEventId,
  needsChromium,
  openPage,
  region,
  samePage,
  verdict,
} from '../support/browser.ts';
import { eventually, post, type Server, seqOf, startServer } from '../support/helpers.ts';

/** More than a hundred times what is painted in a frame; the soak has 20,000. */
const BURST = Number(process.env.BURST ?? 1500);
const IN_WORDS = BURST.toLocaleString('en');
/** How long a bare socket takes for them on a machine of today. */
const USUAL_MS = BURST / 20;
/** Three times as long, and some frames. */
const LIMIT_MS = 3 * USUAL_MS + 1400;
const BURST_TIMEOUT_MS = 30_000;

let server: Server;
let db: Database.Database;
before(async () => {
  server = await startServer();
  db = openDatabase(server.databaseFile, { timeout: 5000 });
});
after(async () => {
  db.close();
  await server.stop();
});

/** Commits so many notifications at once, from outside; returns the seq of the last. */
function commitBurst(count: number): number {
  const insert = db.prepare("INSERT INTO changebell_events (type, data) VALUES ('notification', ?)");
  const last = db.transaction(() => {
    for (let number = 1; number < count; number += 1)
      insert.run(JSON.stringify({ message: `burst ${number}` }));
    return insert.run(JSON.stringify({ message: `the last of ${count}` })).lastInsertRowid;
  });
  return Number(last());
}

/** Notes in the page, from now on: its longest task, how often and how much it painted, what the state said. */
async function observe(page: Page): Promise<void> {
  await page.evaluate(() => {
    const seen = { longestTask: 0, mostRows: 0, paints: 0, frames: 0, startedAt: 0, words: [] as string[] };
    const log = document.getElementById('log')!;
    const word = document.getElementById('word')!;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) seen.longestTask = Math.max(seen.longestTask, duration);
    }).observe({ type: 'longtask' });
    new MutationObserver(() => {
      seen.startedAt ||= performance.now();
      seen.paints += 1;
      seen.mostRows = Math.max(seen.mostRows, log.childElementCount);
    }).observe(log, { childList: true });
    new MutationObserver(() => seen.words.push(word.textContent ?? '')).observe(word, {
      childList: true,
      characterData: true,
      subtree: true,
    });
    const counter = {
      count() {
        seen.frames += 1;
        requestAnimationFrame(counter.count);
      },
    };
    counter.count();
    Object.assign(globalThis, { seen });
  });
}

/** Waits until the last row is painted, and tells what was seen until then. */
async function watchBurst(page: Page, count: number) {
  const handle = await page.waitForFunction(
    (text) => {
      const rows = [...document.getElementById('log')!.children].slice(-2); // a verdict may come after it
      const { seen } = globalThis as unknown as { seen: { startedAt: number } };
      return (
        rows.some((row) => row.textContent?.includes(text)) && {
          ...seen,
          ms: performance.now() - seen.startedAt,
        }
      );
    },
    `the last of ${count}`,
    { polling: 'raf', timeout: BURST_TIMEOUT_MS },
  );
  return (await handle.jsonValue()) as unknown as {
    longestTask: number;
    mostRows: number;
    paints: number;
    frames: number;
    words: string[];
    ms: number;
  };
}

/** Lets a burst come to a fresh page, and looks whether it is all there. */
async function burst() {
  const { page, context } = await openPage(server.url);
  await observe(page);
  commitBurst(BURST);
  const seen = await watchBurst(page, BURST);
  for (const [id, text] of Object.entries({ count: IN_WORDS, 'live-count': IN_WORDS, 'missing-count': '0' }))
    assert.equal(await page.locator(`#${id}`).textContent(), text, id);
  assert.ok(seen.mostRows <= 500, `${seen.mostRows} rows`);
  assert.equal(await page.locator('#log li').count(), 500);
  // Once a second it paints without a frame, for hidden tabs.
  const most = seen.frames + seen.ms / 1000 + 1;
  assert.ok(seen.paints <= most, `painted ${seen.paints} times in ${seen.frames} frames`);
  await context.close();
  return seen;
}

/** How long the same takes a page that has nothing but a socket, and counts. */
async function bareBurst(): Promise<number> {
  const { page, context } = await openPage(`${server.url}/favicon.svg`, { state: '' });
  await page.evaluate(() => {
    const seen = { isReady: false, count: 0, startedAt: 0, endedAt: 0 };
    new WebSocket(`ws://${location.host}/ws`).onmessage = ({ data }) => {
      if (data.includes('"stream.')) seen.isReady = true;
      else {
        seen.startedAt ||= performance.now();
        seen.count += 1;
        seen.endedAt = performance.now();
      }
    };
    Object.assign(globalThis, { seen });
  });
  type Seen = { seen: { isReady: boolean; count: number; startedAt: number; endedAt: number } };
  await page.waitForFunction(() => (globalThis as unknown as Seen).seen.isReady);
  commitBurst(BURST);
  const ms = await page.waitForFunction(
    (count) => {
      const { seen } = globalThis as unknown as Seen;
      return seen.count >= count && seen.endedAt - seen.startedAt;
    },
    BURST,
    { timeout: BURST_TIMEOUT_MS },
  );
  const value = (await ms.jsonValue()) as number;
  await context.close();
  return value;
}

test(
  'a burst of notifications: counted exactly, 500 rows at most, painted within 2 s, no task over 100 ms',
  needsChromium,
  async () => {
    // The limits are for a machine on which a bare socket in the same browser gets 20,000 a second.
    // Where it is slower, or does other things as well, they are wider by as much; and there are three tries.
    const seen: string[] = [];
    while (seen.length < 3) {
      const slowness = Math.max(1, (await bareBurst()) / USUAL_MS);
      const { ms, longestTask } = await burst();
      if (ms < LIMIT_MS * slowness && longestTask <= 100 * slowness) return;
      seen.push(`${ms} ms, the longest task ${longestTask} ms, ${slowness} times slower`);
    }
    assert.fail(seen.join('; '));
  },
);

// The first on the page that those below share: it is loaded with them, and not told of each.
test('of 10,000 customers the newest 100 stand in the table, and it says so', needsChromium, async () => {
  const insert = db.prepare('INSERT INTO customers (name) VALUES (?)');
  db.transaction(() => {
    for (let number = 1; number <= 10_000; number += 1) insert.run(`Customer ${number}`);
  })();
  const { page } = await samePage(server.url);
  await page.getByText('the newest 100 of 10,000').waitFor();
  assert.equal(await page.locator('#customers tr').count(), 100);
  await page.getByRole('button', { name: 'Delete Customer 10000' }).click();
  await page.getByText('the newest 100 of 9,999').waitFor();
  assert.equal(await page.locator('#customers tr').count(), 100);
});

test(
  'cut off, thousands behind: it says how far it has caught up, and the focus outlives the rows',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    await post(`${server.url}/api/events`, { message: 'hold on to this' });
    const row = page.getByRole('button', { name: /hold on to this/ });
    await row.focus();
    await button(page, 'Cut the cable').evaluate((node) => (node as HTMLElement).click()); // the focus stays
    await inState(page, 'waiting');
    await observe(page);
    const last = commitBurst(BURST);
    await button(page, 'Bring back').evaluate((node) => (node as HTMLElement).click());
    const { words } = await watchBurst(page, BURST);
    assert.ok(
      words.some((word) => /^Catching up: [\d,]+ of /.test(word) && word.endsWith(` ${IN_WORDS}`)),
      words.join(),
    );
    assert.equal(seqOf((await lastEventId(page)) ?? ''), last);
    assert.equal(await row.count(), 0, 'the row was evicted');
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'notifications');
    assert.equal(await verdict(page, `${IN_WORDS} changes replayed, 0 lost`).count(), 1);
  },
);

test('in a hidden tab, where no frame is ever painted, it goes on counting', needsChromium, async () => {
  const { page } = await samePage(server.url);
  const counted = async () => Number((await page.locator('#count').textContent())?.replaceAll(',', ''));
  const before = await counted();
  await page.evaluate(() => {
    const painting = globalThis.requestAnimationFrame;
    globalThis.requestAnimationFrame = () => 0;
    Object.assign(globalThis, { painting });
  });
  const last = commitBurst(1500);
  await page.waitForFunction(
    (end) => document.getElementById('state')?.dataset.lastEventId?.endsWith(end),
    `-${last}`,
  );
  assert.equal((await counted()) - before, 1500);
  await page.evaluate(() => {
    globalThis.requestAnimationFrame = (
      globalThis as unknown as { painting: typeof requestAnimationFrame }
    ).painting;
  });
});

test('before its scripts are there no input is lost, and live means usable', needsChromium, async () => {
  const { page } = await openPage('about:blank', { state: '' });
  const held: (() => void)[] = [];
  await page.route('**/lab.js', (route) => held.push(() => route.continue()));
  await page.goto(server.url, { waitUntil: 'commit' });
  await field(page, 'Name').fill('Early bird');
  await button(page, 'Add customer').click();
  assert.equal(page.url(), `${server.url}/`);
  assert.equal(await field(page, 'Name').inputValue(), 'Early bird');
  await eventually(() => held.length, Boolean, 'the last script is asked for');
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  assert.equal(await page.locator('#state').getAttribute('data-state'), 'connecting');
  for (const release of held) release();
  await inState(page, 'live');
  await button(page, 'Add client').click();
  await page.locator('#lanes').getByText('Live at').waitFor();
});

test(
  'more clients in the page: one is cut, the other goes on, over either transport',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    const lane = (name: string) =>
      page.locator('#lanes li').filter({ has: page.getByText(name, { exact: true }) });
    await button(page, 'Add client').click();
    await field(page, 'Transport').selectOption('Server-sent events');
    await button(page, 'Add client').click();
    for (const name of ['A', 'B']) await lane(name).getByText('Live at').waitFor();
    await button(page, 'Cut client A').click();
    await lane('A').getByText('Cut at').waitFor();
    // Longer than a lane waits between two reports: the next one is due with the message itself.
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 600)));
    await post(`${server.url}/api/events`, { message: 'for those who are there' });
    await lane('A').getByText(', 1 behind').waitFor();
    await eventually(
      () => lane('B').textContent(),
      (text) => !/behind/.test(text ?? ''),
      'B is not behind',
    );
    await button(page, 'Resume client A').click();
    await lane('A').getByText('Live at').waitFor();
    assert.doesNotMatch((await lane('A').textContent()) ?? '', /behind/);
    const view = region(page, "Server's view");
    await view.getByText('sse').waitFor();
    // By the keyboard: a click may miss what moves, and the lanes' texts become longer and shorter here.
    await button(page, 'Remove client B').press('Enter');
    await lane('B').waitFor({ state: 'detached' });
    await view.getByText('sse').waitFor({ state: 'detached' });
  },
);

/** A page with a slow reader, and so many events of 8 KB that it has seen and its slow reader has not. */
async function flood(count: number): Promise<Page> {
  const { page } = await openPage(server.url);
  await button(page, 'Slow reader').click();
  await page.locator('#lanes').getByText('Live at').waitFor();
  const insert = db.prepare("INSERT INTO changebell_events (type, data) VALUES ('flood', ?)");
  const text = JSON.stringify('x'.repeat(8 * 1024));
  const last = db.transaction(() =>
    Array.from({ length: count }, () => insert.run(text).lastInsertRowid).at(-1),
  )();
  await page.waitForFunction(
    (end) => document.getElementById('state')?.dataset.lastEventId?.endsWith(end),
    `-${last}`,
  );
  await page
    .locator('#lanes')
    .getByText(/, [\d,]+ behind/)
    .waitFor();
  assert.equal(await page.locator('#missing-count').textContent(), '0');
  return page;
}

test('a slow reader falls behind, and the page beside it has all at once', needsChromium, async () => {
  await flood(100);
});

// As many bytes as no buffer on the way takes. The browser tells each of them to whoever watches it, and that costs more
// than all the rest of this file: so it is the soak's.
if (process.env.BURST)
  test('a flood: bytes wait for the slow reader alone, and the page goes on', needsChromium, async () => {
    const page = await flood(2000);
    const behind = page.locator('#server-rows .lagging');
    await behind.getByRole('rowheader', { name: 'A', exact: true }).waitFor();
    await eventually(
      () => behind.count(),
      (count) => count === 1,
      'A alone is behind',
    );
  });

test('a burst from the page itself: each one is saved, and comes', needsChromium, async () => {
  const { page } = await samePage(server.url);
  await button(page, 'Flood').click();
  await page.getByText(/^\d+ of 2,000 saved$/).waitFor();
  // Whichever is seen: the log keeps 500 of them.
  await page.locator('#log button').filter({ hasText: 'lab.load: {"number":' }).first().waitFor();
});
