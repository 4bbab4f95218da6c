// The board of a class: what it makes of the learners' events, and whether twenty of them can be read from the last
// row of chairs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { follow, rowsOf, summaryOf } from '../../public/workshop/class.js';
import { assertAccessible, needsChromium, openPage } from '../support/browser.ts';
import { post } from '../support/helpers.ts';
import { type OpenServer, openServer } from '../support/open-server.ts';

const MINUTE = 60_000;
const NOON = Date.parse('2026-11-25T12:00:00Z');
const NICKS =
  'Ada Bob Cyd Dan Eve Fay Gus Hal Ivy Joe Kim Leo Mia Ned Oda Pat Quentin-Bartholomew Rosa Sam Tío'.split(
    ' ',
  );
const WHY = 'Ada had seen 1 and 2. 3 and 4 came while she was away. She was told: nothing.';

type Told = { nick: string; lesson: number; kept?: number; of?: number; why?: string; hint?: number };

/** Rows of the class after these events, so many minutes after noon. */
function rowsAfter(events: [minute: number, type: string, data: unknown][], minute: number) {
  const all = new Map();
  for (const [at, type, data] of events)
    follow(all, { type, data, time: new Date(NOON + at * MINUTE).toISOString() });
  return rowsOf(all, NOON + minute * MINUTE);
}

test('who has kept no promise more for three minutes stands on top, longest first; the rest by name', () => {
  const begin = (nick: string): Told => ({ nick, lesson: 3, of: 4 });
  const rows = rowsAfter(
    [
      [0, 'lesson.started', begin('Cyd')],
      [0, 'lesson.started', begin('Bob')],
      [0, 'lesson.started', begin('Ada')],
      [1, 'lesson.red', { ...begin('Bob'), kept: 1, why: WHY }],
      [2, 'lesson.red', { ...begin('Bob'), kept: 0, why: WHY }], // a slip, a hint, and no further than before
      [2, 'lesson.stuck', { ...begin('Bob'), hint: 1 }],
      [3, 'lesson.red', { ...begin('Bob'), kept: 1, why: WHY }],
      [3, 'lesson.red', { ...begin('Ada'), kept: 2 }],
      [4, 'lesson.stuck', { ...begin('Cyd'), hint: 1 }],
    ],
    5,
  );
  assert.deepEqual(
    rows.map(({ nick, isStuck, minutes }) => [nick, isStuck, minutes]),
    [
      ['Cyd', true, 5],
      ['Bob', true, 4],
      ['Ada', false, 2],
    ],
  );
  assert.deepEqual([rows[1]!.kept, rows[1]!.hint, rows[1]!.why], [1, 1, WHY], 'a hint takes nothing away');
  assert.equal(summaryOf(rows), '3 learners, 3 at work, 2 stuck for three minutes');
});

test('who is done is not stuck, however long ago, also where it takes lines out again to see', () => {
  const [ada] = rowsAfter(
    [
      [0, 'lesson.started', { nick: 'Ada', lesson: 1, of: 4 }],
      [1, 'lesson.done', { nick: 'Ada', lesson: 1, kept: 4, of: 4 }],
      [2, 'lesson.red', { nick: 'Ada', lesson: 1, kept: 3, of: 4 }],
    ],
    60,
  );
  assert.deepEqual([ada!.lesson, ada!.isStuck, [...ada!.done]], [0, false, [1]]);
});

test('who has joined is there at once; joining again changes nothing, and last week’s ticks are another class’s', () => {
  const ada = { nick: 'Ada', lesson: 0 };
  const [first] = rowsAfter([[0, 'lesson.joined', ada]], 60);
  assert.deepEqual([first!.nick, first!.lesson, first!.isStuck], ['Ada', 0, false]);
  const begun: [number, string, unknown] = [1, 'lesson.started', { nick: 'Ada', lesson: 3, of: 4 }];
  assert.equal(rowsAfter([begun, [2, 'lesson.joined', ada]], 5)[0]!.isStuck, true);
  const done: [number, string, unknown] = [2, 'lesson.done', { nick: 'Ada', lesson: 3, kept: 4, of: 4 }];
  const [again] = rowsAfter([begun, done, [7 * 24 * 60, 'lesson.joined', ada]], 7 * 24 * 60 + 1);
  assert.equal(again!.done.size, 0);
});

test('yesterday’s class is not today’s, and what has another shape is nobody', () => {
  const odd = [
    null,
    5,
    {},
    { nick: '', lesson: 1 },
    { nick: 'X', lesson: 99 },
    { nick: 'X', lesson: 1, kept: 1e9 },
  ];
  const events = odd.map((data): [number, string, unknown] => [0, 'lesson.red', data]);
  assert.deepEqual(rowsAfter([...events, [0, 'lesson.started', { nick: 'Ada', lesson: 1 }]], 13 * 60), []);
  assert.deepEqual(rowsAfter(events, 1), []);
});

let server: OpenServer;
before(async () => {
  server = await openServer();
});
after(() => server.stop());

const tell = (type: string, data: Told) =>
  post(`${server.url}/api/events`, { type, source: '/lessons/x', data });

test(
  'twenty learners fit on 1920×1080 in large type, from the log and then live',
  needsChromium,
  async () => {
    for (const [index, nick] of NICKS.entries()) {
      await tell('lesson.started', { nick, lesson: 1 + (index % 8), of: 7 });
      await tell('lesson.red', { nick, lesson: 1 + (index % 8), kept: index % 7, of: 7, why: WHY });
    }
    const url = `${server.url}/workshop/board.html`;
    const { page, faults } = await openPage(url, { state: 'live', viewport: { width: 1920, height: 1080 } });
    assert.equal(await page.locator('#rows tr').count(), NICKS.length);
    const size = await page.evaluate(() => ({
      page: [document.documentElement.scrollWidth, document.documentElement.scrollHeight],
      type: Number.parseFloat(getComputedStyle(document.querySelector('#rows th')!).fontSize),
    }));
    assert.ok(size.page[0]! <= 1920 && size.page[1]! <= 1080, `it scrolls: ${size.page}`);
    assert.ok(size.type >= 20, `the names are ${size.type} px high`);
    await assertAccessible(page, 'the board');

    await tell('lesson.started', { nick: '<b>Zoë</b>', lesson: 3, of: 4 });
    await page.getByRole('row', { name: '<b>Zoë</b>' }).waitFor();
    await page.clock.install({ time: Date.now() });
    await page.clock.fastForward(4 * MINUTE);
    assert.deepEqual(faults, []);
  },
);

test('the board of a class with a token asks for it, and is live with it', needsChromium, async () => {
  const guarded = await openServer({ API_TOKEN: 'open-sesame' });
  const url = `${guarded.url}/workshop/board.html`;
  const { page } = await openPage(url, { state: 'waiting' });
  await page.getByText('The class wants its token.').waitFor();
  await page.getByLabel('API token').fill('open-sesame');
  await page.getByRole('button', { name: 'Use this token' }).click();
  await page.getByText('Nobody has joined yet').waitFor();
  await page.locator('#state[data-state="live"]').waitFor();
  await guarded.stop();
});
