// What the tests of the page share: one Chromium for a process, and pages that note whatever a user
// should never meet: an error, a violation of the Content-Security-Policy, a request to elsewhere.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { CHROMIUM, FLAGS } from './chromium.ts';
import { closeAfterTest, closeWithFile, closeWithProcess } from './cleanup.ts';
import { skipWithout, within } from './helpers.ts';

const require = createRequire(import.meta.url);
// Not by `import`: that would look through seven megabytes for the names that they export, before anything runs.
const { chromium }: typeof import('playwright-core') = require('playwright-core');
const LAPTOP = { width: 1280, height: 800 }; // so that a test sees what most readers see
const AXE_MS = 10_000; // it looks at each node by each rule

/** For `test(…, needsChromium, …)`. */
export const needsChromium = { skip: skipWithout(CHROMIUM, 'chromium-headless-shell') };

let browser: Promise<Browser> | undefined;
// Of the test that runs: what it left open would go on reading streams of the shared server.
const open: BrowserContext[] = [];
const closeOpen = () => Promise.all(open.splice(0).map((context) => context.close()));

type PageOptions = BrowserContextOptions & {
  /** What it waits for; '' for nothing. */
  state?: string;
  /** Is done to the page before it goes to the URL. */
  prepare?: (page: Page) => Promise<unknown>;
};

/** A page in a tab of its own profile, live unless `state` says otherwise. */
export async function openPage(url: string, options: PageOptions = {}) {
  // With the first test that needs it: a file whose tests are all skipped starts none.
  browser ??= openShared();
  // A tab of its own: what a test left in `sessionStorage` must not meet the next one.
  const { state = 'live', prepare, ...contextOptions } = options;
  const context = await (await browser).newContext({
    viewport: LAPTOP,
    // The bell would ring, and be painted sixty times a second, at each event.
    reducedMotion: 'reduce',
    ...contextOptions,
  });
  open.push(context);
  closeAfterTest(closeOpen);
  context.setDefaultTimeout(30_000);
  // The faults are gathered, not thrown: they come while a test waits for something else.
  const page = await context.newPage();
  const faults: string[] = [];
  const { origin } = new URL(url);
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (/Content.Security.Policy/i.test(message.text())) faults.push(message.text());
  });
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) faults.push(`a request to ${request.url()}`);
  });
  page.on('dialog', (dialog) => faults.push(`a dialog: ${dialog.message()}`));
  // Before the page loads: what is put into its place later comes too late for what it does at the start.
  await prepare?.(page);
  await page.goto(url);
  if (state !== '') await inState(page, state);
  return { page, context, faults };
}

/** For all files of this process. */
function openShared(): Promise<Browser> {
  const opening = openBrowser();
  closeWithProcess(async () => (await opening).close());
  return opening;
}

let shared: Awaited<ReturnType<typeof openPage>> | undefined;
let sharedPrepare: PageOptions['prepare'];

/** With its file: what it shows comes from a server of that file. */
async function closeShared(): Promise<void> {
  await shared?.context.close();
  shared = undefined;
}

/**
 * The page that the tests of a file share, as the last one left it but for what it noted: to load it takes longer than
 * most tests. Who left it elsewhere, or not live, leaves the next one a fresh one; so does who wants it prepared otherwise.
 * @param state what a fresh one is waited for
 */
export async function samePage(
  url: string,
  prepare?: PageOptions['prepare'],
  state = 'live',
): ReturnType<typeof openPage> {
  const isFit = async () =>
    sharedPrepare === prepare &&
    shared?.page.url() === new URL(url).href &&
    (await shared.page.locator('[data-state="live"]#state').count());
  if (!(await isFit())) {
    await closeShared();
    sharedPrepare = prepare;
    shared = await openPage(url, prepare ? { prepare, state } : { state });
    outlive(shared);
    closeWithFile(closeShared);
  }
  shared!.faults.length = 0;
  await shared!.page.setViewportSize(LAPTOP);
  return shared!;
}

/** What is opened so is there for the next tests of the file, too. */
export function outlive({ context }: { context: BrowserContext }): void {
  open.splice(open.indexOf(context), 1);
}

/** Of this process alone: one that processes share is slower, since what a test asks of it goes through another process. */
export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/** Waits until the page shows this state. */
export const inState = (page: Page, state: string) => page.waitForSelector(`[data-state="${state}"]#state`);

/** The id of the last event that the page has seen. */
export const lastEventId = (page: Page) => page.locator('#state').getAttribute('data-last-event-id');

// By what a reader of the page, or a screen reader, finds them by: so a label that is lost fails a test.
export const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
export const region = (page: Page, name: string) => page.getByRole('region', { name, exact: true });
export const field = (page: Page, name: string) => page.getByLabel(name, { exact: true });

/** Adds a customer as a reader of the page would. */
export async function addCustomer(page: Page, name: string, email = ''): Promise<void> {
  await field(page, 'Name').fill(name);
  await field(page, 'Email').fill(email);
  await button(page, 'Add customer').click();
}

/** Names in the table, newest first. */
export const namesInTable = (page: Page) => page.locator('#customers tr td:nth-of-type(1)').allTextContents();

/** The line in the log that says how an outage went. */
export const verdict = (page: Page, words: string) => page.locator('#log .bar').getByText(words).first();

/** Sentences in the log, oldest first. */
export const sentences = (page: Page) => page.locator('#log button span').allTextContents();

// WCAG 2.2, 1.4.10 Reflow: 320 CSS pixels, which is also what 1280 pixels are at 400 %.
const NARROW = { width: 320, height: 640 };
const ZOOMED = { width: 320, height: 256 }; // 1280 by 1024 at 400 %

// What colours and the width of the window can break; other rules look at what is in the page, which is the same.
const RULES_OF_COLOUR_AND_SIZE = ['color-contrast', 'target-size', 'scrollable-region-focusable'];

/**
 * As everyone may need to look at it: wide in light, at 320 px in dark, at 400 % zoom; nothing is wider than the window.
 * The first time all rules are asked, then those that colours and width can answer otherwise; zoomed it is as narrow as that.
 * With LOOKS=all, as the soak has it, all of them each time, and of the whole page.
 * @param part what this state changes, where the rest of the page was looked at in another state: a selector
 */
export async function assertGoodToLookAt(page: Page, when: string, part?: string): Promise<void> {
  const wide = page.viewportSize();
  const isAll = process.env.LOOKS === 'all';
  const place = isAll ? undefined : part;
  await assertAccessible(page, when, [], place);
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize(NARROW);
  await assertNotTooWide(page, `${when}, at 320 px`);
  await assertAccessible(page, `${when}, dark, at 320 px`, isAll ? [] : RULES_OF_COLOUR_AND_SIZE, place);
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize(ZOOMED);
  await assertNotTooWide(page, `${when}, at 400 % zoom`);
  if (isAll) await assertAccessible(page, `${when}, at 400 % zoom`);
  if (wide) await page.setViewportSize(wide);
}

/** A page that scrolls sideways hides what stands at its end. */
async function assertNotTooWide(page: Page, when: string): Promise<void> {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${when}: ${overflow} px too wide`);
}

const WCAG = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

/** No violation of WCAG 2.2 A and AA that axe-core can see, in all of the page or a part; or none of these rules of its own. */
export async function assertAccessible(
  page: Page,
  when: string,
  rules: string[] = [],
  part = 'html',
): Promise<void> {
  const runOnly = rules.length > 0 ? { type: 'rule', values: rules } : { type: 'tag', values: WCAG };
  const found = await within(violationsIn(page, part, { runOnly }), 'axe-core', { takes: AXE_MS });
  assert.deepEqual(found, [], when);
}

const AXE = require.resolve('axe-core/axe.min.js');

/** Each with the HTML of its places, so that one can search for it. */
async function violationsIn(page: Page, part: string, options: object): Promise<string[]> {
  // Once for each page and not for each look: to read it takes the browser as long as to look.
  if (!(await page.evaluate('"axe" in window'))) await page.evaluate(readFileSync(AXE, 'utf8'));
  const asked = JSON.stringify({ ...options, resultTypes: ['violations'] });
  const run = `axe.run(${part === 'html' ? 'document' : JSON.stringify(part)}, ${asked})`;
  const line = '({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join(" ")';
  return page.evaluate<string[]>(`${run}.then(({ violations }) => violations.map(${line}))`);
}
