// The blocks of lib/operations/README.md, to be run as they stand there: what a page tells people to type at night, with a
// database that is down, must have been typed before.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { ROOT } from './helpers.ts';

/** The page itself. */
export const OPERATIONS = readFileSync(join(ROOT, 'lib/operations/README.md'), 'utf8');

/** The one block in this language that has this in it. */
export function recipe(language: string, part: string): string {
  const blocks = [...OPERATIONS.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)];
  const found = blocks.filter(([, name, block]) => name === language && block!.includes(part));
  if (found.length !== 1) throw new Error(`${found.length} blocks of ${language} have ${part} in them`);
  return found[0]![2]!;
}

/**
 * Runs lines of a shell in this folder, while the servers run on.
 * @throws what they said, where one of them fails
 */
export async function runShell(
  lines: string,
  cwd: string,
  env: Record<string, string> = {},
  user: { uid?: number; gid?: number } = {},
): Promise<string> {
  const child = spawn('sh', ['-e', '-c', lines], { cwd, env: { ...process.env, ...env }, ...user });
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = await once(child, 'close');
  const [out, errors] = await said;
  if (code !== 0) throw new Error(`exit ${code} of: ${lines}\n${out}${errors}`);
  return out;
}
