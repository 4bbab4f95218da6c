// The one `node:http` server: dispatch, the upgrade, and the one place where an error becomes an answer. Which path
// goes where stands in `api/routes.ts`. A request is let in, routed and answered here, and nothing is announced: the
// hub hears of a change from the store, as it hears of everybody else's.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { MERGE_PATCH } from './api/resource-api.ts';
import { createRoutes, findMethods, type Methods, type Route } from './api/routes.ts';
import { Waiting } from './api/waiting.ts';
import type { Config } from './config.ts';
import { Access } from './http/access.ts';
import { Answer } from './http/answer.ts';
import { Connections } from './http/connections.ts';
import { connectionLimit, type Door } from './http/listen.ts';
import { Refusals, reasonOf } from './http/refusals.ts';
import { type Call, parseTarget, wantsEventStream } from './http/request.ts';
import { sendEmpty, sendProblem } from './http/response.ts';
import { createStaticFiles } from './http/static-files.ts';
import { openTokens, type Tokens } from './http/tokens.ts';
import { nothingAt, Problem, unavailable } from './problem.ts';
import type { Store } from './store/store.ts';
import { Hub } from './stream/hub.ts';
import { createWebSocketApi, offersWebSocket } from './stream/websocket.ts';
import { nextRead, nextWrite } from './turns.ts';

const DRAIN_MS = 3000; // requests in flight may take so long; then the streams get CLOSE_MS, all within 5 s
const CLOSE_MS = 1500;
const LOOK_MS = 20; // between two looks whether that is so
// These ask nobody and take no time: they are answered at once, so that a busy server isn't taken for a dead one.
const CHEAP = new Set(['/healthz', '/readyz', '/metrics']);

/** Answers on a server that listens already. It owns every part below, and closes them in order. */
export class App {
  /** The listening sockets. They came first: a port in use must leave the database untouched. */
  private readonly door: Door;
  private readonly store: Store;
  private readonly hub: Hub;
  /** Host, Origin and token, judged in one order for requests and upgrades. */
  private readonly access: Access;
  private readonly refusals = new Refusals();
  private readonly files = createStaticFiles(this.refusals);
  private readonly connections: Connections;
  private readonly acceptWebSocket: ReturnType<typeof createWebSocketApi>;
  /** Requests that wait for an event: they are answered when the server stops. */
  private readonly waiting: Waiting;
  private readonly routes: Route[];

  /** Reads where the log stands, then answers. @throws {Problem} 503 if it can't be read */
  static async open(door: Door, store: Store, config: Config): Promise<App> {
    return new App(door, store, await Hub.open(store, config), await openTokens(config), config);
  }

  private constructor(door: Door, store: Store, hub: Hub, tokens: Tokens, config: Config) {
    const isLabOn = config.isLabOn ?? (door.isLoopback && config.allowedHosts.size === 0);
    this.door = door;
    this.store = store;
    this.hub = hub;
    this.access = new Access({ ...config, ...door }, tokens);
    this.connections = new Connections(door.server, connectionLimit(config.maxConnections), this.refusals);
    this.acceptWebSocket = createWebSocketApi(hub, isLabOn);
    this.waiting = new Waiting(store);
    const { connections, refusals, waiting } = this;
    const isDraining = () => this.isDraining;
    this.routes = createRoutes({ store, hub, waiting, connections, refusals, config, isLabOn, isDraining });
    this.takeOver();
  }

  /** While the program stops: what is in flight is finished, and no new work is taken. */
  private get isDraining(): boolean {
    return !this.door.server.listening;
  }

  /** Each way in which Node hands over a request; without a listener Node would answer in words of its own. */
  private takeOver(): void {
    const { server } = this.door;
    this.door.open(this.answer);
    server.on('checkContinue', this.answer); // so that a 413 can be said before the body is sent
    server.on('checkExpectation', this.answer); // which refuses it as all else
    server.on('upgrade', this.upgrade);
    server.on('connect', this.upgrade); // a proxy we are not: refused like any upgrade to nowhere
  }

  // --- a request

  /** The error boundary: whatever a handler throws becomes an answer in one form. */
  private readonly answer = async (req: IncomingMessage, res: Answer): Promise<void> => {
    this.connections.begin(res);
    let isStream = false;
    try {
      if (this.isDraining) refuseWhileDraining(req, res);
      const { path, query } = parseTarget(req);
      isStream = path === '/ws' || (path === '/api/events' && wantsEventStream(req));
      const visit = { req, path, query, isStream };
      this.access.addHeaders(visit, res); // first: a browser shows a page the refusal only with its CORS headers
      const admitted = this.access.admit(visit);
      const scope = admitted instanceof Promise ? await admitted : admitted; // to wait would cost each request a promise
      // A crowd of requests gives way to streams and timers between two of them.
      const isRead = req.method === 'GET' || req.method === 'HEAD';
      const turn = CHEAP.has(path) ? undefined : isRead ? nextRead() : nextWrite();
      if (turn) await turn;
      // The client may have left meanwhile.
      if (!res.destroyed) await this.dispatch({ req, res, path, query, params: [], scope });
    } catch (error) {
      this.note(req, error, isStream);
      sendProblem(res, error);
    }
  };

  /** Finds who answers: first the path, then the method. @throws {Problem} 404, 405 nothing is there, or does this */
  private async dispatch(call: Call): Promise<void> {
    const methods = findMethods(this.routes, call) ?? (await this.methodsOf(call));
    const method = call.req.method ?? '';
    // A HEAD is a GET whose body isn't sent (RFC 9110 §9.3.2).
    const handler = method === 'HEAD' ? methods.GET : methods[method];
    if (handler) return handler(call);
    const allowed = ['HEAD', 'OPTIONS', ...Object.keys(methods)].sort().join(', ');
    if (method === 'OPTIONS') return this.answerOptions(call, methods, allowed);
    throw new Problem(405, `${call.path} takes ${allowed}.`, { headers: { Allow: allowed } });
  }

  private answerOptions({ req, res }: Call, methods: Methods, allowed: string): void {
    const patch = methods.PATCH ? { 'Accept-Patch': MERGE_PATCH.join(', ') } : undefined; // RFC 5789 §3.1
    sendEmpty(res, 204, { Allow: allowed, ...patch, ...this.access.preflightHeaders(req, allowed) });
  }

  /** What a path takes that is no route. @throws {Problem} 404 there is nothing */
  private async methodsOf(call: Call): Promise<Methods> {
    // `OPTIONS *` asks about the server as a whole (RFC 9110 §9.3.7).
    if (call.path === '*' && call.req.method === 'OPTIONS')
      return Object.assign({}, ...this.routes.map(({ methods }) => methods));
    const found = await this.files.find(call.path);
    if (found === undefined) throw nothingAt(call.path);
    return { GET: (asking) => this.files.send(asking, found) };
  }

  // --- an upgrade

  /** From here on Node has let go of the socket: whoever refuses must write the answer and close it. */
  private readonly upgrade = async (req: IncomingMessage, duplex: Duplex, head: Buffer): Promise<void> => {
    const socket = duplex as Socket; // `listen` accepts nothing but TCP
    this.connections.at(socket)?.suspend(); // what the client sends meanwhile stays unread
    // A server may ignore an upgrade that it doesn't know, and answer as usual (RFC 9110 §7.8): h2c is offered often.
    if (!offersWebSocket(req) && req.method !== 'CONNECT') return this.connections.ignoreUpgrade(req, socket);
    const refusal = new Answer(req); // for an upgrade Node makes none
    try {
      const { path, query } = parseTarget(req);
      const visit = { req, path, query, isStream: true };
      this.access.addHeaders(visit, refusal);
      const scope = await this.access.admit(visit);
      if (this.isDraining) throw stopping();
      if (path !== '/ws') await this.refuseElsewhere(path);
      await this.acceptWebSocket({ req, socket, head, query, scope });
      this.connections.at(socket)?.release();
    } catch (error) {
      this.note(req, error, true);
      this.connections.refuse(refusal, socket, error);
    }
  };

  /** @throws {Problem} 400 where the path exists, else 404: the caller may have only mistyped it */
  private async refuseElsewhere(path: string): Promise<never> {
    const isRoute = this.routes.some((route) => route.path.test(path));
    if (!isRoute && (await this.files.find(path)) === undefined) throw nothingAt(path);
    throw new Problem(400, `${path} is no WebSocket endpoint: use /ws.`);
  }

  /** Who is turned away at the door, or from a stream, is counted and logged. */
  private note(req: IncomingMessage, error: unknown, isStream: boolean): void {
    const reason = reasonOf(error, isStream, this.hub.isFull);
    if (reason) this.refusals.add(reason, req, (error as Error).cause);
  }

  // --- closing

  /**
   * Finishes what is in flight, says goodbye to every stream, closes the store. In this order: a write in flight still
   * needs the store, and its event should still reach the streams.
   */
  async close(): Promise<void> {
    const { connections, door, hub } = this;
    door.close();
    this.waiting.stop();
    const isDone = await becomes(() => connections.areDone(), DRAIN_MS);
    if (!isDone)
      console.error(`Stopping: requests that were not answered within ${DRAIN_MS} ms are cut off.`);
    hub.close();
    await becomes(() => hub.clients.size === 0, CLOSE_MS);
    connections.destroy();
    await this.store.close();
  }
}

/** Reads are still answered: a load balancer needs some seconds to hear that this server stops. @throws {Problem} 503 */
function refuseWhileDraining(req: IncomingMessage, res: Answer): void {
  res.common.Connection = 'close';
  if (req.method !== 'GET' && req.method !== 'HEAD' && req.method !== 'OPTIONS') throw stopping();
}

function stopping(): Problem {
  return unavailable('The server is stopping: try again in a moment.', 2);
}

/** Waits until it is true, but no longer than this. False if it would take longer. */
async function becomes(isTrue: () => boolean, milliseconds: number): Promise<boolean> {
  for (const end = performance.now() + milliseconds; performance.now() < end; await sleep(LOOK_MS))
    if (isTrue()) return true;
  return false;
}
