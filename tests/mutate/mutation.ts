// What a line of the table is.
import type { Edit } from './edit.ts';

/** A break of the program, in words and as edits; and the test that must turn red: its file, and how its name begins. */
export type Mutation = {
  breaks: string;
  edits: Edit[];
  /** `seconds`: what the test may take, where it needs long by its nature. */
  red: { file: string; name: string; seconds?: number };
};

/** Breaks of one file that one file of tests watches. */
export function breaksOf(file: string, tests: string, seconds?: number) {
  return (breaks: string, find: string, put: string, name: string): Mutation => ({
    breaks,
    edits: [{ file, find, put }],
    red: { file: tests, name, ...(seconds && { seconds }) },
  });
}
