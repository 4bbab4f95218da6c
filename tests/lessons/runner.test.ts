// The commands of the lessons, as a learner meets them: in a copy of the project, with the first things that go
// wrong in a class. More of them are the soak's: `desk.soak.ts`.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ROOT } from './commands.ts';
import { runSql } from './database.ts';
import { Desk } from './desk.ts';
import { LESSONS, takeOut } from './lessons.ts';
import { placeInSql } from './trouble.ts';

const FRAMES = 'lib/stream/frames.ts';

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

  describe('at one desk', { concurrency: 1 }, () => {
    const desk = new Desk();
    desk.startCommands(); // for all of these tests

    test('what is not there is said, with what is', async () => {
      assert.match((await desk.run('chekc')).text, /There is no command chekc\.[\s\S]*check, watch/);
      assert.match((await desk.type('start', '9')).text, /There is no lesson 9\./);
      for (const typed of [[], ['three']])
        assert.match((await desk.type('start', ...typed)).text, /Which lesson\? Say its number/);
      const { text } = await desk.type('check');
      assert.match(text, /No lesson is open\. Begin one: npm run lesson -- start 1/);
      assert.match((await desk.type('read', '3', 'xx')).text, /There is no 3\.xx\.md yet/);
      assert.match((await desk.type('read', '3', 'de')).text, /Das Set/);
    });

    test('a file with other changes is refused, with what to do, from a ZIP as well as from a clone', async () => {
      const clean = desk.read(FRAMES);
      desk.replace(FRAMES, lost, '    // mine\n');
      const unzipped = await desk.type('start', '2');
      assert.equal(unzipped.code, 1);
      assert.match(unzipped.text, /holds this 0 times[\s\S]*from git or the ZIP/);
      assert.ok(!existsSync(desk.file('.lessons/clean')), 'nothing was begun');

      desk.write(FRAMES, clean);
      desk.git('init', '--quiet');
      desk.git('add', 'lib');
      desk.git('commit', '--quiet', '-m', 'as it came');
      desk.write(FRAMES, `${clean}// a note of mine\n`);
      const cloned = await desk.type('start', '2');
      assert.equal(cloned.code, 1);
      assert.match(cloned.text, /git stash[\s\S]*git checkout lib\/stream\/frames\.ts/);
      desk.write(FRAMES, clean);
    });

    test('three hints, one more each time, and only then the solution', async () => {
      await desk.type('start', '2');
      assert.match((await desk.type('solve', '2')).text, /First the hints: there are 3 left/);
      for (const count of [1, 2, 3])
        assert.equal((await desk.type('hint')).text.match(/^\d\. /gm)?.length, count);
      assert.ok((await desk.type('solve')).text.includes(lost));
    });
  });
});
