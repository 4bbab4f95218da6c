// Waiting, with an end to it. A wait that ends in vain says at which line of the test it stood, for what it
// waited, in words, and what came instead: so that a broken line is found in seconds, and by its sentence.
import assert from 'node:assert/strict';
import { relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isTest } from './cleanup.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * How long a test waits for what should come at once. PATIENCE_SECONDS gives a slow machine more; what takes
 * long by its nature (three heartbeats, a lock's two seconds) says so beside it, and gets this in addition. The
 * soak and the benchmarks load the machine on purpose.
 */
export const PATIENCE_MS = 1000 * Number(process.env.PATIENCE_SECONDS || (isTest ? 3 : 30));

/** A place in a test, to be named should a wait that began there end in vain. Cheap: it is put into words only then. */
export type Place = { readonly stack?: string };

/** The place from which `helper` was called. */
export function placeOf(helper: (...args: never[]) => unknown): Place {
  const place: Place = {};
  Error.captureStackTrace(place, helper);
  return place;
}

/** An AssertionError that names the line of the test before anything else. */
export function failureAt(place: Place, message: string): assert.AssertionError {
  // The first line is the error's own name.
  const calls = (place.stack ?? '').split('\n').slice(1);
  const error = new assert.AssertionError({ message: `${lineOfTest(calls)}: ${message}` });
  // The stack of the place, not of this file: editors and reporters lead to its first line.
  error.stack = [`AssertionError: ${error.message}`, ...calls].join('\n');
  return error;
}

/** `tests/stream/hub.test.ts:42`, of the innermost call in a test file. */
function lineOfTest(calls: string[]): string {
  const [, file, line] = /([^\s()]+\.test\.ts):(\d+)/.exec(calls.join('\n')) ?? [];
  if (!file) return calls[0]?.trim() ?? 'somewhere';
  const path = file.startsWith('file:') ? fileURLToPath(file) : file;
  return `${relative(ROOT, path).replaceAll('\\', '/')}:${line}`;
}

export type Wait = {
  /** What it takes by its nature, in milliseconds; the patience is added. */
  takes?: number;
  /** What came instead, in words; asked for only when the wait has ended in vain. */
  instead?: () => string;
  place?: Place;
};

/** The same promise, or a failure that says what did not come in time, and what came instead. */
export function within<T>(promise: Promise<T>, what: string, wait: number | Wait = {}): Promise<T> {
  const { takes = 0, instead, place = placeOf(within) } = typeof wait === 'number' ? { takes: wait } : wait;
  const ms = takes + PATIENCE_MS;
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const came = instead === undefined ? '' : `; ${instead()}`;
      reject(failureAt(place, `waited ${ms / 1000} s for ${what}, in vain${came}`));
    }, ms);
  });
  // The timer goes with the wait, or a test that is over would keep its process for seconds.
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks again until the answer satisfies; for what has no event to await, such as /api/clients. */
export async function eventually<T>(
  ask: () => Promise<T> | T,
  holds: (answer: T) => boolean,
  what: string,
  takes = 0,
): Promise<T> {
  const place = placeOf(eventually);
  const end = performance.now() + takes + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (performance.now() > end)
      throw failureAt(place, `it never came true that ${what}; last: ${brief(answer)}`);
    // Often enough that a test loses no time, and seldom enough that it takes none from the server.
    await delay(20);
  }
}

/** A value on one line, cut where it is long. */
export function brief(value: unknown, most = 300): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= most ? text : `${text.slice(0, most)}… (${text.length} characters)`;
}
