// What the handlers of the API are made with: the parts of the running program that they ask.
import type { Config } from '../config.ts';
import type { Connections } from '../http/connections.ts';
import type { Refusals } from '../http/refusals.ts';
import type { Store } from '../store/store.ts';
import type { Hub } from '../stream/hub.ts';
import type { Waiting } from './waiting.ts';

export type Parts = {
  /** Read and written; nobody here looks at a database by another way. */
  store: Store;
  /** Where streams are added. No handler ever tells it of a change: it reads the log. */
  hub: Hub;
  waiting: Waiting;
  connections: Connections;
  refusals: Refusals;
  config: Config;
  /** Known only once the server listens: by default it hangs on who can reach it. */
  isLabOn: boolean;
  /** The server stops, and takes no new work. */
  isDraining: () => boolean;
};
