// The program as it is installed somewhere: its files and its packages without those of development, in a folder of
// root's, run by a user who owns nothing but the folder of the database.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, temporaryFolder } from './helpers.ts';

const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;

/** For `uid` and `gid` of a process: a user without rights; whoever isn't root stays who they are. */
export const nobody = isRoot ? { uid: NOBODY, gid: NOBODY } : {};

/** A folder that any user can enter. */
export function openFolder(): string {
  const folder = temporaryFolder();
  chmodSync(folder, 0o755);
  return folder;
}

/** A folder for the database, owned by nobody. */
export function dataFolder(): string {
  const folder = join(openFolder(), 'data');
  mkdirSync(folder, { mode: 0o700 });
  if (isRoot) chownSync(folder, NOBODY, NOBODY);
  return folder;
}

/** Copies these files and folders of the repository. */
export function copyProgram(names: string[], folder: string): void {
  for (const name of names) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
}

/**
 * The packages that the program needs to run, installed by npm from its own cache where they are there. SQLite is not
 * compiled once more, which takes a minute: what was made here is taken.
 */
export function installPackages(folder: string): void {
  const flags = ['--omit=dev', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  execFileSync('npm', ['ci', ...flags], { cwd: folder, stdio: 'pipe' });
  const addon = 'node_modules/better-sqlite3/build/Release/better_sqlite3.node';
  cpSync(join(ROOT, addon), join(folder, addon));
}

/** Bytes of all files in it. */
export function sizeOf(folder: string): number {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
  return files.filter((file) => existsSync(file)).reduce((sum, file) => sum + fileBytes(file), 0);
}

function fileBytes(file: string): number {
  const stats = statSync(file);
  return stats.isFile() ? stats.size : 0;
}
