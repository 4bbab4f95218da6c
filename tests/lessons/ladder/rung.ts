// A rung as a running program with a database of its own, and the people who connect to it. Both are real: a
// process, a port, WebSockets; so what the experiments show is what would happen to you.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { stripTypes } from '../../support/typescript.ts';
import { runSql } from '../database.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** The files of the rungs, lowest first. */
export const RUNGS: string[] = readdirSync(HERE)
  .filter((file) => /^\d-.*\.ts$/.test(file))
  .sort();

/** Where a rung's file lies; of the rung `number`, which begins at 1. */
export const fileOf = (number: number): string => join(HERE, RUNGS[number - 1] ?? '');

/** A rung that runs. What is asked of it is given up after `patienceMs`. */
export class Rung {
  readonly url: string;
  readonly patienceMs: number;
  private readonly child: ChildProcess;
  private readonly folder: string;
  private unsent: Promise<number> | undefined;

  constructor(url: string, child: ChildProcess, folder: string, patienceMs: number) {
    this.url = url;
    this.child = child;
    this.folder = folder;
    this.patienceMs = patienceMs;
  }

  /** Saves a customer over HTTP. @returns the status, or undefined where no answer came in time */
  async save(name: string): Promise<number | undefined> {
    const signal = AbortSignal.timeout(this.patienceMs);
    try {
      const response = await fetch(this.url, { method: 'POST', body: JSON.stringify({ name }), signal });
      await response.arrayBuffer();
      return response.status;
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }

  /** Saves a customer as another program would: straight into the database. */
  saveByHand(name: string): void {
    const sql = `INSERT INTO customers (name) VALUES ('${name}')`;
    runSql(join(this.folder, 'shop.db'), sql, this.patienceMs);
  }

  /** How many bytes wait in the rung's memory for the slowest of its readers. A rung that is busy is asked once. */
  unsentBytes(): Promise<number> {
    this.unsent ??= this.askUnsent();
    return this.unsent;
  }

  private async askUnsent(): Promise<number> {
    this.child.send('unsent?');
    const [bytes] = await once(this.child, 'message');
    this.unsent = undefined;
    return bytes;
  }

  /** Someone connects: new, or with the number of the last event that they saw. */
  async connect(after?: number): Promise<Person> {
    const url = new URL(this.url.replace('http', 'ws'));
    if (after !== undefined) url.searchParams.set('after', String(after));
    const person = new Person(new WebSocket(url), this.patienceMs);
    await person.opened;
    return person;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.kill('SIGKILL')) await once(this.child, 'exit');
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Starts a rung on a free port. @throws {Error} if it ends before it listens */
export async function startRung(number: number, patienceMs: number): Promise<Rung> {
  const folder = mkdtempSync(join(tmpdir(), 'rung-'));
  const child = spawn(process.execPath, [...stripTypes, fileOf(number)], {
    env: { ...process.env, PORT: '0', DATABASE_URL: join(folder, 'shop.db') },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const lines = createInterface({ input: child.stdout! });
  const ended = once(child, 'exit').then(() => {
    rmSync(folder, { recursive: true, force: true });
    throw new Error(`${RUNGS[number - 1]} ended before it listened.`);
  });
  const [url] = await Promise.race([once(lines, 'line'), ended]);
  ended.catch(() => {}); // later it is `stop` that ends it
  return new Rung(String(url), child, folder, patienceMs);
}

/** Someone with a WebSocket, who remembers what they heard and can stop reading. */
export class Person {
  /** The names of the customers that they were told of, in the order in which they came. */
  readonly heard: string[] = [];
  /** The number of the last event; undefined on rungs that have none. */
  lastSeq: number | undefined;
  readonly opened: Promise<unknown>;
  private readonly socket: WebSocket;
  private readonly patienceMs: number;
  /** Called whenever something is heard, or the connection ends. */
  onNews = () => {};

  constructor(socket: WebSocket, patienceMs: number) {
    this.socket = socket;
    this.patienceMs = patienceMs;
    this.opened = once(socket, 'open');
    socket.on('message', (text) => {
      const { name, seq } = JSON.parse(String(text));
      this.heard.push(shorten(name));
      this.lastSeq = seq ?? this.lastSeq;
      this.onNews();
    });
    socket.on('close', () => this.onNews());
  }

  get isConnected(): boolean {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** Resolves as soon as they have heard of this customer, or with false when they have heard nothing for too long. */
  hears(name: string): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), this.patienceMs);
      this.onNews = () => {
        timer.refresh();
        if (!this.heard.includes(name)) return;
        clearTimeout(timer);
        resolve(true);
      };
      this.onNews();
    });
  }

  stopReading(): void {
    this.socket.pause();
  }

  readOn(): void {
    this.socket.resume();
  }

  /** The cable is cut: no goodbye. */
  leave(): void {
    this.socket.terminate();
  }
}

/** A customer with a name of so many bytes, which is shown as `name` alone. */
export const heavy = (name: string, bytes: number): string => name.padEnd(bytes, '.');

const shorten = (name: string): string => name.replace(/\.+$/, '');
