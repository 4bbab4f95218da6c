// The route table: which path takes which methods, and who answers. On one screen, so that a reader finds from here
// where any request goes. Whoever adds a resource adds its lines here.
import type { Config } from '../config.ts';
import { CUSTOMERS } from '../customer.ts';
import { type Call, queryInteger, wantsEventStream } from '../http/request.ts';
import { Problem } from '../problem.ts';
import type { Resource } from '../resource.ts';
import { RESOURCES } from '../resources.ts';
import type { Store } from '../store/store.ts';
import { parseConflation } from '../stream/conflation.ts';
import { openEventStream } from '../stream/event-stream.ts';
import type { Hub } from '../stream/hub.ts';
import { createDescriptionsApi } from './descriptions-api.ts';
import { createEventsApi } from './events-api.ts';
import type { Health } from './health.ts';
import type { Metrics } from './metrics.ts';
import { createPublishApi } from './publish-api.ts';
import { createResourceApi } from './resource-api.ts';
import { createWatchApi } from './watch-api.ts';

/** Answers a request, or throws a Problem that does. */
export type Handler = (call: Call) => void | Promise<void>;
/** By the name of the method; HEAD goes to GET. */
export type Methods = Record<string, Handler>;
/** What stands in parentheses in the path becomes `call.params`. */
type Route = { path: RegExp; methods: Methods };

/** What the handlers need. */
export type RouteParts = {
  /** Read and written; nobody here looks at a database by another way. */
  store: Store;
  /** Where streams are added. No handler ever tells it of a change: it reads the log. */
  hub: Hub;
  health: Health;
  metrics: Metrics;
  /** Known only once the server listens: by default it hangs on who can reach it. */
  isLabOn: boolean;
  /** Settings that add or take away routes, or of which the descriptions tell. */
  config: Pick<Config, 'apiToken' | 'hasCustomers' | 'jwt' | 'watch'>;
};

/** The table, and the questions that are asked of it. */
export class Routes {
  private readonly routes: Route[];
  /** Kept beside the table: who waits there for an event must be answered when the server stops. */
  private readonly events;

  /** All handlers are made here, once, with what they need: a request finds them ready. */
  constructor(parts: RouteParts) {
    this.events = createEventsApi(parts.store);
    this.routes = this.list(parts);
  }

  /**
   * The methods of a path, whose parameters are now in the call; undefined if it is no route. One after another: there
   * are a dozen, and the two that are busy stand first.
   */
  find(call: Call): Methods | undefined {
    for (const { path, methods } of this.routes) {
      const match = path.exec(call.path);
      if (!match) continue;
      call.params = match.slice(1);
      return methods;
    }
    return undefined;
  }

  /** `OPTIONS *` asks about the server as a whole (RFC 9110 §9.3.7). */
  all(): Methods {
    const { OPTIONS, ...methods } = Object.assign(
      {},
      ...this.routes.map(({ methods }) => methods),
    ) as Methods;
    return methods;
  }

  /** Is there such a path, whatever methods it takes? An upgrade that went there is told so. */
  has(path: string): boolean {
    return this.routes.some((route) => route.path.test(path));
  }

  /** Answers those who wait for an event, since the server stops. */
  stopWaiting(): void {
    this.events.stopWaiting();
  }

  /** A path ends where its pattern ends: with a slash behind it, it is another path, and nothing is there. */
  private list({ store, hub, health, metrics, isLabOn, config }: RouteParts): Route[] {
    const { events } = this;
    // Off by a setting, or because another program's table has that name.
    const hasCustomers = config.hasCustomers && store.hasCustomers;
    const { watch } = store;
    // What is switched off isn't there: its paths answer 404, as if the program never had them.
    const resources = RESOURCES.filter((resource) => hasCustomers || resource !== CUSTOMERS);
    const { openapi, asyncapi } = createDescriptionsApi({ ...config, watch, resources, isLabOn });
    const { publish } = createPublishApi(store, watch);
    // Also where nothing is watched: the path is there, and says that WATCH names what is.
    const watched = createWatchApi(store, watch);
    const readEvents = (call: Call) => {
      // One resource has one query: what can never be right in it is refused in whichever form it was asked for.
      const limit = queryInteger(call.query, 'limit', 100, 1, 1000);
      parseConflation(call.query);
      return wantsEventStream(call.req) ? openEventStream(call, hub) : events.catchUp(call, limit);
    };
    const all: (Route | false)[] = [
      { path: /^\/api\/events$/, methods: { GET: readEvents, POST: publish } },
      ...resources.flatMap((resource) => routesOf(store, resource)),
      { path: /^\/api\/watch\/([^/]+)$/, methods: { GET: watched.list } },
      { path: /^\/api\/watch\/([^/]+)\/([^/]+)$/, methods: { GET: watched.read } },
      // Only those come here who did not ask for a WebSocket: an upgrade never passes the routes.
      { path: /^\/ws$/, methods: { GET: explainWebSocket } },
      { path: /^\/healthz$/, methods: { GET: health.healthz } },
      { path: /^\/readyz$/, methods: { GET: health.readyz } },
      { path: /^\/metrics$/, methods: { GET: metrics.answer } },
      { path: /^\/openapi\.json$/, methods: { GET: openapi } },
      { path: /^\/asyncapi\.json$/, methods: { GET: asyncapi } },
      // It tells of other clients, so it is there for the lab alone.
      isLabOn && { path: /^\/api\/clients$/, methods: { GET: health.clients } },
    ];
    return all.filter((route) => route !== false);
  }
}

/** Every resource takes the same methods. */
function routesOf(store: Store, resource: Resource): Route[] {
  const { list, create, read, replace, patch, remove } = createResourceApi(store, resource);
  const path = `^/api/${resource.table}`;
  return [
    { path: new RegExp(`${path}$`), methods: { GET: list, POST: create } },
    {
      // No leading zero and no sign: an id has one form, and any other is a path where nothing is.
      path: new RegExp(`${path}/([1-9]\\d{0,15})$`),
      methods: { GET: read, PUT: replace, PATCH: patch, DELETE: remove },
    },
  ];
}

/** A browser's address bar, or a client library that fell back to HTTP. @throws {Problem} 400 always */
function explainWebSocket(): never {
  throw new Problem(400, 'This is a WebSocket endpoint: connect with new WebSocket("ws://…/ws").');
}
