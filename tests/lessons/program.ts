// The program as a learner's checks see it: started from a folder with a database of its own, asked from outside
// as any client would. Nothing of lib/ is imported here: it may be broken in any way, and may be rebuilt in any way.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { stripTypes } from '../support/typescript.ts';
import { runSql } from './database.ts';
import { Page } from './page.ts';
import { explain } from './trouble.ts';

/** What went wrong with the program itself, in one line for the learner. */
export class Trouble extends Error {}

const START_TIMES = 1.5; // a promise is given so many times what the start took: 0.6 s where nothing else runs

/** The settings in someone's own shell, a token say, must change neither what a check sees nor who may join a class. */
export function withoutSettings(): Record<string, string> {
  const { PATH = '', HOME = '', TEMP = '', SystemRoot = '' } = process.env;
  return { PATH, HOME, TEMP, SystemRoot };
}

export type Answer = { status: number; headers: Record<string, string | string[] | undefined>; text: string };

/** An event, as it comes over the wire. */
export type Event = { id: string; type: string; source: string; data: unknown };

export class Program {
  /** Until when what should come is waited for; longer on a machine that is slow or busy, as its start shows. */
  patienceMs: number;
  private readonly child: ChildProcess;
  private readonly folder: string;
  private readonly pages = new Set<Page>();
  private output = '';
  private port = 0;

  private constructor(root: string, patienceMs: number, env: Record<string, string>) {
    this.patienceMs = patienceMs;
    this.folder = mkdtempSync(join(tmpdir(), 'lesson-'));
    this.child = spawn(process.execPath, [...stripTypes, 'server.ts'], {
      cwd: root,
      env: { ...withoutSettings(), PORT: '0', DATABASE_URL: this.file, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout!, this.child.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
  }

  /** @throws {Trouble} if it doesn't come up within `limitMs` */
  static async start(root: string, patienceMs: number, limitMs: number, env = {}): Promise<Program> {
    const program = new Program(root, patienceMs, env);
    const startedAt = performance.now();
    const end = startedAt + limitMs;
    while (program.port === 0) {
      program.port = Number(/http:\/\/\S+?:(\d+)\//.exec(program.output)?.[1] ?? 0);
      const isOver = program.child.exitCode !== null || performance.now() > end;
      if (program.port === 0 && isOver) {
        await program.stop();
        throw new Trouble(
          program.trouble() ??
            `It did not come up within ${limitMs / 1000} s: does something go round and round?`,
        );
      }
      await delay(5);
    }
    program.patienceMs = Math.ceil(Math.max(patienceMs, START_TIMES * (performance.now() - startedAt)));
    return program;
  }

  /** The database, for another program's hands. */
  get file(): string {
    return join(this.folder, 'lesson.db');
  }

  /** What stands on its standard error, or why it ended, in one line; undefined if it has nothing to complain of. */
  trouble(): string | undefined {
    return explain(this.output, this.child.exitCode);
  }

  /** One request; any header may be set, `Host` too. Without an answer in time the status is 0. */
  ask(method: string, path: string, headers: Record<string, string> = {}, body = ''): Promise<Answer> {
    return new Promise((resolve) => {
      const options = {
        host: '127.0.0.1',
        port: this.port,
        method,
        path,
        timeout: Math.max(2000, this.patienceMs),
      };
      const req = request({ ...options, headers: { Host: this.host, ...headers }, agent: false }, (res) => {
        let text = '';
        res.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, text }));
      });
      const giveUp = () => resolve({ status: 0, headers: {}, text: '' });
      req
        .on('error', giveUp)
        .on('timeout', () => req.destroy())
        .end(body);
    });
  }

  get host(): string {
    return `localhost:${this.port}`;
  }

  /** Publishes an event. @returns it as it was stored */
  async publish(event: object): Promise<{ event: Event; text: string }> {
    const { status, text } = await this.post('/api/events', event);
    if (status !== 201)
      throw new Trouble(`POST /api/events was answered with ${status || 'nothing'}: ${text}`);
    return { event: JSON.parse(text), text };
  }

  post(path: string, body: object): Promise<Answer> {
    return this.ask('POST', path, { 'Content-Type': 'application/json' }, JSON.stringify(body));
  }

  /** The body of a GET. */
  async get<T>(path: string): Promise<T> {
    const { status, text } = await this.ask('GET', path);
    if (status !== 200) throw new Trouble(`GET ${path} was answered with ${status || 'nothing'}: ${text}`);
    return JSON.parse(text);
  }

  /** How many clients the server counts. */
  async clients(): Promise<number> {
    return (await this.get<{ clients: number }>('/healthz')).clients;
  }

  /** What another program does to the database, in SQL. */
  byHand(sql: string): void {
    runSql(this.file, sql, this.patienceMs);
  }

  /** Opens a page: a WebSocket that remembers what it is told. `cursor` is the id from which it goes on. */
  async open(cursor?: string): Promise<Page> {
    const query = cursor === undefined ? '' : `?lastEventId=${cursor}`;
    const page = await Page.open(`ws://${this.host}/ws${query}`, this.patienceMs);
    this.pages.add(page);
    return page;
  }

  /** So that whoever opens pages next is alone with them. */
  async closePages(): Promise<void> {
    for (const page of this.pages) page.cut();
    this.pages.clear();
    for (const end = performance.now() + this.patienceMs; performance.now() < end; await delay(5))
      if ((await this.clients()) === 0) return;
  }

  async stop(): Promise<void> {
    for (const page of this.pages) page.cut();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = new Promise((resolve) => this.child.once('exit', resolve));
      this.child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
