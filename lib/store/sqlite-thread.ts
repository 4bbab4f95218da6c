// The loop's side of the writing thread: questions go out, answers come back in the same order. If the thread crashes,
// the program ends with its reason: it could not write any more.
import { Worker } from 'node:worker_threads';
import { StartError } from '../config.ts';
import type { Result } from './group-commit.ts';
import type { FileOptions } from './sqlite-file.ts';
import type { Order } from './store.ts';

/** What the thread is asked. */
export type Question =
  | { ask: 'commit'; orders: Order[]; announced: number }
  | { ask: 'prune'; announced: number }
  | { ask: 'check' | 'reopen' | 'close' };

/** What it answers. */
export type Answers = {
  commit: Result[];
  /** Is there more to prune? */
  prune: boolean;
  /** What keeps writes from succeeding. */
  check: string | undefined;
  /** Why the file can't be opened anew. */
  reopen: string | undefined;
  close: undefined;
};

/** What it says when the file is open. */
export type Started = { notice: string | undefined; hasCustomers: boolean };

type Message = {
  started?: Started;
  /** The one line of a start that can't be. */
  refused?: string;
  answer?: Answers[keyof Answers];
  /** Why the file must be opened anew. */
  reopen?: string;
};

const ENTRY = new URL('sqlite-thread-entry.js', import.meta.url);

export class SqliteThread {
  private readonly worker: Worker;
  /** Who waits for an answer, oldest first. */
  private readonly waiting: ((answer: never) => void)[] = [];

  /** @throws {StartError} if the file can't be opened or isn't ours to write to */
  static async open(
    options: FileOptions & { retention: number },
  ): Promise<{ thread: SqliteThread; started: Started }> {
    const thread = new SqliteThread(options);
    const first = await new Promise<Message>((resolve) => thread.worker.once('message', resolve));
    if (first.refused !== undefined) throw new StartError(first.refused);
    return { thread, started: first.started! };
  }

  private constructor(options: FileOptions & { retention: number }) {
    this.worker = new Worker(ENTRY, { workerData: options });
    this.worker.on('error', (error) => {
      throw error; // with nobody to catch it, this is the end of the program
    });
    this.worker.on('message', ({ started, refused, reopen, ...rest }: Message) => {
      if (started || refused !== undefined || reopen !== undefined) return;
      this.waiting.shift()!(rest.answer as never);
    });
  }

  ask<Q extends Question>(question: Q): Promise<Answers[Q['ask']]> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.worker.postMessage(question);
    });
  }

  /** The files under it were taken away or replaced: let go of them, then ask to reopen. */
  onReplaced(listener: (reason: string) => void): void {
    this.worker.on('message', ({ reopen }: Message) => {
      if (reopen !== undefined) listener(reopen);
    });
  }
}
