// The program in one file, and its thread in another, made once for a run: it starts in two thirds of the processor's time,
// and a run starts it hundreds of times. Whoever runs one file of tests alone, or breaks the program, has it as it stands.
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin, stop } from 'esbuild';
import { ROOT } from './patience.ts';

const THREAD = 'sqlite-thread'; // what it starts stands beside the bundle
// A package in the bundle that is no module asks for Node's own in the old way.
const banner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

/** Reads its files from where it stood before. */
const staysInPlace: Plugin = {
  name: 'stays in place',
  setup: ({ onLoad }) =>
    onLoad({ filter: /[\\/]lib[\\/].*\.ts$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8');
      const url = JSON.stringify(pathToFileURL(path).href);
      return {
        loader: 'ts',
        contents: path.includes(THREAD) ? contents : contents.replaceAll('import.meta.url', url),
      };
    }),
};

/** @returns what a server of this run is told: where the bundle is, and of which folder it is the program */
export async function bundleProgram(folder: string): Promise<{ BUNDLE: string; BUNDLE_OF: string }> {
  await build({
    absWorkingDir: ROOT,
    entryPoints: { server: 'server.ts', [`${THREAD}-entry`]: 'lib/store/sqlite-worker.ts' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    outdir: folder,
    banner: { js: banner },
    external: ['better-sqlite3', 'pg', 'jose', 'bufferutil', 'utf-8-validate'],
    plugins: [staysInPlace],
  });
  await stop();
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
  return { BUNDLE: join(folder, 'server.js'), BUNDLE_OF: ROOT };
}
