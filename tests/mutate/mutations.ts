// The table: small breaks of the program, each with the test that names the promise it breaks.
import { BOUNDS } from './bounds.ts';
import { DOOR } from './door.ts';
import { LIBRARY } from './library.ts';
import type { Mutation } from './mutation.ts';
import { POSTGRES } from './postgres.ts';
import { STORE } from './store.ts';
import { STREAM } from './stream.ts';
import { WIRE } from './wire.ts';
import { WISHES } from './wishes.ts';

export const MUTATIONS: Mutation[] = [
  ...STREAM,
  ...WIRE,
  ...STORE,
  ...POSTGRES,
  ...DOOR,
  ...BOUNDS,
  ...WISHES,
  ...LIBRARY,
];
