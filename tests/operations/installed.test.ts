// The program as it is installed, by the container file of lib/operations/README.md, its steps done by hand, and run by
// the unit for systemd: what is copied is enough, and a user suffices who owns nothing but the folder of the database.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import {
  get,
  post,
  ROOT,
  type Server,
  skipWithout,
  startServer,
  temporaryFolder,
} from '../support/helpers.ts';
import {
  copyProgram,
  dataFolder,
  installPackages,
  nobody,
  openFolder,
  sizeOf,
} from '../support/installation.ts';
import { OPERATIONS, recipe } from '../support/recipes.ts';
import { stripTypes } from '../support/typescript.ts';

const MEGABYTE = 1_000_000;
const WORST_EXPOSURE = 1.4; // of 10
const UNIT = readFileSync(join(ROOT, 'lib/operations/changebell.service'), 'utf8');
const [PACKAGES = '', PROGRAM = ''] = recipe('dockerfile', 'HEALTHCHECK')
  .split(/^(?=FROM)/m)
  .filter((stage) => stage.startsWith('FROM'));

/** What stands behind this word, of each line that begins with it: `User=…` in the unit, `USER …` in the other. */
const valuesOf = (word: string, text: string) =>
  [...text.matchAll(new RegExp(`^${word}[ =](.*)$`, 'gm'))].map(([, value]) => value!);

/** What its COPY lines take from the repository. */
const sourcesOf = (stage: string) =>
  valuesOf('COPY', stage)
    .filter((line) => !line.startsWith('--from'))
    .flatMap((line) => line.split(' ').slice(0, -1));

/** `A=1 B=2` as an object. */
const toEnv = (text: string): Record<string, string> =>
  Object.fromEntries(text.split(' ').map((pair) => pair.split(/=(.*)/).slice(0, 2)));

async function isHealthy(env: Record<string, string>): Promise<boolean> {
  const [, health = ''] = /^HEALTHCHECK .* CMD (.*)$/m.exec(PROGRAM) ?? [];
  const [, ...args] = JSON.parse(health) as string[];
  const child = spawn(process.execPath, args, { env, ...nobody, stdio: 'ignore' });
  const [code] = await once(child, 'exit');
  return code === 0;
}

/** It answers, it saves, it has its page; and it ends as it should. */
async function assertWorks(server: Server): Promise<void> {
  assert.equal((await get(`${server.url}/readyz`)).status, 200);
  assert.equal((await post(`${server.url}/api/customers`, { name: 'Ada' })).status, 201);
  assert.equal((await get(`${server.url}/`)).status, 200);
  assert.equal((await server.stop()).code, 0, server.output.stderr);
}

describe('installed', { skip: process.platform === 'win32' && 'it is a Linux that is played here' }, () => {
  const app = openFolder();
  before(() => {
    copyProgram(sourcesOf(PACKAGES), app);
    installPackages(app);
    copyProgram(sourcesOf(PROGRAM), app);
  });

  test('by the container file it has few packages, runs without rights, and is known to live', async () => {
    assert.deepEqual(valuesOf('RUN', PACKAGES), ['npm ci --omit=dev']);
    const size = sizeOf(join(app, 'node_modules')) / MEGABYTE;
    const said = Number(/development are (\d+) MB/.exec(OPERATIONS)?.[1]);
    assert.ok(size < 1.2 * said, `the packages are ${size.toFixed(1)} MB, and the page says ${said}`);
    assert.deepEqual(valuesOf('USER', PROGRAM), ['node'], 'not root');
    assert.deepEqual(valuesOf('CMD', PROGRAM), ['["node", "server.ts"]']);
    const settings = valuesOf('ENV', PROGRAM)
      .join(' ')
      .replaceAll(valuesOf('VOLUME', PROGRAM)[0]!, dataFolder());
    const env: Record<string, string> = { ...toEnv(settings), PORT: '0' };
    assert.equal(env.HOST, '0.0.0.0', 'else nobody outside reaches it');

    const server = await startServer(env, stripTypes, { cwd: app, ...nobody });
    const asked = { ...env, PORT: String(server.port) };
    assert.equal(await isHealthy(asked), true, server.output.stderr);
    await assertWorks(server);
    assert.equal(await isHealthy(asked), false, 'it has ended');
  });

  test('what the unit for systemd starts runs as a user who may write its folder alone', async () => {
    const data = dataFolder();
    const env = toEnv(valuesOf('Environment', UNIT).join(' ').replace('/var/lib/changebell', data));
    const [, args = ''] = /^ExecStart=\/usr\/bin\/node (.*) server\.ts$/m.exec(UNIT) ?? [];
    await assertWorks(await startServer(env, args.split(' '), { cwd: app, ...nobody }));
    assert.ok(readdirSync(data).includes('changebell.db'));
  });
});

test('systemd finds nothing wrong with the unit, and little that it could do to the machine', {
  skip: skipWithout('/usr/bin/systemd-analyze', 'systemd'),
}, () => {
  const file = join(temporaryFolder(), 'changebell.service');
  writeFileSync(file, UNIT.replaceAll('/usr/bin/node', process.execPath)); // verified, too, is that it is there
  const analyze = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync('systemd-analyze', [...args, file], { encoding: 'utf8' });
    return { status, text: stdout + stderr };
  };
  assert.deepEqual(analyze('verify', '--man=no'), { status: 0, text: '' });
  const own = ['User', 'ProtectSystem', 'StateDirectory'].map((word) => valuesOf(word, UNIT));
  assert.deepEqual(own, [['changebell'], ['strict'], ['changebell']]);
  const { text } = analyze('security', '--offline=true', '--no-pager');
  const exposure = Number(/exposure level for changebell\.service: ([\d.]+)/.exec(text)?.[1]);
  assert.ok(exposure <= WORST_EXPOSURE, `the exposure is ${exposure}: ${text}`);
});
