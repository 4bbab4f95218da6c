// The whole program but `server.ts`, in the test's own process: for tests that ask nothing of the process itself, neither
// what it prints nor how it ends. To start it elsewhere costs twice as much. A test that blocks its own thread, or measures
// what the program takes, wants `startServer`.
import { join } from 'node:path';
import { App } from '../../lib/app.ts';
import { isPostgresUrl, readConfig } from '../../lib/config.ts';
import { describeUrls, listen } from '../../lib/http/listen.ts';
import { openPostgresStore } from '../../lib/store/postgres-store.ts';
import { openSqliteStore } from '../../lib/store/sqlite-store.ts';
import { closeInTime } from './cleanup.ts';
import { temporaryFolder } from './server.ts';

/** What a test has of it. */
export type OpenServer = Awaited<ReturnType<typeof openServer>>;

/** A server on a free port, with a database of its own unless `env` names one; it ends with the test, or the file, that opened it. */
export async function openServer(env: Record<string, string> = {}) {
  const databaseFile = env.DATABASE_URL ?? join(temporaryFolder(), 'test.db');
  const config = readConfig({ PORT: '0', DATABASE_URL: databaseFile, ...env });
  const door = await listen(config);
  const store = await (isPostgresUrl(databaseFile) ? openPostgresStore : openSqliteStore)(config);
  const app = await App.open(door, store, config);
  const { webSocket } = describeUrls(door);
  // A test may stop it by itself, and it is stopped once more at its end.
  let stopping: Promise<void> | undefined;
  const stop = () => (stopping ??= app.close());
  closeInTime(stop);
  return { url: `http://${new URL(webSocket).host}`, wsUrl: webSocket, port: door.port, databaseFile, stop };
}
