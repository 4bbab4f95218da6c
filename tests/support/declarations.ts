// The types of the client library, made from its JSDoc. `npm run types` writes them; a test sees that they are those of
// today. Types that were written beside the code would be right only on the day on which they were written.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT, temporaryFolder } from './helpers.ts';

/** Runs the compiler in a folder. @throws with what it says, if there is anything */
export function compile(folder: string, ...options: string[]): void {
  try {
    execFileSync(join(ROOT, 'node_modules/.bin/tsc'), options, { cwd: folder, encoding: 'utf8' });
  } catch (error) {
    // It writes its errors to its standard output.
    throw new Error((error as { stdout: string }).stdout);
  }
}

/** One file, so that whoever copies the library has all of its types beside it. */
export function makeDeclarations(): string {
  const folder = temporaryFolder();
  // The compiler checks the JSDoc as it goes: a type that is wrong fails here.
  compile(ROOT, '-p', 'tests/public/library.tsconfig.json', '--outDir', folder);
  // In the order of their classes: none stands before the one that it extends.
  const made = ['waiting-target', 'linked-target', 'change-stream', 'live-table'].map((name) =>
    readFileSync(join(folder, `changebell/${name}.d.ts`), 'utf8').replace(
      // What a user does not name is not exported, though it stands there.
      /^export declare class (?:Waiting|Linked)Target|^export (?=type)/gm,
      (text) => text.replace('export ', ''),
    ),
  );
  const types = readFileSync(join(ROOT, 'public/changebell/types.d.ts'), 'utf8');
  // The compiler wrote modules: in one file they import nothing, and what they name stands above.
  const all = [types, ...made].map((text) =>
    text
      // Remarks for our linter are nothing to a user.
      .replace(/^ *\/\/ biome-ignore.*\n/gm, '')
      .replace(/^import .*;\n/gm, '')
      .replace(/^\/\*\*(?:(?!\*\/)[\s\S])*@typedef(?:(?!\*\/)[\s\S])*\*\/\n/gm, '')
      // What was imported from another file stands in this one.
      .replaceAll(/import\(['"]\.\/types\.js['"]\)\./g, '')
      .replace(/^type (\w+) = \1;\n/gm, ''),
  );
  return `// Made from the JSDoc of changebell.js and its parts: npm run types\n${all.join('\n')}\nexport {};\n`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  writeFileSync(join(ROOT, 'public/changebell.d.ts'), makeDeclarations());
