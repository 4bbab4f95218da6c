// Changebell: saves a change and tells every connected client: in order, each event once, even to
// those who were away. This file only puts the parts together; begin with `lib/app.ts`.
import { startApp } from './lib/app.ts';
import { isLoopback, isPostgresUrl, readConfig, StartError } from './lib/config.ts';
import { describeUrls, listen } from './lib/http/listen.ts';
import { openPostgresStore } from './lib/store/postgres-store.ts';
import { openSqliteStore } from './lib/store/sqlite-store.ts';

const SHUTDOWN_MS = 4800;

try {
  const config = readConfig(process.env);
  const server = await listen(config); // the port first: if it is taken, the database stays untouched
  const isPostgres = isPostgresUrl(config.databaseUrl);
  const store = isPostgres ? await openPostgresStore(config) : openSqliteStore(config);
  const app = await startApp(server, store, config);
  const urls = describeUrls(server, config);

  console.log(`Changebell is running.
  page       ${urls.page}
  API        ${store.hasCustomers ? urls.api : urls.api.replace(/customers$/, 'events')}
  WebSocket  ${urls.webSocket}
  database   ${store.description}`);
  if (!isLoopback(config.host) && config.apiToken === undefined) {
    console.error(
      'Warning: HOST opens this server to the network and no API_TOKEN is set: anyone who reaches it may read and write.',
    );
  }

  let isStopping = false;
  const stop = () => {
    if (isStopping) process.exit(1); // a second signal means: now
    isStopping = true;
    setTimeout(() => process.exit(0), SHUTDOWN_MS).unref();
    app.close().then(
      () => process.exit(0),
      (error) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  console.error(error.message.replace(/\s*\n\s*/g, ' '));
  process.exit(1);
}
