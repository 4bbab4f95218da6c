// How a program in TypeScript is started: Node 22.18 and later strip the types by themselves, older ones need tsx,
// which takes more time to load than all of ours. (@types/node 20 doesn't know of the feature.)

const { typescript } = process.features as { typescript?: string | false };

/** What stands before the file in the arguments of Node. */
export const needsTsx: readonly string[] = typescript ? [] : ['--import', 'tsx'];
