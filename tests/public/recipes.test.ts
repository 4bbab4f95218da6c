// What the reference says of how the program stands beside an application: each piece of code there is run here as it
// stands, but for the addresses.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '../../lib/store/sqlite.ts';
import { needsChromium, openPage } from '../support/browser.ts';
import { closeAfterTest } from '../support/cleanup.ts';
import {
  connect,
  eventually,
  get,
  patch,
  post,
  ROOT,
  skipWithout,
  startServer,
  temporaryFolder,
  within,
} from '../support/helpers.ts';
import { openServer } from '../support/open-server.ts';
import { freePort } from '../support/postgres-cluster.ts';

const server = await openServer();

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

const JWT_SECRET = 'a secret of more than thirty-two bytes';
const signing = await openServer({ JWT_SECRET });

/** What a program prints last is a token: with it, a server that has the same secret shows its log. */
async function assertTaken(token: string): Promise<void> {
  const answer = await get(`${signing.url}/api/events`, { Authorization: `Bearer ${token.trim()}` });
  assert.equal(answer.status, 200, answer.text);
}

/** Runs it with the secret. @returns what it prints */
async function outputOf(program: string, args: string[], input = ''): Promise<string> {
  const child = spawn(program, args, { cwd: ROOT, env: { ...process.env, JWT_SECRET } });
  child.stdin.end(input);
  return (await child.stdout.setEncoding('utf8').toArray()).join('');
}

test('the token that Node signs is taken', async () => {
  const code = `${codeOf('jwt-node')}\nconsole.log(token);`;
  await assertTaken(await outputOf(process.execPath, ['--input-type=module', '-'], code));
});

const needsJwt = { skip: skipWithout('/usr/lib/python3/dist-packages/jwt/__init__.py', 'python3-jwt') };
test('the token that Python signs is taken', needsJwt, async () => {
  await assertTaken(await outputOf('/usr/bin/python3', ['-'], `${codeOf('jwt-python')}\nprint(token)`));
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
      const db = openDatabase(join(folder, 'effects.db'));
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

test('the Python consumer ends where it is refused, and says why', needsPython, async () => {
  const locked = await openServer({ API_TOKEN: 'a-token-that-it-does-not-send' });
  const script = codeOf('python').replace('http://localhost:5000', locked.url);
  const child = spawn('/usr/bin/python3', ['-'], { cwd: temporaryFolder() });
  closeAfterTest(() => child.kill('SIGKILL'));
  child.stdin.end(script);
  const said = (await child.stderr.setEncoding('utf8').toArray()).join('');
  assert.match(said, /"status":401/);
  await locked.stop();
});

/** The Express app of the reference, and the server beside it on the same file. */
async function startShop() {
  const folder = folderWith('express', 'better-sqlite3');
  const port = String(await freePort());
  mkdirSync(join(folder, 'public'));
  const { child, output } = run(folder, 'app.js', codeOf('express-app'), { PORT: port });
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
  const [app] = /http:[^ ]+(?=\/\n)/.exec(output.text) ?? assert.fail(output.text);
  const beside = await openServer({
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
    const db = openDatabase(join(folder, 'shop.db'));
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
  const lone = await openServer();
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

/**
 * A program of the reference, compiled by Mono with one of the files in `csharp/`. Mono knows C# up to 7: the words that
 * came later are put into older ones, and what they do is the same.
 */
function compileWithMono(code: string, shim: string): string {
  const older = code
    .replaceAll('string? ', 'string ')
    .replaceAll(')!', ')')
    .replaceAll('using var ', 'var ')
    .replaceAll(' is null', ' == null')
    .replaceAll('Random.Shared', 'new Random()');
  const [usings, body] = [/^using [\w.]+;$/gm, older.replace(/^using [\w.]+;$/gm, '')];
  const source = `using System; using System.Collections.Generic; using System.IO; using System.Threading.Tasks;
    ${[...older.matchAll(usings)].join('\n')}
    class Program {
      // Without Exit, Mono waits now and then for a thread of its pool that has nothing to do: 46 s.
      static void Main() { Run().GetAwaiter().GetResult(); Environment.Exit(0); }
      static async Task Run() { await Task.Yield(); ${body} }
    }`;
  const [file, program] = ['program.cs', 'program.exe'].map((name) => join(temporaryFolder(), name));
  writeFileSync(file!, source);
  const flags = ['-langversion:latest', '-nowarn:162', '-r:System.Web.Extensions.dll', `-out:${program}`];
  execFileSync('mcs', [...flags, file!, join(ROOT, 'tests/public/csharp', shim)], { stdio: 'pipe' });
  return program!;
}

const needsMono = {
  skip: skipWithout(
    '/usr/lib/mono/4.5/System.Web.Extensions.dll',
    'mono-mcs libmono-system-web-extensions4.0-cil',
  ),
};
test('the token that C# signs is taken', needsMono, async () => {
  const program = compileWithMono(`${codeOf('jwt-csharp')}\nConsole.WriteLine(token);`, 'IdentityModel.cs');
  await assertTaken(await outputOf('mono', [program]));
});

test('the C# client goes on after a cut, and misses nothing', needsMono, async () => {
  const DATABASE_URL = join(temporaryFolder(), 'cut.db');
  const PORT = String(await freePort());
  const here = await startServer({ DATABASE_URL, PORT });
  const code = codeOf('csharp').replace('localhost:5000', `127.0.0.1:${PORT}`);
  const child = spawn('mono', [compileWithMono(code, 'Json.cs')]);
  closeAfterTest(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const isThere = ({ body }: { body: { clients: number } }) => body.clients === 1;
  await eventually(() => get(`${here.url}/healthz`), isThere, 'it connects', 5000);
  const publish = ({ url }: { url: string }, data: string) =>
    post(`${url}/api/events`, { type: 'to.csharp', data });
  await publish(here, 'before');
  const saw = (text: string) =>
    eventually(
      () => output,
      (all) => all.includes(text),
      `it shows ${text}`,
      5000,
    );
  await saw('before');
  await here.kill9();
  const elsewhere = await openServer({ DATABASE_URL });
  await publish(elsewhere, 'meanwhile');
  await elsewhere.stop();
  const again = await openServer({ DATABASE_URL, PORT });
  await saw('meanwhile');
  await publish(again, 'after');
  await saw('after');
  const lines = ['before', 'meanwhile', 'after'].map((data) => `to.csharp "${data}"\n`);
  assert.equal(output, lines.join(''));
  await again.stop();
});
