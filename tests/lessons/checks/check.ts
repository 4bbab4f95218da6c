// What a check is: a promise in plain words, and the experiment that tries it. Where it fails, the sentence of its
// assertion is the learner's first hint; so it says what was done, what should come, and what came.
import type { Program } from '../program.ts';

/** `run` throws an assertion error with a sentence where the promise is broken. */
export type Check = { promise: string; run: (program: Program) => Promise<void> };

/** The checks of a lesson, tried one after the other on one program, which `env` can set up. */
export type Checks = { env?: Record<string, string>; checks: Check[] };

/** "1, 2, 3" or "nothing". */
export const listOf = (items: readonly unknown[]): string => items.join(', ') || 'nothing';

/** What is told is compared by number: that of the n-th event that was published, beginning at 1. */
export function numbersOf(ids: readonly string[], published: readonly string[]): (number | string)[] {
  return ids.map((id) => published.indexOf(id) + 1 || id);
}
