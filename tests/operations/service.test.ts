// The unit for systemd that the repository has: systemd finds nothing wrong with it, and what it starts runs with a
// user who may write one folder only.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { get, post, ROOT, skipWithout, temporaryFolder } from '../support/helpers.ts';
import {
  copyProgram,
  dataFolder,
  installPackages,
  openFolder,
  startInstalled,
} from '../support/installation.ts';

const UNIT = readFileSync(join(ROOT, 'lib/operations/changebell.service'), 'utf8');
const WORST_EXPOSURE = 1.4; // of 10

/** Every value that the unit gives this name. */
const valuesOf = (name: string) =>
  [...UNIT.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value]) => value!);

function analyze(...args: string[]) {
  const file = join(temporaryFolder(), 'changebell.service');
  writeFileSync(file, UNIT.replaceAll('/usr/bin/node', process.execPath)); // it must be there to be verified
  const { status, stdout, stderr } = spawnSync('systemd-analyze', [...args, file], { encoding: 'utf8' });
  return { status, text: stdout + stderr };
}

const skip = skipWithout('/usr/bin/systemd-analyze', 'systemd');

test('systemd finds nothing wrong with the unit, and little that it could do to the machine', {
  skip,
}, () => {
  assert.deepEqual(analyze('verify', '--man=no'), { status: 0, text: '' });
  const lines = ['User', 'ProtectSystem', 'StateDirectory'].map(valuesOf);
  assert.deepEqual(lines, [['changebell'], ['strict'], ['changebell']]);
  const { text } = analyze('security', '--offline=true', '--no-pager');
  const exposure = Number(/exposure level for changebell\.service: ([\d.]+)/.exec(text)?.[1]);
  assert.ok(exposure <= WORST_EXPOSURE, `the exposure is ${exposure}: ${text}`);
});

test('what the unit starts runs as a user who may write its folder alone, and ends with 0', {
  skip: process.platform === 'win32' && 'no such users',
}, async () => {
  const folder = openFolder();
  copyProgram(['package.json', 'package-lock.json', 'server.ts', 'lib', 'public'], folder);
  installPackages(folder);
  const data = dataFolder();
  const settings = valuesOf('Environment').join(' ').replace('/var/lib/changebell', data);
  const env = Object.fromEntries(settings.split(' ').map((pair) => pair.split(/=(.*)/).slice(0, 2)));
  const [command] = valuesOf('ExecStart');
  const server = await startInstalled(folder, command!.split(' '), { ...env, PORT: '0' });
  assert.equal((await post(`${server.url}/api/customers`, { name: 'Ada' })).status, 201);
  assert.equal((await get(`${server.url}/readyz`)).status, 200);
  assert.equal((await get(`${server.url}/`)).status, 200);
  assert.equal(await server.stop(), 0, server.output());
  assert.ok(readdirSync(data).includes('changebell.db'));
});
