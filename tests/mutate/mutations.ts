// The table: small breaks of the program, each with the test that names the promise it breaks.
import { DOOR } from './door.ts';
import type { Mutation } from './mutation.ts';
import { STORE } from './store.ts';
import { STREAM } from './stream.ts';
import { WIRE } from './wire.ts';

export const MUTATIONS: Mutation[] = [...STREAM, ...WIRE, ...STORE, ...DOOR];
