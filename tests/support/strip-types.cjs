// Node before 22.18 can't run TypeScript. tsx makes it, but takes longer to load than all of ours, and the tests start
// hundreds of programs. So here the loader itself learns that `.ts` is a module once its types are taken out, and keeps
// the result for all who ask again. The official way to teach it (`module.register`) costs a second thread for each
// thread, and a third of the time of a start; hence the flag, which lets us at the loader's own tables:
// `node --expose-internals --require ./tests/support/strip-types.cjs server.ts`. Threads inherit both.
const { createHash } = require('node:crypto');
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { basename, dirname, join } = require('node:path');
const { fileURLToPath } = require('node:url');
// @ts-expect-error: nobody describes what is inside Node
const { extensionFormatMap } = require('internal/modules/esm/formats');
// @ts-expect-error
const { translators } = require('internal/modules/esm/translators');

const ROOT = join(__dirname, '../../');
const CACHE = join(ROOT, 'node_modules/.cache/types-stripped');
// A run has made a bundle of the program, and of its thread: where that is started in a process of tests, as it is
// hundreds of times, it loads one file instead of twenty.
const { BUNDLE = '', BUNDLE_OF } = process.env;
const WORKER = join(ROOT, 'lib/store/sqlite-worker.ts');
const BUNDLED_WORKER = join(dirname(BUNDLE), 'sqlite-thread-entry.js');

process.setSourceMapsEnabled(true);
// As newer Nodes say it: the program then knows that its thread needs no tsx.
Reflect.defineProperty(process.features, 'typescript', { value: 'hook' });
extensionFormatMap['.ts'] = 'module';
const translate = translators.get('module');
translators.set(
  'module',
  /** @this {unknown} @param {string} url @param {string | Buffer} source @param {boolean} isMain */
  function translateTypeScript(url, source, isMain) {
    return translate.call(
      this,
      url,
      url.endsWith('.ts') ? plain(fileURLToPath(url), source) : source,
      isMain,
    );
  },
);

/**
 * @param {string} file
 * @param {string | Buffer} source
 */
function plain(file, source) {
  return file === WORKER && BUNDLE_OF === ROOT
    ? readFileSync(BUNDLED_WORKER)
    : stripped(file, String(source));
}

/**
 * @param {string} file
 * @param {string} source
 */
function stripped(file, source) {
  const kept = join(CACHE, `${createHash('sha1').update(source).digest('hex')}-${basename(file)}.js`);
  try {
    return readFileSync(kept, 'utf8');
  } catch {
    const code = strip(file, source);
    mkdirSync(CACHE, { recursive: true });
    writeFileSync(`${kept}.${process.pid}`, code);
    renameSync(`${kept}.${process.pid}`, kept); // whole, or not at all: others read it meanwhile
    return code;
  }
}

/**
 * With a map, so that errors name lines of the source. The map knows a file by its name alone, since copies of one
 * file share what is kept; a file that is no TypeScript is named by its whole path.
 * @param {string} file
 * @param {string} source
 */
function strip(file, source) {
  process.env.ESBUILD_WORKER_THREADS = '0'; // or it leaves a process behind, which holds our pipes open
  const { transformSync } = require('esbuild');
  delete process.env.ESBUILD_WORKER_THREADS; // which is nothing for the programs that we start
  const { code, map } = transformSync(source, {
    loader: 'ts',
    sourcemap: 'external',
    sourcefile: file,
    sourcesContent: false, // Node would read all of it at each start
    target: 'node20',
  });
  const named = JSON.stringify({ ...JSON.parse(map), sources: [basename(file)] });
  return `${code}//# sourceMappingURL=data:application/json;base64,${Buffer.from(named).toString('base64')}\n`;
}
