// The commands of the lessons, as a learner meets them: in a copy of the project, with what goes wrong in a class: line
// ends of Windows, a ZIP without git, a syntax error, an endless loop.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { get, startServer, within } from '../support/helpers.ts';
import { ROOT } from './commands.ts';
import { runSql } from './database.ts';
import { Desk, PATIENCE_MS } from './desk.ts';
import { LESSONS, takeOut } from './lessons.ts';
import { placeInSql } from './trouble.ts';

const FRAMES = 'lib/stream/frames.ts';
const HUB = 'lib/stream/hub.ts';

const [, frames] = LESSONS;
const { find: lost, put: marker } = frames!.edits[0]!;

/** What SQLite says of it. */
function faultOf(sql: string): string {
  try {
    runSql(':memory:', sql, 0);
    return 'nothing';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('npm run lesson', { concurrency: 3 }, () => {
  test('a lesson from its start to its end, with another solution than ours, and everything back as it came', async () => {
    const desk = new Desk();
    const clean = desk.read(FRAMES);
    const begun = await desk.run('start', '2');
    assert.equal(begun.code, 0, begun.text);
    assert.match(begun.text, /lib\/stream\/frames\.ts:\d+/);
    assert.equal(desk.read(FRAMES), takeOut(frames!, FRAMES, clean));

    const red = await desk.run('check');
    assert.equal(red.code, 1);
    assert.match(red.text, /^The message has 126 bytes, and its header says 125\.$/m);
    const other = '    bytes.set([126, length >> 8, length & 255], start + 1);\n';
    desk.replace(FRAMES, marker, other);
    const green = await desk.run('check');
    assert.deepEqual([green.code, /✘/.test(green.text)], [0, false], green.text);
    assert.match((await desk.run()).text, /^✔ 2 |^▸ 2 /m);
    assert.match((await desk.run('diff')).text, /\+ {5}bytes\.set/);

    await desk.run('reset');
    assert.equal(desk.read(FRAMES), clean);
    assert.ok(desk.read('.lessons/mine/2-frames.ts').includes(other), 'what the learner wrote is kept');
    assert.match((await desk.run()).text, /^✔ 2 /m);
  });

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

  test('a fault in SQL has its line: that of the word which SQLite names, or where the learner began', () => {
    const sql = 'lib/store/sqlite-customers.sql';
    const clean = readFileSync(join(ROOT, sql), 'utf8');
    const { find } = LESSONS[3]!.edits[0]!;
    const line = clean.slice(0, clean.indexOf(find)).split('\n').length;
    const placed = (sentence: string, text: string) => placeInSql(sentence, sql, text, clean);
    const faults: [wrong: string, put: string, line: number, says: string][] = [
      [' FROM', ' FRM', line + 1, 'near "changebell_customers": syntax error'],
      [';\n', '\n', line + 2, 'near "END": syntax error'],
      ['data)', 'data', line + 1, 'near "SELECT": syntax error'],
    ];
    for (const [wrong, put, at, says] of faults) {
      const text = clean.replace(find, find.replace(wrong, put));
      assert.equal(placed(faultOf(text), text), `${sql}:${at}: ${says}`);
    }
    const text = clean.replace(find, find.replace('type,', ''));
    assert.equal(placed('3 values for 2 columns', text), `${sql}:${line}: 3 values for 2 columns`);
    assert.equal(placed('One customer was saved.', text), 'One customer was saved.', 'a promise has no line');
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

  test('a file with other changes is refused, with what to do, from a ZIP as well as from a clone', async () => {
    const zip = new Desk();
    zip.replace(FRAMES, lost, '    // mine\n');
    const refused = await zip.type('start', '2');
    assert.equal(refused.code, 1);
    assert.match(refused.text, /holds this 0 times[\s\S]*from git or the ZIP/);
    assert.ok(!existsSync(zip.file('.lessons/clean')), 'nothing was begun');

    const clone = new Desk();
    clone.git('init', '--quiet');
    clone.git('add', 'lib');
    clone.git('commit', '--quiet', '-m', 'as it came');
    clone.write(FRAMES, `${clone.read(FRAMES)}// a note of mine\n`);
    const { code, text } = await clone.type('start', '2');
    assert.equal(code, 1);
    assert.match(text, /git stash[\s\S]*git checkout lib\/stream\/frames\.ts/);
  });

  test('three hints, one more each time, and only then the solution', async () => {
    const desk = new Desk();
    await desk.type('start', '2');
    assert.match((await desk.type('solve', '2')).text, /First the hints: there are 3 left/);
    for (const count of [1, 2, 3])
      assert.equal((await desk.type('hint')).text.match(/^\d\. /gm)?.length, count);
    assert.ok((await desk.type('solve')).text.includes(lost));
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

  test('what is not there is said, with what is', async () => {
    const desk = new Desk();
    assert.match((await desk.run('chekc')).text, /There is no command chekc\.[\s\S]*check, watch/);
    assert.match((await desk.type('start', '9')).text, /There is no lesson 9\./);
    assert.match((await desk.type('check')).text, /No lesson is open\. Begin one: npm run lesson -- start 1/);
    assert.match((await desk.type('read', '3', 'xx')).text, /There is no 3\.xx\.md yet/);
    assert.match((await desk.type('read', '3', 'de')).text, /Das Set/);
  });
});
