// How a program in TypeScript is started: Node 22.18 and later strip the types by themselves, older ones need help.
// (@types/node 20 doesn't know of the feature.)
import { fileURLToPath } from 'node:url';

const { typescript } = process.features as { typescript?: string | false };
const help = [
  '--expose-internals',
  '--require',
  fileURLToPath(new URL('./strip-types.cjs', import.meta.url)),
];

/** What stands before the file in the arguments of Node. */
export const stripTypes: readonly string[] = typescript && typescript !== 'hook' ? [] : help;
