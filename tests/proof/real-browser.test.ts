// A browser's own WebSocket and EventSource, in headless Chromium, on a page without any code of ours: each is
// cut off, comes back from its last id, and has every event once. And what a browser lets a page of elsewhere do.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { needsChromium, openBrowser } from '../support/browser.ts';
import { eventually, type Frame, isOwn, post, range, startServer } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';

const { skip } = needsChromium;
let server: OpenServer;
let browser: Browser;
before(async () => {
  server = await openServer();
  if (!skip) browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await server.stop();
});

const stored = (frames: Frame[]) => frames.filter((frame) => !isOwn(frame));

/** An empty page of the server's own origin, in which `frames` collects what comes. */
async function openPage(
  { url }: { url: string },
  script: string,
): Promise<{ page: Page; frames: () => Promise<Frame[]> }> {
  const page = await browser.newPage();
  await page.goto(`${url}/healthz`);
  await page.evaluate(`frames = []; ${script}`);
  const frames = () => page.evaluate<Frame[]>('frames');
  await eventually(frames, (all) => all.length > 0, 'the first frame');
  return { page, frames };
}

const WEBSOCKET = `
  function listen(query) {
    socket = new WebSocket('ws://' + location.host + '/ws' + query, 'cloudevents.json');
    socket.onmessage = ({ data }) => frames.push(JSON.parse(data));
    socket.onclose = () => listen('?lastEventId=' + frames.at(-1).id);
  }
  listen('');`;

test("a browser's WebSocket is cut off, resumes from its last id, and has everything once", {
  skip,
}, async () => {
  const { page, frames } = await openPage(server, WEBSOCKET);
  const publish = async (data: number) => (await post(`${server.url}/api/events`, { data })).body;
  const sent = [await publish(1)];
  await page.evaluate(`socket.send('{"lab":"cut"}')`);
  for (const data of range(2, 30)) sent.push(await publish(data));
  const all = await eventually(frames, (seen) => stored(seen).length >= 30, '30 events');
  assert.deepEqual(stored(all), sent);
  assert.equal(all.filter((frame) => frame.type === 'stream.ready').length, 2);
  assert.equal(await page.evaluate('socket.protocol'), 'cloudevents.json');
  await page.close();
});

const EVENT_SOURCE = `
  source = new EventSource('/api/events');
  source.onmessage = ({ data, lastEventId }) => frames.push({ ...JSON.parse(data), id: lastEventId });`;

test("a browser's EventSource comes back by itself after kill -9, and has everything once", {
  skip,
}, async () => {
  const first = await startServer();
  const { page, frames } = await openPage(first, EVENT_SOURCE);
  const sent = [(await post(`${first.url}/api/events`, { data: 'before' })).body];
  await eventually(frames, (all) => stored(all).length === 1, 'the first event');
  await first.kill9();
  const second = await openServer({ PORT: String(first.port), DATABASE_URL: first.databaseFile });
  sent.push((await post(`${second.url}/api/events`, { data: 'after' })).body);
  const all = await eventually(frames, (seen) => stored(seen).length >= 2, 'the event after the restart');
  assert.deepEqual(stored(all), sent);
  await page.close();
  await second.stop();
});

// A module is fetched with CORS, and so are the files that it imports: one without its header, and nothing runs.
const IMPORTED = (url: string) => `import('${url}/changebell.js').then(({ LiveTable }) => {
  const table = new LiveTable('${url}/api/customers');
  return table.ready.then(() => [...table.values()].map(({ name }) => name));
})`;

test('a page of an allowed origin imports the client library from the server, and a stranger cannot', {
  skip,
}, async () => {
  const page = await browser.newPage();
  await page.goto(`${server.url}/healthz`); // it plays the app: another port is another origin
  const bell = await openServer({ ALLOWED_ORIGINS: new URL(server.url).origin });
  await post(`${bell.url}/api/customers`, { name: 'Ada' });
  assert.deepEqual(await page.evaluate(IMPORTED(bell.url)), ['Ada']);
  const stranger = await openServer();
  await assert.rejects(page.evaluate(IMPORTED(stranger.url)), /Failed to fetch dynamically imported module/);
  await page.close();
  await bell.stop();
  await stranger.stop();
});
