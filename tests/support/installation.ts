// The program as it is installed somewhere: its files and its packages without those of development, in a folder of
// root's, run by a user who owns nothing but the folder of the database.
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, temporaryFolder, within } from './helpers.ts';

const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;
const START_MS = 5000;

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

/** Runs a command line in it as nobody, until it prints the URL of its WebSocket. */
export async function startInstalled(folder: string, command: string[], env: Record<string, string>) {
  const [file, ...args] = command;
  const program = file === 'node' || file === '/usr/bin/node' ? process.execPath : file!;
  const child = spawn(program, args, {
    cwd: folder,
    env: { PATH: process.env.PATH, ...env },
    ...nobody,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  process.once('exit', () => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const url = within(readUrl(), 'the installed program to print its URLs', {
    takes: START_MS,
    instead: () => `it said: ${output}`,
  });

  async function readUrl(): Promise<string> {
    for (;;) {
      const [, host] = /\bws:\/\/([^\s/]+)\/ws\b/.exec(output) ?? [];
      if (host) return `http://${host}`;
      await new Promise((resolve) => {
        child.stdout.once('data', resolve);
        child.stderr.once('data', resolve);
        child.once('close', resolve);
      });
      if (child.exitCode !== null) throw new Error(`it ended before it listened: ${output}`);
    }
  }

  return {
    url: await url,
    output: () => output,
    stop: () => {
      child.kill('SIGTERM');
      return within(exited, 'the installed program to end', 5000);
    },
  };
}
