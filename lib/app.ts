// The one `node:http` server: the route table, dispatch, the upgrade, and the one place where an error
// becomes an answer. Whatever is thrown on the way of a request arrives in `answer`.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createCustomersApi } from './api/customers-api.ts';
import { createEventsApi } from './api/events-api.ts';
import { createHealth } from './api/health.ts';
import type { Config } from './config.ts';
import { createAccess } from './http/access.ts';
import { createConnections } from './http/connections.ts';
import { type Call, parseTarget } from './http/request.ts';
import { sendEmpty, sendProblem } from './http/response.ts';
import { findStaticFile, sendStaticFile } from './http/static-files.ts';
import { Problem } from './problem.ts';
import type { Store } from './store/store.ts';
import { openEventStream, wantsEventStream } from './stream/event-stream.ts';
import { Hub } from './stream/hub.ts';
import { createWebSockets } from './stream/websocket.ts';

const DRAIN_MS = 3000; // requests in flight may take so long; then the streams get CLOSE_MS, all within 5 s
const CLOSE_MS = 1500;

type Handler = (call: Call) => void | Promise<void>;
type Route = { path: RegExp; methods: Record<string, Handler> };

/** Answers on a server that listens already. @returns a function that drains and closes it all */
export async function startApp(
  server: Server,
  store: Store,
  config: Config,
): Promise<{ close: () => Promise<void> }> {
  const hub = await Hub.open(store, config);
  const access = createAccess(config);
  const connections = createConnections(server);
  const customers = createCustomersApi(store);
  const events = createEventsApi(store);
  const webSockets = createWebSockets(hub, config);
  const health = createHealth(store, hub, { ...config, isDraining: () => isDraining });
  let isDraining = false;

  const routes: Route[] = [
    { path: /^\/api\/events$/, methods: { GET: readEvents, POST: events.publish } },
    { path: /^\/ws$/, methods: { GET: explainWebSocket } },
    { path: /^\/healthz$/, methods: { GET: health.healthz } },
    { path: /^\/metrics$/, methods: { GET: health.metrics } },
  ];
  if (store.hasCustomers) {
    routes.push(
      { path: /^\/api\/customers$/, methods: { GET: customers.list, POST: customers.create } },
      {
        path: /^\/api\/customers\/([1-9]\d{0,15})$/,
        methods: {
          GET: customers.read,
          PUT: customers.replace,
          PATCH: customers.patch,
          DELETE: customers.remove,
        },
      },
    );
  }
  if (config.isLabOn) routes.push({ path: /^\/api\/clients$/, methods: { GET: health.clients } });

  function readEvents(call: Call): Promise<void> {
    return wantsEventStream(call) ? openEventStream(call, hub) : events.catchUp(call);
  }

  function explainWebSocket(): never {
    throw new Problem(400, 'This is a WebSocket endpoint: connect with new WebSocket("ws://…/ws").');
  }

  // --- a request

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    connections.begin(req, res);
    try {
      if (isDraining) refuseWhileDraining(req, res);
      await dispatch(req, res);
    } catch (error) {
      sendProblem(req, res, error);
    }
  }

  async function dispatch(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { path, query } = parseTarget(req);
    const method = req.method ?? '';
    const call: Call = { req, res, path, query, id: 0 };
    const isStream = path === '/api/events' && wantsEventStream(call);
    access.checkHost(req);
    access.addCorsHeaders(req, res);
    if (isStream || path === '/ws' || (method !== 'GET' && method !== 'HEAD')) access.checkOrigin(req);
    if (method !== 'OPTIONS' && isGuarded(path)) access.checkToken(req, query, isStream || path === '/ws');
    const methods = findRoute(call) ?? (await findFile(call));
    const handler = methods[method === 'HEAD' ? 'GET' : method];
    if (handler) return handler(call);
    const allowed = ['HEAD', 'OPTIONS', ...Object.keys(methods)].sort().join(', ');
    if (method === 'OPTIONS')
      return sendEmpty(res, 204, { Allow: allowed, ...access.preflightHeaders(req, allowed) });
    throw new Problem(405, `${path} takes ${allowed}.`, { headers: { Allow: allowed } });
  }

  function findRoute(call: Call): Record<string, Handler> | undefined {
    for (const { path, methods } of routes) {
      const match = path.exec(call.path);
      if (!match) continue;
      call.id = Number(match[1] ?? 0);
      if (Number.isSafeInteger(call.id)) return methods;
    }
    return undefined;
  }

  async function findFile(call: Call): Promise<Record<string, Handler>> {
    const file = await findStaticFile(call.path);
    if (file === undefined) throw new Problem(404, `There is nothing at ${call.path}.`);
    return { GET: (found) => sendStaticFile(found, file) };
  }

  function refuseWhileDraining(req: IncomingMessage, res: ServerResponse): void {
    res.setHeader('Connection', 'close');
    if (req.method === 'GET' || req.method === 'HEAD' || req.method === 'OPTIONS') return;
    throw new Problem(503, 'The server is stopping: try again in a moment.', {
      headers: { 'Retry-After': '2' },
    });
  }

  // --- an upgrade

  async function upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy()); // a connection that breaks is no news
    if (!(await connections.isFree(socket))) return void socket.destroy();
    const isWebSocket = req.headers.upgrade?.toLowerCase() === 'websocket';
    if (!isWebSocket && req.method !== 'CONNECT') return connections.ignoreUpgrade(req, socket, head);
    try {
      const { path, query } = parseTarget(req);
      access.checkHost(req);
      access.checkOrigin(req);
      if (isGuarded(path)) access.checkToken(req, query, path === '/ws');
      if (isDraining) throw new Problem(503, 'The server is stopping.', { headers: { 'Retry-After': '2' } });
      if (path !== '/ws') {
        const call = { req, path, query, id: 0 } as Call;
        if (!findRoute(call)) await findFile(call);
        throw new Problem(400, `${path} is no WebSocket endpoint: use /ws.`);
      }
      await webSockets.accept({ req, socket, head, query });
    } catch (error) {
      connections.refuseUpgrade(req, socket as Socket, error);
    }
  }

  // --- closing

  async function close(): Promise<void> {
    isDraining = true;
    events.stopWaiting();
    NetServer.prototype.close.call(server); // http's own close would cut idle connections at once
    // Event streams are answers too, but they would never end by themselves.
    const isStream = (res: ServerResponse) => [...hub.clients].some(({ stream }) => stream.out === res);
    await within(DRAIN_MS, connections.finish(isStream));
    const streams = [...hub.clients].map(
      ({ stream }) => new Promise<void>((resolve) => stream.out.once('close', resolve)),
    );
    hub.close();
    await within(CLOSE_MS, Promise.all(streams));
    for (const { stream } of hub.clients) stream.destroy();
    server.closeAllConnections();
    health.close();
    await store.close();
  }

  server.removeAllListeners('request'); // until now it was starting
  server.on('request', answer);
  server.on('checkContinue', answer);
  server.on('checkExpectation', (req, res) => {
    connections.begin(req, res);
    sendProblem(req, res, new Problem(417, 'Only "Expect: 100-continue" can be met.'));
  });
  server.on('upgrade', upgrade);
  server.on('connect', upgrade); // a proxy we are not: refused like any upgrade to nowhere
  return { close };
}

/** Waits for it, but no longer than this. */
function within(milliseconds: number, promise: Promise<unknown>): Promise<unknown> {
  const timeout = new Promise<void>((resolve) => setTimeout(resolve, milliseconds).unref());
  return Promise.race([promise, timeout]);
}

function isGuarded(path: string): boolean {
  return path.startsWith('/api/') || path === '/api' || path === '/ws' || path === '/metrics';
}
