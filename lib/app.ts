// The one `node:http` server: dispatch, the upgrade, and the one place where an error becomes an answer. Which path
// goes where stands in `api/routes.ts`.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Health } from './api/health.ts';
import { Metrics } from './api/metrics.ts';
import { MERGE_PATCH } from './api/resource-api.ts';
import { type Methods, Routes } from './api/routes.ts';
import type { Config } from './config.ts';
import { Access, type Visit } from './http/access.ts';
import type { Answer } from './http/answer.ts';
import { Connections } from './http/connections.ts';
import { connectionLimit, type Door } from './http/listen.ts';
import { logLine, type Reason, Refusals } from './http/refusals.ts';
import { type Call, parseTarget, wantsEventStream } from './http/request.ts';
import { sendEmpty, sendProblem } from './http/response.ts';
import { StaticFiles } from './http/static-files.ts';
import { Tokens } from './http/tokens.ts';
import { Turns } from './http/turns.ts';
import { Problem } from './problem.ts';
import { NOTHING } from './scope.ts';
import type { Store } from './store/store.ts';
import { Hub } from './stream/hub.ts';
import { createWebSockets } from './stream/websocket.ts';

const DRAIN_MS = 3000; // requests in flight may take so long; then the streams get CLOSE_MS, all within 5 s
const CLOSE_MS = 1500;

/** Answers on a server that listens already. */
export class App {
  private readonly door: Door;
  private readonly store: Store;
  private readonly hub: Hub;
  private readonly access: Access;
  private readonly refusals = new Refusals();
  private readonly turns = new Turns();
  private readonly files = new StaticFiles(this.refusals);
  private readonly connections: Connections;
  private readonly webSockets;
  private readonly health: Health;
  private readonly metrics: Metrics;
  private readonly routes: Routes;

  /** Reads where the log stands, then answers. @throws {Problem} 503 if it can't be read */
  static async open(door: Door, store: Store, config: Config): Promise<App> {
    return new App(door, store, await Hub.open(store, config), await Tokens.open(config), config);
  }

  private constructor(door: Door, store: Store, hub: Hub, tokens: Tokens, config: Config) {
    const isLabOn = config.isLabOn ?? (door.isLoopback && config.allowedHosts.size === 0);
    const { maxClients, heartbeatMs } = config;
    const { refusals } = this;
    this.door = door;
    this.store = store;
    this.hub = hub;
    this.access = new Access({ ...config, ...door }, tokens);
    const connections = new Connections(door.server, connectionLimit(config.maxConnections), refusals);
    this.connections = connections;
    this.webSockets = createWebSockets(hub, { isLabOn });
    this.health = new Health({ hub, database: store, isLabOn, heartbeatMs });
    this.metrics = new Metrics({ store, hub, connections, refusals, maxClients });
    const { health, metrics } = this;
    this.routes = new Routes({ store, hub, health, metrics, isLabOn, config });
    this.takeOver();
  }

  private takeOver(): void {
    const { server } = this.door;
    this.door.open(this.answer);
    server.on('checkContinue', this.answer);
    server.on('checkExpectation', (req, res) => {
      this.connections.begin(res);
      sendProblem(req, res, new Problem(417, 'Only "Expect: 100-continue" can be met.'));
    });
    server.on('upgrade', this.upgrade);
    server.on('connect', this.upgrade); // a proxy we are not: refused like any upgrade to nowhere
  }

  // --- a request

  private readonly answer = async (req: IncomingMessage, res: Answer): Promise<void> => {
    this.connections.begin(res);
    let isStream = false;
    try {
      if (this.health.isDraining) refuseWhileDraining(req, res);
      const { path, query } = parseTarget(req);
      const call: Call = { req, res, path, query, params: [], scope: NOTHING };
      isStream = path === '/ws' || (path === '/api/events' && wantsEventStream(req));
      await this.dispatch(call, isStream);
    } catch (error) {
      this.note(req, error, isStream);
      sendProblem(req, res, error);
    }
  };

  private async dispatch(call: Call, isStream: boolean): Promise<void> {
    const { req, res, path, query } = call;
    const visit: Visit = { req, path, query, isStream };
    this.access.addHeaders(visit, res);
    const scope = this.access.admit(visit);
    call.scope = scope instanceof Promise ? await scope : scope; // a promise would cost every request a turn
    const turn = isCheap(path) ? undefined : this.turns.next();
    if (turn) await turn;
    if (res.destroyed) return; // the client has left meanwhile
    const methods = await this.methodsOf(call);
    const method = req.method ?? '';
    const handler = methods[method === 'HEAD' ? 'GET' : method];
    if (handler) return handler(call);
    const allowed = ['HEAD', 'OPTIONS', ...Object.keys(methods)].sort().join(', ');
    if (method !== 'OPTIONS')
      throw new Problem(405, `${path} takes ${allowed}.`, { headers: { Allow: allowed } });
    const patch = methods.PATCH ? { 'Accept-Patch': MERGE_PATCH.join(', ') } : undefined; // RFC 5789 §3.1
    sendEmpty(res, 204, { Allow: allowed, ...patch, ...this.access.preflightHeaders(req, allowed) });
  }

  /** What a path takes. @throws {Problem} 404 there is nothing */
  private async methodsOf(call: Call): Promise<Methods> {
    const route = this.routes.find(call);
    if (route) return route;
    if (call.path === '*' && call.req.method === 'OPTIONS') return this.routes.all();
    const found = await this.files.find(call.path);
    if (found === undefined) throw new Problem(404, `There is nothing at ${call.path}.`);
    return { GET: (asking) => this.files.send(asking, found) };
  }

  // --- an upgrade

  private readonly upgrade = async (req: IncomingMessage, duplex: Duplex, head: Buffer): Promise<void> => {
    const socket = duplex as Socket; // `listen` accepts nothing but TCP
    this.connections.suspend(socket);
    const isWebSocket = req.headers.upgrade?.toLowerCase() === 'websocket';
    if (!isWebSocket && req.method !== 'CONNECT') return this.connections.ignoreUpgrade(req, socket);
    try {
      const { path, query } = parseTarget(req);
      const scope = await this.access.admit({ req, path, query, isStream: true });
      if (this.health.isDraining) throw stopping();
      if (path !== '/ws') await this.refuseElsewhere(path);
      await this.webSockets.accept({ req, socket, head, query, scope });
      this.connections.release(socket);
    } catch (error) {
      this.note(req, error, true);
      this.connections.refuseUpgrade(req, socket, error);
    }
  };

  private async refuseElsewhere(path: string): Promise<never> {
    const isRoute = this.routes.has(path);
    if (!isRoute && (await this.files.find(path)) === undefined)
      throw new Problem(404, `There is nothing at ${path}.`);
    throw new Problem(400, `${path} is no WebSocket endpoint: use /ws.`);
  }

  /** Who is turned away at the door, or from a stream, is counted and logged. */
  private note(req: IncomingMessage, error: unknown, isStream: boolean): void {
    const status = error instanceof Problem ? error.status : 0;
    const isByToken = error instanceof Problem && 'WWW-Authenticate' in error.headers;
    const reasons: Record<number, Reason> = {
      401: 'token',
      403: isByToken ? 'scope' : 'origin',
      421: 'host',
    };
    const ofStreams: Record<number, Reason> = { 400: 'handshake', 426: 'handshake' };
    const isFull = isStream && status === 503 && this.hub.isFull;
    const reason =
      reasons[status] ?? (isStream ? ofStreams[status] : undefined) ?? (isFull ? 'clients' : undefined);
    if (reason) this.refusals.add(reason, req);
  }

  // --- closing

  /** Finishes what is in flight, says goodbye to every stream, closes the store. */
  async close(): Promise<void> {
    const { health, door, connections, hub } = this;
    health.isDraining = true;
    this.routes.stopWaiting();
    door.close();
    // Event streams are answers too, but they would never end by themselves.
    const isStream = (answer: Answer) => [...hub.clients].some(({ stream }) => stream.out === answer);
    const isDone = await within(DRAIN_MS, connections.finish(isStream));
    if (!isDone) logLine(`Stopping: requests that were not answered within ${DRAIN_MS} ms are cut off.`);
    const streams = [...hub.clients].map(
      ({ stream }) => new Promise<void>((resolve) => stream.out.once('close', resolve)),
    );
    hub.close();
    await within(CLOSE_MS, Promise.all(streams));
    connections.destroy();
    this.metrics.stop();
    await this.store.close();
  }
}

/** Asks nobody and takes no time: such a path is answered at once, whoever else waits. */
function isCheap(path: string): boolean {
  return path === '/healthz' || path === '/readyz' || path === '/metrics';
}

function refuseWhileDraining(req: IncomingMessage, res: Answer): void {
  res.setHeader('Connection', 'close');
  if (req.method !== 'GET' && req.method !== 'HEAD' && req.method !== 'OPTIONS') throw stopping();
}

function stopping(): Problem {
  return new Problem(503, 'The server is stopping: try again in a moment.', {
    headers: { 'Retry-After': '2' },
  });
}

/** Waits for it, but no longer than this. False if it took longer. */
function within(milliseconds: number, promise: Promise<unknown>): Promise<boolean> {
  const timeout = new Promise<false>((resolve) => setTimeout(() => resolve(false), milliseconds).unref());
  return Promise.race([promise.then(() => true), timeout]);
}
