// What the reference says of how the program stands beside an application: each piece of code there is run here as it
// stands, but for the addresses.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { needsChromium, openPage } from '../support/browser.ts';
import { closeAfterTest } from '../support/cleanup.ts';
import {
  connect,
  eventually,
  get,
  patch,
  post,
  ROOT,
  shareServer,
  skipWithout,
  startServer,
  temporaryFolder,
  within,
} from '../support/helpers.ts';
import { freePort } from '../support/postgres-cluster.ts';

const server = await shareServer();

/** A folder in which a program finds these packages. */
function folderWith(...packages: string[]): string {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'node_modules'));
  for (const name of packages) {
    const target = name === 'changebell' ? ROOT : join(ROOT, 'node_modules', name);
    symlinkSync(target, join(folder, 'node_modules', name), 'junction');
  }
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  return folder;
}

/** Runs a program of the reference in a folder, until the test ends. @returns the lines that it prints */
function run(folder: string, name: string, code: string, env: Record<string, string> = {}) {
  writeFileSync(join(folder, name), code);
  const child = spawn(process.execPath, [name], { cwd: folder, env: { ...process.env, ...env } });
  closeAfterTest(() => child.kill('SIGKILL'));
  const output = { text: '' };
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output.text += text;
    });
  return { child, output };
}

/** The code of a section *Beside an application that exists*. */
function codeOf(id: string): string {
  const html = readFileSync(join(ROOT, 'public/reference.html'), 'utf8');
  const [, code] =
    new RegExp(`<code id="${id}">(.*?)</code>`, 's').exec(html) ??
    new RegExp(`id="${id}">.*?<pre tabindex="0"><code>(.*?)</code>`, 's').exec(html) ??
    [];
  assert.ok(code, `no code in #${id}`);
  return code.replaceAll('&lt;', '<').replaceAll('&amp;', '&');
}

test('the token that Node signs is taken', async () => {
  const JWT_SECRET = 'a secret of more than thirty-two bytes';
  const signing = await startServer({ JWT_SECRET });
  const child = spawn(process.execPath, ['--input-type=module', '-'], {
    cwd: ROOT,
    env: { ...process.env, JWT_SECRET },
  });
  child.stdin.end(`${codeOf('jwt-node')}\nconsole.log(token);`);
  const token = (await child.stdout.setEncoding('utf8').toArray()).join('').trim();
  const answer = await get(`${signing.url}/api/events`, { Authorization: `Bearer ${token}` });
  assert.equal(answer.status, 200, answer.text);
});

const needsPython = { skip: skipWithout('/usr/bin/python3', 'python3') };
test(
  'the Python consumer does each thing once, also when it is killed and started again',
  needsPython,
  async () => {
    const folder = temporaryFolder();
    const script = codeOf('python').replace('http://localhost:5000', server.url);
    const file = join(folder, 'consumer.py');
    writeFileSync(file, script);
    const start = () => {
      const child = spawn('/usr/bin/python3', [file], { cwd: folder, stdio: 'ignore' });
      closeAfterTest(() => child.kill('SIGKILL'));
      return child;
    };
    const seen = (): string[] => {
      const db = new Database(join(folder, 'effects.db'));
      try {
        return db.prepare("SELECT name FROM seen WHERE name LIKE 'Python %'").pluck().all() as string[];
      } catch {
        return []; // it has not made its table yet
      } finally {
        db.close();
      }
    };
    const add = (n: number) => post(`${server.url}/api/customers`, { name: `Python ${n}` });
    const first = start();
    await add(1);
    await eventually(seen, (names) => names.length === 1, 'the first is seen');
    first.kill('SIGKILL');
    await add(2);
    start();
    await add(3);
    await eventually(seen, (names) => names.length >= 3, 'all are seen');
    assert.deepEqual(seen(), ['Python 1', 'Python 2', 'Python 3']);
  },
);

/** The Express app of the reference, and the server beside it on the same file. */
async function startShop() {
  const folder = folderWith('express', 'better-sqlite3');
  const port = String(await freePort());
  mkdirSync(join(folder, 'public'));
  const { child, output } = run(folder, 'app.js', codeOf('express-app'), { PORT: port });
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
  const [app] = /http:[^ ]+(?=\/\n)/.exec(output.text) ?? assert.fail(output.text);
  const beside = await startServer({
    DATABASE_URL: join(folder, 'shop.db'),
    WATCH: 'orders',
    CUSTOMERS: '0',
    ALLOWED_ORIGINS: app,
  });
  const order = async (path: string, body?: unknown) => {
    const response = await fetch(`${app}/orders${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body ?? {}),
    });
    return response.json();
  };
  return { folder, app, beside, order };
}

test('the Express app knows nothing of it, and each of its changes is an event', async () => {
  const { beside, order } = await startShop();
  const client = await connect(beside.wsUrl);
  const made = await order('', { item: 'Loom' });
  const paid = await order(`/${made.id}/paid`);
  const events = [await client.nextEvent(), await client.nextEvent()];
  assert.deepEqual(
    events.map(({ type, data }) => [type, data]),
    [
      ['orders.created', made],
      ['orders.updated', paid],
    ],
  );
  assert.equal(paid.paid, 1);
  await beside.stop();
});

test(
  'the page without a framework shows the rows as they are, from the origin of the app',
  needsChromium,
  async () => {
    const { folder, app, beside, order } = await startShop();
    const html = codeOf('page-without-framework').replaceAll('http://localhost:5000', beside.url);
    writeFileSync(join(folder, 'public/index.html'), html);
    for (const part of ['changebell.js', 'changebell'])
      cpSync(join(ROOT, 'public', part), join(folder, 'public', part), { recursive: true });
    await order('', { item: 'Loom' });
    const { page } = await openPage(app, { state: '' });
    await page.getByText('live', { exact: true }).waitFor();
    const lines = () => page.locator('#orders li').allTextContents();
    assert.deepEqual(await lines(), ['Loom']);
    await order('', { item: 'Cards' });
    await page.getByText('Cards').waitFor();
    await order('/1/paid');
    await page.getByText('Loom, paid').waitFor();
    assert.deepEqual(await lines(), ['Loom, paid', 'Cards'], 'a line stays in its place');
    const db = new Database(join(folder, 'shop.db'));
    db.exec('DELETE FROM orders WHERE id = 1');
    db.close();
    await eventually(lines, (all) => all.length === 1, 'the other line');
    assert.deepEqual(await lines(), ['Cards']);
    await beside.stop();
  },
);

const REACT = `
import { createElement } from 'react';
import { act, create } from 'react-test-renderer';

globalThis.IS_REACT_ACT_ENVIRONMENT = true;
function Names({ url }) {
  return useTable(url).map(({ name }) => name).join();
}
let renderer;
await act(() => {
  renderer = create(createElement(Names, { url: process.env.TABLE }));
});
let shown;
const timer = setInterval(async () => {
  await act(async () => {});
  const text = JSON.stringify(renderer.toJSON());
  if (text !== shown) console.log(text);
  shown = text;
}, 20);
process.stdin.once('data', async () => {
  await act(() => renderer.unmount());
  clearInterval(timer);
  process.stdin.unref();
});
`;

test('the React hook has 15 lines, renders the rows as they become, and lets go of its stream', async () => {
  const code = codeOf('react');
  assert.ok(code.split('\n').length <= 15);
  const lone = await startServer();
  const { body: ada } = await post(`${lone.url}/api/customers`, { name: 'Ada' });
  const folder = folderWith('changebell', 'react', 'react-test-renderer');
  const { child, output } = run(folder, 'names.js', code + REACT, { TABLE: `${lone.url}/api/customers` });
  const shows = (names: string) =>
    eventually(
      () => output.text,
      (text) => text.includes(`"${names}"`),
      names,
    );
  await shows('Ada');
  await post(`${lone.url}/api/customers`, { name: 'Grace' });
  await shows('Ada,Grace');
  await patch(`${lone.url}/api/customers/${ada.id}`, { name: 'Ada King' });
  await shows('Ada King,Grace');
  const ended = once(child, 'exit');
  child.stdin.end('unmount');
  await within(ended, `the program to end, once nothing holds it: ${output.text}`);
  await lone.stop();
});

test('the C# client asks for what there is, and reads members that a frame has', async () => {
  const code = codeOf('csharp');
  const [, path] = /"ws:\/\/localhost:5000(\/\w+)\{query\}"/.exec(code) ?? [];
  assert.ok(path && code.includes('$"?lastEventId={lastEventId}"'), 'the address');
  const client = await connect(server.url.replace('http', 'ws') + path);
  const { body: event } = await post(`${server.url}/api/events`, { message: 'to C#' });
  const frame = await client.event(event.id);
  const members = [...code.matchAll(/GetProperty\("(\w+)"\)/g)].map(([, name]) => name!);
  assert.deepEqual([...new Set(members)].sort(), ['data', 'id', 'type']);
  for (const name of members) assert.ok(name in frame, `a frame has no ${name}`);
  assert.ok(
    code.indexOf('lastEventId = e.') > code.indexOf('Console.WriteLine($'),
    'the cursor moves after the work',
  );
});
