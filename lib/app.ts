// The one `node:http` server: the route table, dispatch, the upgrade, and the one place where an error
// becomes an answer. Whatever is thrown on the way of a request arrives in `answer`.
import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createAccess } from './access.ts';
import { type Config, StartError } from './config.ts';
import { createCustomersApi } from './customers-api.ts';
import { openEventStream, wantsEventStream } from './event-stream.ts';
import { createEventsApi } from './events-api.ts';
import { createHealth } from './health.ts';
import { type Call, sendEmpty, sendProblem } from './http.ts';
import { createHub } from './hub.ts';
import { Problem } from './problem.ts';
import { findStaticFile, sendStaticFile } from './static-files.ts';
import type { Store } from './store.ts';
import { createWebSockets } from './websocket.ts';

const DRAIN_MS = 3000; // requests in flight may take so long; then the streams get CLOSE_MS, all within 5 s
const CLOSE_MS = 1500;

type Handler = (call: Call) => void | Promise<void>;
type Route = { path: RegExp; methods: Record<string, Handler> };

/** Takes the port, and nothing else yet: a taken port must leave the database untouched. */
export function listen({ port, host }: Config): Promise<Server> {
  const server = createServer({
    maxHeaderSize: 16 * 1024,
    headersTimeout: 10_000,
    requestTimeout: 12_000,
    connectionsCheckingInterval: 1000, // limits are only looked at so often: 30 s by default
    keepAliveTimeout: 65_000,
  });
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new StartError(listenProblem(error, port, host))),
    );
    server.listen(port, host.replace(/^\[|\]$/g, ''), () => resolve(server));
  });
}

function listenProblem({ code, message }: NodeJS.ErrnoException, port: number, host: string): string {
  if (code === 'EADDRINUSE') {
    const hint = port === 5000 ? ' (on macOS, AirPlay Receiver often holds 5000)' : '';
    return `Port ${port} is in use${hint}: take another one with PORT=${port + 1 > 65_535 ? 5001 : port + 1} npx tsx server.ts`;
  }
  if (code === 'EACCES')
    return `Port ${port} needs more rights: take one above 1023 with PORT=5001 npx tsx server.ts`;
  return `HOST ${host} cannot be listened on (${code ?? message}): give an address of this machine.`;
}

/** Answers on a server that listens already. @returns a function that drains and closes it all */
export function startApp(server: Server, store: Store, config: Config): { close: () => Promise<void> } {
  const hub = createHub(store, config);
  const access = createAccess(config);
  const customers = createCustomersApi(store);
  const events = createEventsApi(store, hub);
  const webSockets = createWebSockets(hub, config);
  const health = createHealth(store, hub, { isDraining: () => isDraining, isLabOn: config.isLabOn });
  const answering = new Map<Duplex, ServerResponse>();
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
    answering.set(req.socket, res);
    res.once('close', () => {
      if (answering.get(req.socket) === res) answering.delete(req.socket);
      if (isDraining && countRequests() === 0) drained();
    });
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
    const methods = await findMethods(call);
    const handler = methods[method === 'HEAD' ? 'GET' : method];
    if (handler) return handler(call);
    const allowed = ['HEAD', 'OPTIONS', ...Object.keys(methods)].sort().join(', ');
    if (method === 'OPTIONS')
      return sendEmpty(res, 204, { Allow: allowed, ...access.preflightHeaders(req, allowed) });
    throw new Problem(405, `${path} takes ${allowed}.`, { headers: { Allow: allowed } });
  }

  async function findMethods(call: Call): Promise<Record<string, Handler>> {
    for (const { path, methods } of routes) {
      const match = path.exec(call.path);
      if (!match) continue;
      call.id = Number(match[1] ?? 0);
      if (Number.isSafeInteger(call.id)) return methods;
    }
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
    try {
      const { path, query } = parseTarget(req);
      access.checkHost(req);
      access.checkOrigin(req);
      if (isGuarded(path)) access.checkToken(req, query, path === '/ws');
      if (isDraining) throw new Problem(503, 'The server is stopping.', { headers: { 'Retry-After': '2' } });
      if (path !== '/ws') {
        await findMethods({ req, path, query, id: 0 } as Call);
        throw new Problem(400, `${path} is no WebSocket endpoint: use /ws.`);
      }
      await webSockets.accept({ req, socket, head, query });
    } catch (error) {
      refuseUpgrade(req, socket as Socket, error);
    }
  }

  /** Plain HTTP on the raw socket: the same answers, in the same words, as to any other request. */
  function refuseUpgrade(req: IncomingMessage, socket: Socket, error: unknown): void {
    const res = new ServerResponse(req);
    res.shouldKeepAlive = false;
    res.assignSocket(socket);
    res.on('finish', () => socket.destroySoon());
    sendProblem(req, res, error);
  }

  /** What `node:http` could not read as a request, or gave up on. */
  function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
    const res = answering.get(socket);
    const isBroken = error.code === 'ECONNRESET' || !socket.writable || res?.headersSent;
    if (isBroken) return void socket.destroy();
    const problem = malformedProblem(error.code);
    const body = JSON.stringify(problem);
    socket.end(
      `HTTP/1.1 ${problem.status} ${(problem.toJSON() as { title: string }).title}\r\nConnection: close\r\n` +
        'Content-Type: application/problem+json; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n' +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      () => setTimeout(() => socket.destroy(), 500).unref(),
    );
  }

  // --- closing

  let drained = () => {};

  async function close(): Promise<void> {
    isDraining = true;
    for (const res of answering.values()) res.shouldKeepAlive = false;
    NetServer.prototype.close.call(server); // http's own close would cut idle connections at once
    const timeout = (milliseconds: number) =>
      new Promise<void>((resolve) => setTimeout(resolve, milliseconds).unref());
    const requests = new Promise<void>((resolve) => {
      drained = resolve;
      if (countRequests() === 0) resolve();
    });
    await Promise.race([requests, timeout(DRAIN_MS)]);
    const streams = [...hub.clients].map(
      (client) => new Promise<void>((resolve) => client.out.once('close', resolve)),
    );
    hub.close();
    await Promise.race([Promise.all(streams), timeout(CLOSE_MS)]);
    for (const client of hub.clients) client.destroy();
    server.closeAllConnections();
    health.close();
    await store.close();
  }

  /** Open event streams are answers too, but they would never end by themselves. */
  function countRequests(): number {
    return [...answering.values()].filter((res) => !res.headersSent).length;
  }

  server.on('request', answer);
  server.on('checkContinue', answer);
  server.on('upgrade', upgrade);
  server.on('clientError', refuseMalformed);
  return { close };
}

/** Path and query; also of the absolute form (RFC 9112 §3.2.2). @throws {Problem} 400 bad escapes */
function parseTarget(req: IncomingMessage): { path: string; query: URLSearchParams } {
  let target = req.url ?? '/';
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target);
  if (absolute) {
    req.headers.host = absolute[1]!; // it counts instead of the Host header
    target = absolute[2]!.startsWith('/') ? absolute[2]! : `/${absolute[2]}`;
  }
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const search = mark < 0 ? '' : target.slice(mark + 1);
  if (target.includes('%')) {
    try {
      decodeURIComponent(path);
      decodeURIComponent(search);
    } catch {
      throw new Problem(400, 'The URL has a % that begins no valid UTF-8 escape.');
    }
  }
  return { path, query: search === '' ? NO_QUERY : new URLSearchParams(search) };
}

const NO_QUERY = new URLSearchParams();

function isGuarded(path: string): boolean {
  return path.startsWith('/api/') || path === '/api' || path === '/ws' || path === '/metrics';
}

function malformedProblem(code: string | undefined): Problem {
  if (code === 'HPE_HEADER_OVERFLOW') return new Problem(431, 'The headers are larger than 16384 bytes.');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new Problem(408, 'The request took too long to arrive.');
  return new Problem(400, 'This is not a well-formed HTTP/1.1 request.');
}

/** The URLs under which people find it. */
export function describeUrls(
  server: Server,
  { host }: Config,
): { page: string; api: string; webSocket: string } {
  const { port } = server.address() as AddressInfo;
  const shown = /^(127\.0\.0\.1|0\.0\.0\.0|::|\[::\])$/.test(host) ? 'localhost' : host;
  const name = `${shown.includes(':') && !shown.startsWith('[') ? `[${shown}]` : shown}:${port}`;
  return { page: `http://${name}/`, api: `http://${name}/api/customers`, webSocket: `ws://${name}/ws` };
}
