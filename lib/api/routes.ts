// The route table: which path takes which methods, and who answers. On one screen, so that a reader finds from here
// where any request goes. The routes of a resource come by themselves once `resources.ts` names it.
import { CUSTOMERS } from '../customer.ts';
import type { Call } from '../http/request.ts';
import { Problem } from '../problem.ts';
import type { Resource } from '../resource.ts';
import { RESOURCES } from '../resources.ts';
import type { Store } from '../store/store.ts';
import { createDescriptionsApi } from './descriptions-api.ts';
import { readEvents } from './events-api.ts';
import { createHealthApi } from './health.ts';
import { createMetrics } from './metrics.ts';
import type { Parts } from './parts.ts';
import { publish, reservedTypes } from './publish-api.ts';
import { createResourceApi } from './resource-api.ts';
import { createWatchApi } from './watch-api.ts';

/** Answers a request, or throws a Problem that does. */
export type Handler = (call: Call) => void | Promise<void>;
/** By the name of the method; HEAD goes to GET. */
export type Methods = Record<string, Handler>;
/** What stands in parentheses in the path becomes `call.params`. */
export type Route = { path: RegExp; methods: Methods };

/**
 * All handlers are made here, once, with what they need: a request finds them ready. A path ends where its pattern ends:
 * with a slash behind it, it is another path, and nothing is there.
 */
export function createRoutes(parts: Parts): Route[] {
  const { store, config, isLabOn } = parts;
  // What is switched off isn't there: its paths answer 404, as if the program never had them.
  const resources = RESOURCES.filter((resource) => store.hasCustomers || resource !== CUSTOMERS);
  const { openapi, asyncapi } = createDescriptionsApi({ ...config, watch: store.watch, resources, isLabOn });
  const isReserved = reservedTypes(store.watch);
  const health = createHealthApi(parts);
  // Also where nothing is watched: the path is there, and says that WATCH names what is.
  const watched = createWatchApi(store);
  const all: (Route | false)[] = [
    {
      path: /^\/api\/events$/,
      methods: {
        GET: (call) => readEvents(call, parts),
        POST: (call) => publish(call, store, isReserved),
      },
    },
    ...resources.flatMap((resource) => routesOf(store, resource)),
    { path: /^\/api\/watch\/([^/]+)$/, methods: { GET: watched.list } },
    // A key may be an empty text: then the row's source ends with a slash, and so does its path.
    { path: /^\/api\/watch\/([^/]+)\/([^/]*)$/, methods: { GET: watched.read } },
    // Only those come here who did not ask for a WebSocket: an upgrade never passes the routes.
    { path: /^\/ws$/, methods: { GET: explainWebSocket } },
    { path: /^\/healthz$/, methods: { GET: health.healthz } },
    { path: /^\/readyz$/, methods: { GET: health.readyz } },
    { path: /^\/metrics$/, methods: { GET: createMetrics(parts) } },
    { path: /^\/openapi\.json$/, methods: { GET: openapi } },
    { path: /^\/asyncapi\.json$/, methods: { GET: asyncapi } },
    // It tells of other clients, so it is there for the lab alone.
    isLabOn && { path: /^\/api\/clients$/, methods: { GET: health.clients } },
  ];
  return all.filter((route) => route !== false);
}

/**
 * The methods of a path, whose parameters are now in the call; undefined if it is no route. One after another: there are
 * a dozen, and the two that are busy stand first.
 */
export function findMethods(routes: Route[], call: Call): Methods | undefined {
  for (const { path, methods } of routes) {
    const match = path.exec(call.path);
    if (!match) continue;
    call.params = match.slice(1);
    return methods;
  }
  return undefined;
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
