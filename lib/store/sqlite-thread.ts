// The loop's side of the writing thread: questions go out, answers come back in the same order. If the thread crashes,
// the program ends with its reason: it could not write any more.
import { Worker } from 'node:worker_threads';
import { StartError } from '../config.ts';
import type { Message, Methods, Started, ThreadOptions } from './sqlite-worker.ts';

/** Plain JavaScript; it says itself why. */
const ENTRY = new URL('sqlite-thread-entry.js', import.meta.url);

/**
 * The thread, and whatever it owes an answer. No answer has a time limit here: a sync may hang for as long as the disk
 * likes, and whoever asks decides how long to wait (`group-commit.ts`).
 */
export class SqliteThread {
  /** The files under it were taken away or replaced: let go of them, then ask to reopen. Set by whoever reads them. */
  onReplaced: (reason: string) => void = () => {};
  private readonly worker: Worker;
  /** Who waits for an answer, oldest first. */
  private readonly waiting: ((answer: never) => void)[] = [];

  /**
   * Starts the thread, and waits until the file is open in it.
   * @throws {StartError} if the file can't be opened or isn't ours to write to
   */
  static async open(options: ThreadOptions): Promise<{ thread: SqliteThread; started: Started }> {
    const thread = new SqliteThread(options);
    const started = await thread.ask('openFile', false);
    if (!('refused' in started)) return { thread, started };
    void thread.ask('close');
    throw new StartError(started.refused);
  }

  private constructor(options: ThreadOptions) {
    this.worker = new Worker(ENTRY, { workerData: options });
    // With nobody to catch it, this is the end of the program.
    this.worker.on('error', (error) => {
      throw error;
    });
    // In the order of the questions: the thread does one after the other, and messages don't overtake each other.
    this.worker.on('message', (message: Message) => {
      if ('reopen' in message) this.onReplaced(message.reopen);
      else this.waiting.shift()!(message.answer as never);
    });
  }

  /** Resolves to the answer, after those of all questions before. After `close` there is none any more. */
  ask<Name extends keyof Methods>(
    name: Name,
    ...args: Parameters<Methods[Name]>
  ): Promise<ReturnType<Methods[Name]>> {
    this.worker.postMessage({ name, args });
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}
