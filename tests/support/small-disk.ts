// File systems of a test's own, small enough to be full: root mounts them, and they go when the test ends.
import { execFileSync } from 'node:child_process';
import { closeWithFile } from './cleanup.ts';
import { temporaryFolder } from './helpers.ts';

export const isRoot = process.getuid?.() === 0;

/** For `test(…, { skip: needsMount }, …)`. */
export const needsMount = isRoot ? false : 'only root can mount a small file system';

/** A folder that is a file system of its own, of so many bytes. */
export function smallDisk(bytes: number): string {
  const folder = temporaryFolder();
  // In memory: when it is full, it is as full as any disk.
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]);
  // Lazily: a server that is still ending may have files open there.
  closeWithFile(() => execFileSync('umount', ['--lazy', folder]));
  return folder;
}
