// What goes wrong at a desk, and what comes from other desks: line ends of Windows, a syntax error, an endless loop, a
// board. Each of these stories starts the program several times, so that they are the soak's.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { get, startServer, within } from '../support/helpers.ts';
import { Desk, PATIENCE_MS } from './desk.ts';
import { LESSONS } from './lessons.ts';

const FRAMES = 'lib/stream/frames.ts';
const HUB = 'lib/stream/hub.ts';

const { find: lost, put: marker } = LESSONS[1]!.edits[0]!;

describe('npm run lesson', { concurrency: 3 }, () => {
  test('who starts another lesson, or the same again, loses nothing', async () => {
    const desk = new Desk();
    const clean = desk.read(FRAMES);
    for (const work of ['// first\n', '// second\n']) {
      await desk.type('start', '2');
      desk.replace(FRAMES, marker, work);
    }
    await desk.type('start', '3');
    assert.equal(desk.read(FRAMES), clean);
    const kept = readdirSync(desk.file('.lessons/mine')).map((name) => desk.read(`.lessons/mine/${name}`));
    assert.deepEqual([kept.length, kept.some((text) => text.includes('// first'))], [2, true]);
  });

  test('line ends of Windows stay what they are', async () => {
    const desk = new Desk();
    const windows = desk.read(FRAMES).replaceAll('\n', '\r\n');
    desk.write(FRAMES, windows);
    const begun = await desk.type('start', '2');
    assert.equal(begun.code, 0, begun.text);
    assert.doesNotMatch(desk.read(FRAMES), /[^\r]\n/);
    await desk.type('reset');
    assert.equal(desk.read(FRAMES), windows);
  });

  test('a syntax error is one line with its file and line; a name that is not there as well', async () => {
    const desk = new Desk();
    await desk.type('start', '2');
    desk.replace(FRAMES, marker, '    bytes[start + 1 = 126;\n');
    const { text } = await desk.type('check');
    assert.match(text, /^✘ lib\/stream\/frames\.ts:\d+ is not TypeScript: .+\n\nStuck\?/);
    desk.replace(FRAMES, '    bytes[start + 1 = 126;\n', '    byts[start + 1] = 126;\n');
    const named = await desk.type('check');
    assert.match(named.text, /lib\/stream\/frames\.ts:\d+: ReferenceError: byts is not defined/);
  });

  test('an endless loop ends by itself, with a sentence', async () => {
    const desk = new Desk();
    await desk.type('start', '2');
    // It stands in its loop for ever without taking the processor from the other tests.
    desk.replace(
      FRAMES,
      marker,
      '    for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);\n',
    );
    const { code, text } = await desk.type('check');
    assert.equal(code, 1);
    assert.match(text, /It never came to an end \(\d+ s\): does something go round and round\?/);
  });

  test('watch tries it at each save', async () => {
    const desk = new Desk();
    await desk.type('start', '3');
    const { child, text } = desk.start('watch');
    const shows = async (pattern: RegExp) => {
      while (!pattern.test(text())) await new Promise((resolve) => child.stdout.once('data', resolve));
    };
    await within(shows(/the Set holds 0\.[\s\S]*Waiting for you to save/), 'the first check', PATIENCE_MS);
    const { find, put } = LESSONS[2]!.edits[0]!;
    desk.replace(HUB, put, find);
    await within(shows(/✔ who has come is in the Set/), 'the check of the saved file', PATIENCE_MS);
    child.kill('SIGKILL');
  });

  test('the board is told by typed events, and a board that is away is one line', async () => {
    const desk = new Desk();
    const server = await startServer();
    assert.match((await desk.type('board', server.url, 'Ada', 'L.')).text, /You are Ada L\./);
    await desk.type('start', '2');
    await desk.type('check');
    assert.doesNotMatch(
      (await desk.type('board', server.url, 'Ada', 'L.')).text,
      /already/,
      'who joins again',
    );
    await desk.type('hint');
    desk.replace(FRAMES, marker, lost);
    await desk.type('check');
    const { events } = (await get(`${server.url}/api/events?types=lesson.*`)).body;
    const told = events.map(({ type, data }: { type: string; data: Record<string, unknown> }) => [
      type,
      data.kept,
    ]);
    assert.deepEqual(told, [
      ['lesson.joined', undefined],
      ['lesson.started', undefined],
      ['lesson.red', 2],
      ['lesson.joined', undefined],
      ['lesson.stuck', undefined],
      ['lesson.done', 6],
    ]);
    assert.deepEqual(events[2].data, {
      nick: 'Ada L.',
      lesson: 2,
      kept: 2,
      of: 6,
      why: 'The message has 126 bytes, and its header says 125.',
    });
    const other = new Desk();
    assert.match(
      (await other.type('board', server.url, 'Ada', 'L.')).text,
      /There is a Ada L\. on the board already/,
    );
    await server.stop();
    const { code, text } = await desk.type('hint');
    assert.equal(code, 0, text);
    assert.match(text, /The board was not told: .* does not answer/);
  });

  test('a board that wants a token gets it each time, and shows it to nobody', async () => {
    const server = await startServer({ API_TOKEN: 'open-sesame' });
    const desk = new Desk();
    const refused = await desk.run('board', server.url, 'Ada');
    assert.deepEqual([refused.code, /wants its token/.test(refused.text)], [1, true], refused.text);
    desk.env.API_TOKEN = 'open-sesame';
    const joined = await desk.run('board', server.url, 'Ada');
    assert.match(joined.text, /You are Ada/);
    desk.env.API_TOKEN = ''; // another terminal
    const begun = await desk.run('start', '2');
    assert.doesNotMatch(begun.text, /not told/);
    assert.doesNotMatch(joined.text + begun.text, /sesame/);
    const headers = { Authorization: 'Bearer open-sesame' };
    const { events } = (await get(`${server.url}/api/events?types=lesson.*`, headers)).body;
    assert.deepEqual(
      events.map(({ type }: { type: string }) => type),
      ['lesson.joined', 'lesson.started'],
    );
    await server.stop();
  });
});
