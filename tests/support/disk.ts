// A disk that a test rules over: how long a sync takes, whether it works, and what a power cut would leave of it.
// `disk.c` stands between the server and the operating system; it is compiled when it is first needed.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { skipWithout, temporaryFolder } from './helpers.ts';

/** For `test(…, { skip: needsDisk }, …)`. */
export const needsDisk =
  process.platform === 'linux' ? skipWithout('/usr/bin/gcc', 'gcc') : 'the disk of the tests needs Linux';

let library: string | undefined;

function compile(): string {
  const compiled = join(temporaryFolder(), 'disk.so');
  const source = fileURLToPath(new URL('disk.c', import.meta.url));
  execFileSync('gcc', ['-shared', '-fPIC', '-O1', source, '-o', compiled, '-ldl']);
  return compiled;
}

/** A disk of its own for one server. */
export function makeDisk() {
  library ??= compile();
  // Here stands what a power cut would leave: a copy of what was synced, and no more.
  const synced = temporaryFolder();
  return {
    /** What the server is started with. */
    env: { LD_PRELOAD: library, DISK: synced },
    /** From now on each sync takes so long. */
    setDelay: (milliseconds: number) => writeFileSync(join(synced, 'delay'), String(milliseconds)),
    setBroken: (isBroken: boolean) =>
      isBroken ? writeFileSync(join(synced, 'broken'), '') : rmSync(join(synced, 'broken')),
    /** Has the event loop ever waited for a sync? Unlike a time, this is the same on a busy machine. */
    wasAwaitedOnLoop: () => existsSync(join(synced, 'loop')),
    /** The database as a power cut would have left it: a path that can be opened. */
    afterPowerCut(databaseFile: string): string {
      const name = databaseFile.split('/').at(-1)!;
      const found = temporaryFolder();
      for (const file of [name, `${name}-wal`])
        if (existsSync(join(synced, file))) copyFileSync(join(synced, file), join(found, file));
      return join(found, name);
    },
  };
}
