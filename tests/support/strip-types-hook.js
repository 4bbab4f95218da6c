// The hook of `strip-types.js`: takes the types out of a file, and keeps the result for all who ask again.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CACHE = fileURLToPath(new URL('../../node_modules/.cache/strip-types/', import.meta.url));

/**
 * Called by Node for each module (`module.register`, "Customization hooks").
 * @type {import('node:module').LoadHook}
 */
export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context);
  return { format: 'module', source: stripped(fileURLToPath(url)), shortCircuit: true };
}

/** @param {string} file */
function stripped(file) {
  const source = readFileSync(file, 'utf8');
  const kept = join(CACHE, `${createHash('sha1').update(source).digest('hex')}-${basename(file)}.js`);
  try {
    return readFileSync(kept, 'utf8');
  } catch {
    const code = strip(source, file);
    mkdirSync(CACHE, { recursive: true });
    writeFileSync(`${kept}.${process.pid}`, code);
    renameSync(`${kept}.${process.pid}`, kept); // whole, or not at all: others read it meanwhile
    return code;
  }
}

/**
 * With a map, so that errors name lines of the source. The map knows a file by its name alone, since copies of one
 * file share what is kept; a file that is no TypeScript is named by its whole path.
 * @param {string} source
 * @param {string} file
 */
function strip(source, file) {
  process.env.ESBUILD_WORKER_THREADS = '0'; // or it leaves a process behind, which holds our pipes open
  const { transformSync } = createRequire(import.meta.url)('esbuild');
  const { code, map } = transformSync(source, {
    loader: 'ts',
    sourcemap: 'external',
    sourcefile: file,
    target: 'node20',
  });
  const named = JSON.stringify({ ...JSON.parse(map), sources: [basename(file)] });
  return `${code}//# sourceMappingURL=data:application/json;base64,${Buffer.from(named).toString('base64')}\n`;
}
