// Which file a path names: nothing outside the folder, no dot file, a folder by its index; and that what can't be
// read is never told as what isn't there.
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Refusals } from '../../lib/http/refusals.ts';
import { createStaticFiles } from '../../lib/http/static-files.ts';
import { temporaryFolder } from '../support/helpers.ts';

const outside = temporaryFolder();
const folder = join(outside, 'public');
mkdirSync(join(folder, 'lessons', 'one two'), { recursive: true });
mkdirSync(join(folder, 'empty'));
mkdirSync(join(folder, '.git'));
for (const file of [
  'index.html',
  'app.js',
  'lessons/index.html',
  'lessons/one two/index.html',
  '.git/config',
  '.env',
])
  writeFileSync(join(folder, file), file);
writeFileSync(join(outside, 'secret.txt'), 'secret');
symlinkSync(join(outside, 'secret.txt'), join(folder, 'link.txt'));
symlinkSync(outside, join(folder, 'up'));
symlinkSync('loop', join(folder, 'loop'));
const files = createStaticFiles(new Refusals(), folder);

test('a path names a file, and a folder with a slash its index', async () => {
  for (const [path, file] of [
    ['/', 'index.html'],
    ['/app.js', 'app.js'],
    ['/lessons/', 'lessons/index.html'],
    ['/lessons/one%20two/', 'lessons/one two/index.html'],
  ] as const)
    assert.deepEqual(await files.find(path), { file: join(folder, file) }, path);
});

test('a folder without the slash is sent to the one with it, or its links would lead elsewhere', async () => {
  assert.deepEqual(await files.find('/lessons'), { redirect: '/lessons/' });
  assert.deepEqual(await files.find('/lessons/one%20two'), { redirect: '/lessons/one%20two/' });
});

test('there is nothing outside, behind a link that leads there, or with a dot', async () => {
  for (const path of [
    '/nope',
    '/empty',
    '/empty/',
    '/app.js/',
    '//',
    '//lessons/',
    '/%2f',
    '/.env',
    '/.git/config',
    '/.git/',
    '/%2egit/config',
    '/link.txt',
    '/up/secret.txt',
    '/up/',
    '/up',
    '/loop',
    '/..',
    '/../secret.txt',
    '/lessons/../../secret.txt',
    '/lessons\\\\..\\\\app.js',
    '/app.js%00',
    `/${'x'.repeat(5000)}`,
  ])
    assert.equal(await files.find(path), undefined, path);
});
