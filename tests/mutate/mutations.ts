// The table: small breaks of the program, each with the test that names the promise it breaks.
import type { Edit } from './copy.ts';

/** A break of the program, in words and as edits; and the test that must turn red: its file, and how its name begins. */
export type Mutation = { breaks: string; edits: Edit[]; red: { file: string; name: string } };

/** A break of one line. */
function one(
  breaks: string,
  file: string,
  find: string,
  put: string,
  test: [file: string, name: string],
): Mutation {
  return { breaks, edits: [{ file, find, put }], red: { file: test[0], name: test[1] } };
}

export const MUTATIONS: Mutation[] = [
  one(
    'the first chunk leaves out its first event',
    'lib/stream/chunks.ts',
    'store.readEvents(cursor, wanted,',
    'store.readEvents(cursor + 1, wanted,',
    ['tests/stream/websocket.test.ts', 'a client that resumes after event 2 gets 3, 4'],
  ),
];
