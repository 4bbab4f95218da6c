// A store in the test's own process, opened as the program would open it: a start in a process of its own costs
// half a second, and of ten refusals each would be one.
import assert from 'node:assert/strict';
import { isPostgresUrl, readConfig, StartError } from '../../lib/config.ts';
import { openPostgresStore } from '../../lib/store/postgres-store.ts';
import { openSqliteStore } from '../../lib/store/sqlite-store.ts';
import type { Store } from '../../lib/store/store.ts';
import { closeAfterTest } from './cleanup.ts';

/** A store that ends with the test that opened it. @throws {StartError} what the program would print, and end with */
export async function openStore(env: Record<string, string>): Promise<Store> {
  const config = readConfig(env);
  const open = isPostgresUrl(config.databaseUrl) ? openPostgresStore : openSqliteStore;
  const store = await open(config);
  // A test may close it by itself, and it is closed once more at its end.
  let closing: Promise<void> | undefined;
  const close = () => (closing ??= store.close());
  closeAfterTest(close);
  // The store itself stays as it is: only what the test has in hand closes once.
  return Object.assign(Object.create(store) as Store, { close });
}

/** What the program would print, and end with. */
export async function refusalToStart(env: Record<string, string>): Promise<string> {
  const outcome = await openStore(env).catch((error: Error) => error);
  if (outcome instanceof StartError) return outcome.message;
  assert.fail(outcome instanceof Error ? outcome : 'it started');
}
