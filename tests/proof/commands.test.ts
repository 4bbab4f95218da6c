// What a user is told to type, as it stands in the README. The other tests start the program in a way that takes less
// time where Node can't strip types by itself.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { openDatabase } from '../../lib/store/sqlite.ts';
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

/** Runs until the test ends. `said`: all that it has printed so far. */
function listen(program: string, args: string[], cwd = ROOT) {
  const child = spawn(program, args, { cwd });
  closeAfterTest(() => child.kill());
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  return { child, said: () => output };
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
    const { code } = await server.stop();
    // tsx's own command leaves a program 60 ms to say that it has heard, and kills it then: on a busy machine that is 143.
    if (!(code === 143 && before[0] === tsx)) assert.equal(code, 0);
  });
}

test('what is typed in one terminal is heard in the other', {
  skip: skipWithout('/usr/bin/curl', 'curl'),
}, async () => {
  const server = await startServer();
  const [listening, changes] = blocks('sh', 'curl').map((block) => at(server, block));
  assert.ok(listening?.includes('-N') && changes);
  const { said } = listen('sh', ['-c', `exec ${listening}`]);
  await eventually(said, (text) => text.includes('stream.ready'), 'the stream begins');
  await runShell(changes, ROOT);
  await eventually(said, (text) => /Ada Lovelace[\s\S]*Lunch is ready/.test(text), 'both are heard');
});

test('the program with the client library goes on where it stood, when it is started again', async () => {
  const server = await startServer();
  const [code] = blocks('js', 'new ChangeStream').map((block) => at(server, block));
  const library = pathToFileURL(join(ROOT, 'public/changebell.js')).href;
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'listen.mjs'), code!.replace('./public/changebell.js', library));
  const file = join(folder, 'cursor.txt');
  const add = (name: string) => post(`${server.url}/api/customers`, { name });
  const hears = (said: () => string, ...names: string[]) => {
    const heard = (text: string) => [...text.matchAll(/name: '(\w+)'/g)].map(([, name]) => name).join();
    return eventually(said, (text) => heard(text) === names.join(), `it hears ${names}`);
  };
  const first = listen(process.execPath, ['listen.mjs'], folder);
  const isThere = ({ body }: { body: { clients: number } }) => body.clients === 1;
  await eventually(() => get(`${server.url}/healthz`), isThere, 'it listens');
  const id = (await add('Ada')).headers.get('last-event-id');
  const cursor = () => existsSync(file) && readFileSync(file, 'utf8');
  await eventually(cursor, (text) => text === id, 'it has stored where it stands');
  await hears(first.said, 'Ada');
  first.child.kill();
  await once(first.child, 'exit');
  await add('Grace');
  const second = listen(process.execPath, ['listen.mjs'], folder);
  await hears(second.said, 'Grace');
  await add('Mary');
  await hears(second.said, 'Grace', 'Mary');
});

test('the answer about tables of one’s own works as it is typed: a snapshot, and what follows it', {
  skip: skipWithout('/usr/bin/curl', 'curl'),
}, async () => {
  const reference = readFileSync(join(ROOT, 'public/reference.html'), 'utf8').replaceAll('&amp;', '&');
  const answer = reference.slice(reference.indexOf('id="own-tables"')).split('</details>')[0]!;
  const [start, read] = [...answer.matchAll(/<pre[^>]*><code>([\s\S]*?)<\/code>/g)].map(
    ([, block]) => block!,
  );
  const env = Object.fromEntries(
    [...start!.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value]),
  );
  const DATABASE_URL = join(temporaryFolder(), env.DATABASE_URL!);
  const db = openDatabase(DATABASE_URL);
  db.exec(
    'CREATE TABLE invoices (id INTEGER PRIMARY KEY); CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)',
  );
  db.exec("INSERT INTO orders VALUES (7, 'Engine')");
  const server = await startServer({ ...env, DATABASE_URL });
  const [snapshot, stream] = at(server, read!).split('\n');
  const page = JSON.parse(await runShell(snapshot!.replace('curl', 'curl -s'), ROOT));
  assert.deepEqual([page.rows, page.next], [[{ id: 7, item: 'Engine' }], null]);
  db.exec("UPDATE orders SET item = 'Difference Engine'");
  const { said } = listen('sh', ['-c', `exec ${stream!.replace('…', page.lastEventId)}`]);
  await eventually(said, (text) => /"orders.updated".*Difference Engine/.test(text), 'what followed it');
  db.close();
});

test('the README is short enough to be read before anything is tried', () => {
  assert.ok(README.trimEnd().split('\n').length <= 130);
});
