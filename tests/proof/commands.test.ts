// What a user is told to type, as it stands in the README. The other tests start the program in a way that takes less
// time where Node can't strip types by itself.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { closeAfterTest } from '../support/cleanup.ts';
import {
  eventually,
  get,
  post,
  ROOT,
  type Server,
  skipWithout,
  startServer,
  temporaryFolder,
} from '../support/helpers.ts';
import { runShell } from '../support/recipes.ts';
import { stripTypes } from '../support/typescript.ts';

const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const tsx = createRequire(import.meta.url).resolve('tsx/cli'); // what npx runs

/** The blocks in this language that have this in them. */
const blocks = (language: string, part: string) =>
  [...README.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter(([, name, block]) => name === language && block!.includes(part))
    .map(([, , block]) => block!);

/** Runs until the test ends. @returns all that it has printed so far */
function listen(program: string, args: string[]): () => string {
  const child = spawn(program, args, { cwd: ROOT });
  closeAfterTest(() => child.kill());
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  return () => output;
}

const at = (server: Server, block: string) => block.replaceAll('localhost:5000', new URL(server.url).host);

for (const [command, before] of [
  ['npx tsx server.ts', [tsx]],
  ['node --import tsx server.ts', ['--import', 'tsx']],
  ...(stripTypes.length === 0 ? [['node server.ts', []] as const] : []), // Node 22.18 and later
] as const) {
  test(`${command} starts it, and it answers`, async () => {
    const server = await startServer({}, before);
    assert.equal((await get(`${server.url}/api/customers`)).status, 200);
    assert.equal((await server.stop()).code, 0);
  });
}

test('what is typed in one terminal is heard in the other', {
  skip: skipWithout('/usr/bin/curl', 'curl'),
}, async () => {
  const server = await startServer();
  const [listening, change, notice] = blocks('sh', 'curl').map((block) => at(server, block));
  assert.ok(listening?.includes('-N') && change && notice);
  const heard = listen('sh', ['-c', `exec ${listening}`]);
  await eventually(heard, (text) => text.includes('stream.ready'), 'the stream begins');
  await runShell(`${change}\n${notice}`, ROOT);
  await eventually(heard, (text) => /Ada Lovelace[\s\S]*Lunch is ready/.test(text), 'both are heard');
});

test('the program with the client library takes each change in order, and stores where it stands', async () => {
  const server = await startServer();
  const [code] = blocks('js', 'new ChangeStream').map((block) => at(server, block));
  const file = join(temporaryFolder(), 'program.mjs');
  const before = `let lastEventId;
    const load = async () => (await (await fetch('${server.url}/api/customers')).json()).lastEventId;
    const apply = async ({ data }) => console.log('applied', data.name);
    const save = async (id) => console.log('saved', id);\n`;
  writeFileSync(
    file,
    before + code!.replace('./public/changebell.js', pathToFileURL(join(ROOT, 'public/changebell.js')).href),
  );
  const said = listen(process.execPath, [file]);
  await eventually(
    () => get(`${server.url}/healthz`),
    ({ body }) => body.clients === 1,
    'it listens',
  );
  const ids = [];
  for (const name of ['Ada', 'Grace'])
    ids.push((await post(`${server.url}/api/customers`, { name })).headers.get('last-event-id'));
  const all = `applied Ada\nsaved ${ids[0]}\napplied Grace\nsaved ${ids[1]}\n`;
  await eventually(said, (text) => text === all, 'it has said so');
});

test('the README is short enough to be read before anything is tried', () => {
  assert.ok(README.trimEnd().split('\n').length <= 130);
});
