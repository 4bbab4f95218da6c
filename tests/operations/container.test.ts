// The container file of lib/operations/README.md, its steps done by hand: what it copies is enough, what it sets is
// right, and its health check knows a server that lives from one that doesn't.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { get, post } from '../support/helpers.ts';
import {
  copyProgram,
  dataFolder,
  installPackages,
  nobody,
  openFolder,
  sizeOf,
  startInstalled,
} from '../support/installation.ts';
import { freePort } from '../support/postgres-cluster.ts';
import { OPERATIONS, recipe } from '../support/recipes.ts';
import { stripTypes } from '../support/typescript.ts';

const MEGABYTE = 1_000_000;
const FILE = recipe('dockerfile', 'HEALTHCHECK');
const [PACKAGES = '', PROGRAM = ''] = FILE.split(/^(?=FROM)/m).filter((stage) => stage.startsWith('FROM'));

/** What stands behind this word, of each line that begins with it. */
const linesOf = (word: string, text: string) =>
  [...text.matchAll(new RegExp(`^${word} (.*)$`, 'gm'))].map(([, rest]) => rest!);
const [, health = ''] = FILE.match(/^HEALTHCHECK .* CMD (.*)$/m) ?? [];

/** What its COPY lines take from the repository. */
const sourcesOf = (text: string) =>
  linesOf('COPY', text)
    .filter((line) => !line.startsWith('--from'))
    .flatMap((line) => line.split(' ').slice(0, -1));

async function isHealthy(env: Record<string, string>): Promise<boolean> {
  const [, ...args] = JSON.parse(health) as string[];
  const child = spawn(process.execPath, args, { env, ...nobody, stdio: 'ignore' });
  const [code] = await once(child, 'exit');
  return code === 0;
}

test('the steps of the container file make a program that runs without rights, and is known to live', {
  skip: process.platform === 'win32' && 'the container is Linux',
}, async () => {
  const app = openFolder();
  copyProgram(sourcesOf(PACKAGES), app);
  assert.deepEqual(linesOf('RUN', PACKAGES), ['npm ci --omit=dev']);
  installPackages(app);
  const size = sizeOf(join(app, 'node_modules')) / MEGABYTE;
  const said = Number(/development are (\d+) MB/.exec(OPERATIONS)?.[1]);
  assert.ok(size < 1.2 * said, `the packages are ${size.toFixed(1)} MB, and the page says ${said}`);
  copyProgram(sourcesOf(PROGRAM), app);

  assert.deepEqual(linesOf('USER', PROGRAM), ['node'], 'not root');
  const [volume] = linesOf('VOLUME', PROGRAM);
  const settings = linesOf('ENV', PROGRAM).join(' ').replaceAll(volume!, dataFolder());
  const port = String(await freePort());
  const env = { ...Object.fromEntries(settings.split(' ').map((pair) => pair.split('='))), PORT: port };
  assert.equal(env.HOST, '0.0.0.0', 'else nobody outside reaches it');
  const [, ...file] = JSON.parse(linesOf('CMD', PROGRAM)[0]!) as string[];

  assert.equal(await isHealthy(env), false, 'nothing runs yet');
  const server = await startInstalled(app, ['node', ...stripTypes, ...file], env);
  assert.equal(await isHealthy(env), true, server.output());
  assert.equal((await post(`http://127.0.0.1:${port}/api/customers`, { name: 'Ada' })).status, 201);
  assert.equal((await get(`http://127.0.0.1:${port}/`)).status, 200);
  assert.equal(await server.stop(), 0, server.output());
  assert.equal(await isHealthy(env), false, 'it ended');
});
