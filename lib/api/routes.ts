// The route table: which path takes which methods, and who answers. On one screen, so that a reader finds from here
// where any request goes. Whoever adds a resource adds its lines here.
import type { Config } from '../config.ts';
import { CUSTOMERS } from '../customer.ts';
import { type Call, wantsEventStream } from '../http/request.ts';
import { Problem } from '../problem.ts';
import type { Resource } from '../resource.ts';
import { RESOURCES } from '../resources.ts';
import type { Store } from '../store/store.ts';
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
  store: Store;
  hub: Hub;
  health: Health;
  metrics: Metrics;
  isLabOn: boolean;
  config: Pick<Config, 'apiToken' | 'hasCustomers' | 'jwt' | 'watch'>;
};

export class Routes {
  private readonly routes: Route[];
  private readonly events;

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
    const hasCustomers = config.hasCustomers && store.hasCustomers;
    const { watch } = store;
    const { openapi, asyncapi } = createDescriptionsApi({ ...config, watch, hasCustomers, isLabOn });
    const { publish } = createPublishApi(store, watch);
    const watched = createWatchApi(store, watch);
    const readEvents = (call: Call) =>
      wantsEventStream(call.req) ? openEventStream(call, hub) : events.catchUp(call);
    // What is switched off isn't there: its paths answer 404, as if the program never had them.
    const resources = RESOURCES.filter((resource) => hasCustomers || resource !== CUSTOMERS);
    const all: (Route | false)[] = [
      { path: /^\/api\/events$/, methods: { GET: readEvents, POST: publish } },
      ...resources.flatMap((resource) => routesOf(store, resource)),
      { path: /^\/api\/watch\/([^/]+)$/, methods: { GET: watched.list } },
      { path: /^\/api\/watch\/([^/]+)\/([^/]+)$/, methods: { GET: watched.read } },
      { path: /^\/ws$/, methods: { GET: explainWebSocket } },
      { path: /^\/healthz$/, methods: { GET: health.healthz } },
      { path: /^\/readyz$/, methods: { GET: health.readyz } },
      { path: /^\/metrics$/, methods: { GET: metrics.answer } },
      { path: /^\/openapi\.json$/, methods: { GET: openapi } },
      { path: /^\/asyncapi\.json$/, methods: { GET: asyncapi } },
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
      path: new RegExp(`${path}/([1-9]\\d{0,15})$`),
      methods: { GET: read, PUT: replace, PATCH: patch, DELETE: remove },
    },
  ];
}

/** A browser's address bar, or a client library that fell back to HTTP. @throws {Problem} 400 always */
function explainWebSocket(): never {
  throw new Problem(400, 'This is a WebSocket endpoint: connect with new WebSocket("ws://…/ws").');
}
