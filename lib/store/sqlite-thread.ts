// The loop's side of the writing thread: questions go out, answers come back in the same order. If the thread crashes,
// the program ends with its reason: it could not write any more.
import { Worker } from 'node:worker_threads';
import { StartError } from '../config.ts';
import type { Result } from './group-commit.ts';
import type { FileOptions } from './sqlite-file.ts';
import type { Order } from './store.ts';

/** How long a question whether writes can succeed may take: as long as a write may wait. */
const CHECK_MS = 2000;
/** Between two tries for a lock that another program holds. */
const RETRY_MS = 50;

/** What the thread is asked. Orders and answers are plain data: they are copied from one thread to the other. */
export type Question =
  | { ask: 'commit'; orders: Order[]; announced: number }
  | { ask: 'prune'; announced: number }
  | { ask: 'check' | 'reopen' | 'close' };

/** What it answers, by the name of the question. */
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
export type Started = {
  notice: string | undefined;
  hasCustomers: boolean;
  /** The watched tables, by the names that they were created with. */
  watch: ReadonlySet<string>;
};

type Message = {
  started?: Started;
  /** The one line of a start that can't be. */
  refused?: string;
  answer?: Answers[keyof Answers];
  /** Why the file must be opened anew. */
  reopen?: string;
  /** The stack of an error that is a bug of ours. */
  crashed?: string;
};

/** Plain JavaScript; it says itself why. */
const ENTRY = new URL('sqlite-thread-entry.js', import.meta.url);

/**
 * The thread, and whatever it owes an answer. No answer has a time limit here: a sync may hang for as long as the disk
 * likes, and whoever asks decides how long to wait (`group-commit.ts`, `findTrouble`).
 */
export class SqliteThread {
  private readonly worker: Worker;
  /** Who waits for an answer, oldest first. */
  private readonly waiting: ((answer: never) => void)[] = [];

  /**
   * Starts the thread, and waits until the file is open in it.
   * @throws {StartError} if the file can't be opened or isn't ours to write to
   */
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
    // With nobody to catch it, either is the end of the program.
    this.worker.on('error', (error) => {
      throw error;
    });
    // In the order of the questions: the thread does one after the other, and messages don't overtake each other.
    this.worker.on('message', ({ started, refused, reopen, crashed, ...rest }: Message) => {
      if (crashed !== undefined) throw new Error(`The thread that writes to SQLite has failed: ${crashed}`);
      if (started || refused !== undefined || reopen !== undefined) return;
      this.waiting.shift()!(rest.answer as never);
    });
  }

  /** Resolves to the answer, after those of all questions before. After `close` there is none any more. */
  ask<Q extends Question>(question: Q): Promise<Answers[Q['ask']]> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.worker.postMessage(question);
    });
  }

  /**
   * What keeps writes from succeeding, in one sentence; undefined if nothing does. A lock that another program holds
   * for a moment is no trouble: a write would wait for it as well.
   */
  async findTrouble(): Promise<string | undefined> {
    const deadline = performance.now() + CHECK_MS;
    for (;;) {
      const late = 'The disk under the database did not answer in time.';
      const trouble = await within(deadline - performance.now(), this.ask({ ask: 'check' }), late);
      const isOver = performance.now() + RETRY_MS > deadline;
      if (isOver || !trouble?.includes('locked')) return trouble;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** The files under it were taken away or replaced: let go of them, then ask to reopen. */
  onReplaced(listener: (reason: string) => void): void {
    this.worker.on('message', ({ reopen }: Message) => {
      if (reopen !== undefined) listener(reopen);
    });
  }
}

/** What was promised, or else this after so many milliseconds. */
async function within<T, Else>(milliseconds: number, promise: Promise<T>, late: Else): Promise<T | Else> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<Else>((resolve) => {
    timer = setTimeout(() => resolve(late), milliseconds);
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}
