// Takes the picture of the README anew: `npx tsx tests/support/picture.ts`. It plays *Show me* on a fresh server,
// and shows the stage as it stands at the end. So the picture shows what the program does, and nobody has drawn it.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { CHROMIUM, FLAGS } from './chromium.ts';
import { ROOT, startServer } from './helpers.ts';

const FILE = join(ROOT, 'public/page.png');
// A README is opened on trains too.
const MAX_BYTES = 120_000;
// The whole story, with patience for a slow machine.
const STORY_MS = 30_000;

const server = await startServer();
const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
// Light, and as wide as a README is shown: whoever takes the picture anew gets the same one.
const page = await browser.newPage({ viewport: { width: 1280, height: 720 }, colorScheme: 'light' });
await page.goto(server.url);
await page.waitForSelector('#loop-state[data-state="live"]');
await page.getByRole('button', { name: 'Show me' }).click();
// The last sentence of the story.
await page.locator('#caption-text').getByText('Right: 3 changes lost').waitFor({ timeout: STORY_MS });
await page.mouse.move(0, 0); // no button looks as if someone were about to press it
await page.evaluate(() => scrollTo(0, 0)); // a click may have scrolled
// The stage and what stands above it, at its full width.
const { height = 0, y = 0 } = (await page.locator('#stage').boundingBox()) ?? {};
await page.screenshot({ path: FILE, clip: { x: 0, y: 0, width: 1280, height: y + height } });
await browser.close();
await server.stop();

// A picture that grew is found here, and not by those who wait for it.
const { size } = await stat(FILE);
if (size > MAX_BYTES) throw new Error(`The picture has ${size} bytes: at most ${MAX_BYTES} may be.`);
console.log(`${FILE}: ${size} bytes`);
