// Changebell: saves a change and tells every connected client: in order, each event once, even to
// those who were away. This file only puts the parts together; begin with `lib/app.ts`.
import { setFlagsFromString } from 'node:v8';
import { App } from './lib/app.ts';
import { type Config, checkNode, isPostgresUrl, readConfig, StartError } from './lib/config.ts';
import { type Door, describeUrls, listen } from './lib/http/listen.ts';
import { openPostgresStore } from './lib/store/postgres-store.ts';
import { openSqliteStore } from './lib/store/sqlite-store.ts';
import type { Store } from './lib/store/store.ts';

const SHUTDOWN_MS = 4800; // supervisors and people wait 5 s, and then pull the plug
const MAX_UNREAD_BYTES = 64 * 1024; // of log lines: beyond them a reader that has stopped loses lines

// Node lets the heap grow to several times what is in use before it collects what long waits have left there. Beside a
// database that stood still for 15 s, that were 326 MB more than before; this way 141 MB, at no price that was measured.
setFlagsFromString('--heap-growing-percent=40');

try {
  checkNode(process.versions.node);
  const config = readConfig(process.env);
  const door = await listen(config); // the port first: if it is taken, the database stays untouched
  const isPostgres = isPostgresUrl(config.databaseUrl);
  const store = isPostgres ? await openPostgresStore(config) : await openSqliteStore(config);
  const app = await App.open(door, store, config); // until now requests were told that the server is starting
  for (const stream of [process.stdout, process.stderr]) surviveReader(stream);
  stopOnSignals(app); // first: whoever reads the lines below may stop it at once
  sayHello(door, store);
  warn(door, config);
} catch (error) {
  if (!(error instanceof StartError)) throw error; // our bug: whole, with its stack
  console.error(error.message.replace(/\s*\n\s*/g, ' '));
  process.exit(1);
}

/**
 * Whoever reads the log may go away, as `| head` does, or stop reading. The first is no reason to stop; and the second
 * must neither block us nor fill our memory: Node keeps what a full pipe doesn't take.
 */
function surviveReader(stream: NodeJS.WriteStream): void {
  stream.on('error', () => {});
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  const { _handle: pipe } = stream as { _handle?: { setBlocking?: (isBlocking: boolean) => void } };
  stream.write = (...args: unknown[]) => {
    // Whoever shares our end of the pipe may have made it one that waits, as every program does that tsx starts.
    if (!stream.isTTY) pipe?.setBlocking?.(false);
    if (stream.writableLength < MAX_UNREAD_BYTES) write(...args);
    return true; // never "wait": a thread would keep its lines meanwhile, without a bound
  };
}

/** What was started, with the real port, and no password; tables by the names that their events have. */
function sayHello(door: Door, store: Store): void {
  const urls = describeUrls(door);
  const watching = store.watch.size > 0 ? `\n  watching   ${[...store.watch].join(', ')}` : '';
  console.log(`Changebell is running.
  page       ${urls.page}
  API        ${store.hasCustomers ? urls.customers : urls.events}
  WebSocket  ${urls.webSocket}
  database   ${store.description}${watching}`);
}

/** One line at most, where anyone may read and write. */
function warn(door: Door, config: Config): void {
  if (config.apiToken !== undefined || config.jwt !== undefined) return;
  const what = 'neither API_TOKEN nor a JWT key is set: anyone who reaches it may read and write.';
  if (!door.isLoopback) console.error(`Warning: HOST opens this server to the network and ${what}`);
  else if (config.allowedHosts.size > 0)
    console.error(`Warning: ALLOWED_HOSTS opens this server to whoever reaches your proxy, and ${what}`);
}

/** SIGHUP is a closed terminal. Streams end with a goodbye, so that clients come back at once and not after a timeout. */
function stopOnSignals(app: App): void {
  let isStopping = false;
  const stop = () => {
    if (isStopping) process.exit(1); // a second signal means: now
    isStopping = true;
    setTimeout(() => fail(`It did not stop within ${SHUTDOWN_MS} ms, and was ended by force.`), SHUTDOWN_MS);
    app.close().then(() => process.exit(0), fail);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
}

function fail(reason: unknown): never {
  console.error(reason);
  process.exit(1);
}
