// The client library as a package: its size, its types, and who can import it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { compile, makeDeclarations } from '../support/declarations.ts';
import { ROOT, temporaryFolder } from '../support/helpers.ts';

test('the client library is under 6 KB, minified and compressed', async () => {
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, 'public/changebell.js')],
    bundle: true,
    minify: true,
    format: 'esm',
    write: false,
  });
  const { length } = gzipSync(outputFiles[0]!.contents);
  assert.ok(length < 6 * 1024, `${length} bytes`);
});

test('its types are those of its JSDoc: npm run types', () => {
  assert.equal(readFileSync(join(ROOT, 'public/changebell.d.ts'), 'utf8'), makeDeclarations());
});

/** A folder in which it is installed, as `npm install` of a folder does it: by a link. */
function consumer(): string {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(ROOT, join(folder, 'node_modules/changebell'), 'junction');
  return folder;
}

const EXPORTS = ['ChangeStream', 'LiveTable'];
const ask = { import: "import * as all from 'changebell';", require: "const all = require('changebell');" };
const tell = 'console.log(JSON.stringify(Object.keys(all).filter((name) => /^[A-Z]/.test(name)).sort()))';
const run = (file: string) => JSON.parse(execFileSync(process.execPath, [file], { encoding: 'utf8' }));

// Node has it from 20.19 and 22.12 on; the types of Node 20 don't know of it.
const canRequire = 'require_module' in process.features && process.features.require_module;
for (const [how, file, skip] of [
  ['import', 'program.mjs', false],
  ['require', 'program.cjs', !canRequire && 'this Node cannot require() an ES module'],
] as const)
  test(`a program has it by ${how}, and so has a bundle of that program`, { skip }, async () => {
    const path = join(consumer(), file);
    writeFileSync(path, `${ask[how]} ${tell}`);
    assert.deepEqual(run(path), EXPORTS);
    const outfile = join(temporaryFolder(), 'bundle.cjs');
    await build({ entryPoints: [path], bundle: true, format: 'cjs', outfile, logLevel: 'silent' });
    assert.deepEqual(run(outfile), EXPORTS);
  });

const CONSUMER = `
import { type ChangeEvent, ChangeStream, LiveTable, type Options, type State } from 'changebell';

const options: Options = { lastEventId: undefined, types: ['a.*'], token: async () => 'a token' };
const stream = new ChangeStream('ws://localhost:5000/ws', {
  ...options,
  load: async ({ signal, token }) => {
    signal.throwIfAborted();
    return token ?? 'abcdef-1';
  },
});
stream.addEventListener('message', async ({ data, text, lastEventId, waitUntil }) => {
  waitUntil(Promise.resolve([data.data, text.length]));
  const id: string = lastEventId;
  await stream.reached(id);
});
stream.addEventListener('ready', ({ detail }) => detail.behind.toFixed());
stream.addEventListener('reset', ({ detail }) => detail.reason === 'expired');
stream.addEventListener('state', () => {
  const state: State = stream.state;
  return [state, stream.nextTryAt?.toFixed(), stream.status, stream.detail];
});
// @ts-expect-error: it is no number
stream.addEventListener('message', ({ lastEventId }) => lastEventId.toFixed());
stream.addEventListener('anything', { handleEvent: (event: Event) => event.type }, { once: true });
// @ts-expect-error: no such option
new ChangeStream('/ws', { tokens: 'a' });
export const seen: ChangeEvent[] = [];
for await (const event of stream) seen.push(event);

type Order = { id: number; paid: boolean };
const orders = new LiveTable<Order>('/api/watch/orders', { token: 'a' });
await orders.ready;
orders.addEventListener('change', ({ key, row, before }) => [key.length, row?.paid, before?.paid]);
export const first: Order | undefined = orders.get(1) ?? [...orders.values()][0];
for (const [key, { paid }] of orders) export_(key, paid);
function export_(key: string, paid: boolean): void {
  orders.forEach((row) => row.paid === paid || key);
}
// @ts-expect-error: it is read-only
orders.set('1', { id: 1, paid: true });
`;

for (const [name, lib, types] of [
  ['a browser', ['es2022', 'dom', 'dom.iterable'], []],
  ['Node', ['es2022'], ['node']],
] as const) {
  test(`a program in strict TypeScript for ${name} compiles with it`, () => {
    const folder = consumer();
    symlinkSync(join(ROOT, 'node_modules/@types'), join(folder, 'node_modules/@types'), 'dir');
    writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
    writeFileSync(join(folder, 'consumer.ts'), CONSUMER);
    const compilerOptions = {
      strict: true,
      noEmit: true,
      target: 'es2022',
      module: 'nodenext',
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      lib,
      types,
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }));
    compile(folder, '-p', '.');
  });
}
