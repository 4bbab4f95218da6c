// A learner's desk: a copy of the project, and the commands as they type them, each in a process of its own, or many
// in one.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { Copy } from '../mutate/copy.ts';
import { within } from '../support/helpers.ts';
import { stripTypes } from '../support/typescript.ts';

/** A command starts the program, on a machine that does other things as well. */
export const PATIENCE_MS = 60_000;

type Said = { code: number | null; text: string };

export class Desk {
  private readonly copy = new Copy();
  /** Of this terminal, beside those of the tests. */
  readonly env: Record<string, string> = {};
  private commands: ChildProcess | undefined;

  file(name: string): string {
    return join(this.copy.folder, name);
  }

  read(name: string): string {
    return readFileSync(this.file(name), 'utf8');
  }

  write(name: string, text: string): void {
    writeFileSync(this.file(name), text);
  }

  replace(name: string, find: string, put: string): void {
    assert.ok(this.read(name).includes(find), `${name} has ${find}`);
    this.write(
      name,
      this.read(name).replace(find, () => put),
    );
  }

  start(...words: string[]) {
    const args = [...stripTypes, 'tests/lessons/lesson.ts', ...words];
    const child = spawn(process.execPath, args, {
      cwd: this.copy.folder,
      env: { ...process.env, ...this.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
    return { child, text: () => text };
  }

  /** As `run`, in a process that waits for the next command: to start one takes longer than most of them do. */
  async type(...words: string[]): Promise<Said> {
    if (!this.commands) this.startCommands();
    const commands = this.commands!;
    const said = Promise.race([
      once(commands, 'message'),
      once(commands, 'exit').then(([code]) => [{ code, text: 'its process ended' }]),
    ]);
    commands.send(words);
    const [{ code, text }] = await within(said, `npm run lesson -- ${words.join(' ')}`, PATIENCE_MS);
    return { code, text };
  }

  /** Their process ends with the test in which it was started, or with the suite. */
  startCommands(): void {
    const args = [...stripTypes, 'tests/lessons/desk-commands.ts'];
    const stdio = ['ignore', 'ignore', 'inherit', 'ipc'] as const;
    const child = spawn(process.execPath, args, { cwd: this.copy.folder, stdio: [...stdio] });
    after(() => child.kill());
    this.commands = child;
  }

  async run(...words: string[]): Promise<Said> {
    const { child, text } = this.start(...words);
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    return { code: await within(ended, `npm run lesson -- ${words.join(' ')}`, PATIENCE_MS), text: text() };
  }

  git(...args: string[]): void {
    const who = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com'];
    const { status, stderr } = spawnSync('git', [...who, ...args], {
      cwd: this.copy.folder,
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
  }
}
