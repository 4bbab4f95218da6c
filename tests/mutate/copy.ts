// A copy of the project in a temporary folder, to be broken one line at a time: the project itself is never
// touched, and two copies can be broken side by side.
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../support/patience.ts';
import { applyEdit, type Edit } from './edit.ts';

const PARTS = ['lib', 'public', 'tests', 'server.ts', 'package.json', 'tsconfig.json'];

export class Copy {
  readonly folder = mkdtempSync(join(tmpdir(), 'changebell-mutate-'));

  constructor() {
    const isOurs = (path: string) => !path.includes('node_modules');
    for (const part of PARTS)
      cpSync(join(ROOT, part), join(this.folder, part), { recursive: true, filter: isOurs });
    symlinkSync(join(ROOT, 'node_modules'), join(this.folder, 'node_modules'), 'junction');
    process.once('exit', () => rmSync(this.folder, { recursive: true, force: true }));
  }

  /** Puts the edits in, runs, and takes them out again. @throws {NoPlace} */
  async broken<T>(edits: Edit[], run: () => Promise<T>): Promise<T> {
    const files = [...new Set(edits.map(({ file }) => file))];
    try {
      for (const edit of edits) {
        const path = join(this.folder, edit.file);
        writeFileSync(path, applyEdit(readFileSync(path, 'utf8'), edit));
      }
      return await run();
    } finally {
      for (const file of files) writeFileSync(join(this.folder, file), readFileSync(join(ROOT, file)));
    }
  }
}
