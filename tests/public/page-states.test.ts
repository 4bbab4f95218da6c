// Every state that the page can be in is brought about for real, and looked at as everyone may need to:
// by axe-core, light and dark, at 320 px, at 400 % zoom, and without motion.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import {
  addCustomer,
  assertAccessible,
  assertGoodToLookAt,
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
import { connect, eventually, get, post, range, type Server, startServer } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';

let server: Server;
let calm: OpenServer; // whose heartbeat is over for a minute
before(async () => {
  server = await startServer({ HEARTBEAT_SECONDS: '1', EVENT_RETENTION: '50' });
  calm = await openServer({ HEARTBEAT_SECONDS: '60' });
});
after(() => Promise.all([server.stop(), calm.stop()]));

/** What the wire between page and server lets through: all, nothing, or the first frame and five events. */
let passes: 'all' | 'nothing' | 'a few' = 'all';

/** With the real stream on a wire of ours, and a clock that can be put forward. */
async function onOurWire(page: Page): Promise<void> {
  await page.clock.install();
  await page.routeWebSocket(/\/ws/, (socket) => {
    if (passes === 'nothing') return socket.close(); // as a proxy that passes none
    let passed = 0;
    const wire = socket.connectToServer();
    wire.onMessage((message) => {
      passed += 1;
      if (passes === 'all' || passed <= 6) socket.send(message);
    });
  });
}

/** Waits for it: between two tries the words change within milliseconds. */
const says = (page: Page, words: RegExp) => region(page, 'Connection').getByText(words).first().waitFor();

test('live and empty: it says what to do first', needsChromium, async () => {
  const { page } = await samePage(server.url);
  await says(page, /Live at 0: no event yet/);
  await page.getByText('No customers yet. Add one').waitFor();
  await assertGoodToLookAt(page, 'empty');
});

test('cut off from an empty server, it does not say that there are no customers', needsChromium, async () => {
  const { page } = await samePage(server.url);
  const none = page.getByText('No customers yet');
  await none.waitFor();
  await button(page, 'Cut the cable').click();
  await none.waitFor({ state: 'hidden' });
  await button(page, 'Bring back').click();
  await none.waitFor();
});

test('live and full: every region has something to show', needsChromium, async () => {
  const { page } = await samePage(server.url);
  const long = 'Wolfeschlegelsteinhausenbergerdorff'.repeat(5);
  await addCustomer(page, long, `${'a'.repeat(100)}@example.com`);
  await page.getByRole('button', { name: `Edit ${long}` }).click();
  await addCustomer(page, '', 'wrong');
  await page.locator('#log button').first().click();
  await button(page, 'Add client').click();
  await page.locator('#lanes').getByText('Live at').waitFor();
  await region(page, "Server's view").getByText('this page').waitFor();
  const rows = page.locator('#server-rows tr');
  const wide = await rows.count();
  await page.setViewportSize({ width: 390, height: 844 });
  assert.equal(await rows.filter({ visible: true }).count(), wide, 'a phone shows every row of it');
  await page.setViewportSize({ width: 1280, height: 800 });
  await assertGoodToLookAt(page, 'full');
  assert.equal(await region(page, 'Notifications').getAttribute('tabindex'), '0');
  assert.equal(await page.locator('[aria-live], [role=log]').count(), 0, 'the log is no live region');
});

test(
  'waiting: why, in words, until it is brought back, and a countdown where that happens by itself',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    await button(page, 'Say goodbye').click();
    await inState(page, 'waiting');
    await says(page, /^Cut off$/);
    await says(page, /1000: the connection was closed\.$/);
    await button(page, 'Bring back').click();
    await inState(page, 'live');
    await field(page, 'automatically, after 8 s').check();
    await button(page, 'Cut the cable').click();
    await inState(page, 'waiting');
    await says(page, /1006: the connection was cut without a goodbye\. Back in [1-8] s\./);
    await assertGoodToLookAt(page, 'waiting', '#stage');
    await field(page, 'automatically, after 8 s').uncheck();
    await button(page, 'Bring back').click();
    await inState(page, 'live');
  },
);

test(
  'silent: the socket says open, but no heartbeat comes; then it reconnects by itself',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    await button(page, 'Silent hole').click();
    await says(page, /^Muted, 1[45] s left$/);
    await inState(page, 'silent');
    await says(page, /No heartbeat for \d+ s, though the socket says open\./);
    await post(`${server.url}/api/events`, { message: 'in the hole' });
    await verdict(page, '1 change replayed, 0 lost').waitFor();
    await inState(page, 'live');
  },
);

test('refused, though the server answers: it does not say that nothing runs', needsChromium, async () => {
  passes = 'nothing';
  const { page } = await samePage(calm.url, onOurWire, 'refused');
  await says(page, /WebSocket could not be opened, though the server answers over HTTP\./);
  await page.locator('#caption-text').getByText('not both live yet').waitFor();
  assert.equal(await button(page, 'Show me').getAttribute('aria-disabled'), 'true', 'nothing could be shown');
  passes = 'all';
  await inState(page, 'live'); // by itself, at its next try
});

test('catching up: how far it has come', needsChromium, async () => {
  const { page } = await samePage(calm.url, onOurWire);
  await button(page, 'Say goodbye').click();
  await inState(page, 'waiting');
  await post(
    `${calm.url}/api/events`,
    range(1, 13).map((number) => ({ message: `missed ${number}` })),
  );
  passes = 'a few';
  await button(page, 'Bring back').click();
  await says(page, /Catching up: 5 of 13/);
  await assertGoodToLookAt(page, 'catching up', '#stage');
  passes = 'all';
  await button(page, 'Say goodbye').click();
  await inState(page, 'waiting');
  await button(page, 'Bring back').click();
  await inState(page, 'live');
});

test('muted, then silent, for as long as one may look at it', needsChromium, async () => {
  const other = await connect(calm.wsUrl);
  await other.until(({ type }) => type === 'stream.heartbeat');
  const { page } = await samePage(calm.url, onOurWire);
  await page.locator('#clients').getByText('3').waitFor(); // that heartbeat was the last one for a minute
  await button(page, 'Silent hole').click();
  await inState(page, 'muted');
  await assertGoodToLookAt(page, 'muted', '#stage');
  await page.clock.fastForward(90_000);
  await inState(page, 'silent');
  await assertGoodToLookAt(page, 'silent', '#stage');
});

test('reset: the log moved on without us, and the customers are loaded afresh', needsChromium, async () => {
  const { page } = await samePage(server.url);
  await button(page, 'Cut the cable').click();
  await inState(page, 'waiting');
  const cursor = await lastEventId(page);
  const events = range(1, 60).map(() => ({ message: 'more than are kept' }));
  await eventually(
    async () =>
      (await post(`${server.url}/api/events`, events)) &&
      get(`${server.url}/api/events?lastEventId=${cursor}`),
    ({ status }) => status === 410,
    'the cursor has expired',
  );
  await post(`${server.url}/api/customers`, { name: 'After the log moved on' });
  await button(page, 'Bring back').click();
  await inState(page, 'reset');
  await says(page, /The log moved on without us \(expired\): customers were loaded afresh/);
  await page.getByRole('button', { name: 'Edit After the log moved on' }).waitFor();
  await assertGoodToLookAt(page, 'reset', '#stage');
  await inState(page, 'live');
});

test('refused: the server has no place for one more; then it has', needsChromium, async () => {
  const full = await openServer({ MAX_CLIENTS: '1' });
  const first = await connect(full.wsUrl);
  const { page } = await openPage(full.url, { state: 'refused' });
  await says(page, /^Refused$/);
  await says(page, /Too many clients are connected: try again later\. Next try in \d+ s\./);
  await page.locator('#loop-why').getByText('It waits until this page is connected.').waitFor();
  assert.equal(
    await page.getByText('No customers yet').isVisible(),
    false,
    'nobody knows whether there are any',
  );
  await assertGoodToLookAt(page, 'refused');
  await first.close();
  await inState(page, 'live'); // by itself, at its next try
  await full.stop();
});

test('connecting: which try this is', needsChromium, async () => {
  const { page } = await samePage(server.url);
  await button(page, 'Cut the cable').click();
  await inState(page, 'waiting');
  server.process.kill('SIGSTOP'); // accepts, and does not answer
  try {
    await button(page, 'Bring back').click();
    await inState(page, 'connecting');
    await says(page, /Connecting…, try 2/);
    await assertGoodToLookAt(page, 'connecting', '#stage');
  } finally {
    server.process.kill('SIGCONT');
  }
  await inState(page, 'live');
});

test('with reduced motion nothing moves', needsChromium, async () => {
  const animations = (page: Page) =>
    page.evaluate(() => document.getAnimations().filter(({ playState }) => playState === 'running').length);
  const { page } = await samePage(server.url); // every page is asked to hold still, unless its test says otherwise
  const ring = (message: string) => post(`${server.url}/api/events`, { message });
  await ring('the bell holds still');
  await page.getByText('the bell holds still').first().waitFor();
  assert.equal(await animations(page), 0);
  for (const state of ['connecting', 'live']) {
    await page.evaluate((name) => {
      document.getElementById('state')!.dataset.state = name;
    }, state);
    assert.equal(await animations(page), 0, state);
  }
  await page.emulateMedia({ reducedMotion: 'no-preference' });
  const rung = page.waitForFunction(() => document.getAnimations().length > 0);
  await ring('the bell rings');
  await rung; // so it would have been seen
  await page.emulateMedia({ reducedMotion: 'reduce' });
});

test(
  'a page that hears nothing judges nobody: what came to the other alone is not called wrong',
  needsChromium,
  async () => {
    const { page } = await samePage(server.url);
    await page.waitForSelector('#loop-state[data-state="live"]');
    await button(page, 'Silent hole').click();
    await inState(page, 'muted');
    await post(`${server.url}/api/customers`, { name: 'Heard by the loop alone' });
    await page.locator('#loop-roster').getByText('Heard by the loop alone').waitFor();
    assert.equal(await page.locator('.wrong').count(), 0);
  },
);

test('?present is light, in 24 px, and hides nothing that is acted on', needsChromium, async () => {
  const { page } = await openPage(`${server.url}/?present`, { colorScheme: 'dark' });
  for (const name of ['Connection', 'Customers', 'Notifications', 'Positions', 'Failure lab'])
    assert.ok(await region(page, name).isVisible(), name);
  for (const control of await region(page, 'Failure lab').getByRole('listitem').all())
    assert.ok(
      await control.locator('.hint').first().isVisible(),
      `${await control.textContent()} is explained`,
    );
  for (const name of ['Inspector', 'Fan-out', "Server's view"])
    assert.equal(await region(page, name).isVisible(), false, `${name}, until it has something to show`);
  const { fontSize, color } = await page.evaluate(() => {
    const style = getComputedStyle(document.body);
    return { fontSize: style.fontSize, color: style.color };
  });
  assert.deepEqual({ fontSize, color }, { fontSize: '24px', color: 'rgb(20, 24, 27)' });
  await assertAccessible(page, 'presenting');
  await button(page, 'Slow reader').click();
  await region(page, 'Fan-out').getByText('Live at').waitFor();
  await post(`${server.url}/api/events`, { message: 'look into this' });
  await page.locator('#log').getByRole('button', { name: 'look into this' }).click();
  await region(page, 'Inspector').getByText('"look into this"').first().waitFor();
});
