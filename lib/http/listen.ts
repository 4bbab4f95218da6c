// Taking the port, with the limits that `node:http` keeps by itself, and saying where the program is to be
// found. The port comes first of all: if it is taken, the database stays untouched. What is loopback is judged
// by the address that was really bound: HOST may be written in many ways (127.1, 2130706433, a name).
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, isIPv6, Server as NetServer } from 'node:net';
import { type Config, StartError } from '../config.ts';
import { unavailable } from '../problem.ts';
import { Answer } from './answer.ts';
import { wantsEventStream } from './request.ts';
import { sendProblem } from './response.ts';

const RESERVED_FILES = 100; // descriptors that connections leave to the database, the page's files and the program
// Connections that the system completes while we are busy. Who finds no room is asked to try again by TCP a second later:
// after a restart all clients come at once. Node asks for 511; the system may allow less (net.core.somaxconn).
const HERD = 4096;

/** A server of `node:http` whose answers know on whose account they are. */
export type HttpServer = Server<typeof IncomingMessage, typeof Answer>;

type Answerer = (req: IncomingMessage, res: Answer) => void;

/** A server that listens, and where. */
export type Door = {
  server: HttpServer;
  /** The one that was bound; with PORT=0 the system has chosen it. */
  port: number;
  /** The addresses that are ours, as the system tells them. */
  addresses: string[];
  /** Nobody reaches it but from this machine. */
  isLoopback: boolean;
  /** The name `localhost` leads here and nowhere else. */
  isLocalhost: boolean;
  /** From now on this answers, also those who have waited since the start. To be called once. */
  open: (answer: Answerer) => void;
  /** Accepts no more connections. Those that are open stay: the close of `node:http` would cut idle ones at once. */
  close: () => void;
};

/**
 * A server that listens, and answers 503 until the app takes over. Whoever asks for an event stream waits instead: a
 * browser's EventSource gives up for good at any status but 200 (HTML Standard §9.2.3), and many of them come back
 * just while a server starts again. @throws {StartError} if it can't listen
 */
export async function listen({ port, host }: Pick<Config, 'port' | 'host'>): Promise<Door> {
  // An address of IPv6 may be given in brackets, as in a URL; the system wants it without.
  const name = host.replace(/^\[|\]$/g, '');
  const wanted = name.toLowerCase() === 'localhost' ? '127.0.0.1' : name; // the other one is taken below
  const server = createHttpServer();
  // Before it listens: the first request may be there at once.
  const open = keepTheDoor(server);
  try {
    await bind(server, port, wanted);
  } catch (error) {
    throw new StartError(listenProblem(error as NodeJS.ErrnoException, port, host));
  }
  const { address, port: bound } = server.address() as AddressInfo;
  const second = address === '127.0.0.1' ? await bindSecond(server, bound) : undefined;
  const servers = second instanceof NetServer ? [server, second] : [server];
  return {
    server,
    port: bound,
    addresses: servers.map((one) => (one.address() as AddressInfo).address),
    isLoopback: address === '::1' || /^(::ffff:)?127\./.test(address), // IPv4 may stand in IPv6's clothes
    isLocalhost: address === '::' || (address === '127.0.0.1' && second !== 'in use'),
    open,
    close: () => {
      for (const one of servers) NetServer.prototype.close.call(one);
    },
  };
}

function createHttpServer(): HttpServer {
  const server = createServer<typeof IncomingMessage, typeof Answer>({
    ServerResponse: Answer,
    // Of the request line and all headers together; more is a 431.
    maxHeaderSize: 16 * 1024,
    requireHostHeader: false, // `access` looks for it, and answers with a problem
    joinDuplicateHeaders: true, // else the first one counts without a word: of two Hosts, or two tokens
    // Who sends a byte now and then would hold a connection for ever: a head has 10 s, the whole request 12 s.
    headersTimeout: 10_000,
    requestTimeout: 12_000,
    connectionsCheckingInterval: 1000, // limits are only looked at so often: 30 s by default
    // Longer than the 60 s for which proxies commonly keep an idle connection: so they close it first, and no request
    // is lost that comes just while we close.
    keepAliveTimeout: 65_000,
  });
  // Their bytes are bounded. By default Node leaves out without a word what is beyond 2,000: an Origin, a second Host.
  server.maxHeadersCount = 0;
  return server;
}

/** Answers while the program starts. @returns what opens the door: see `Door` */
function keepTheDoor(server: HttpServer): Door['open'] {
  const waiting: Parameters<Answerer>[] = [];
  server.on('request', (req, res) => {
    if (wantsEventStream(req)) waiting.push([req, res]);
    else sendProblem(res, unavailable('The server is starting.'));
  });
  return (answer) => {
    server.removeAllListeners('request').on('request', answer);
    for (const [req, res] of waiting) answer(req, res);
  };
}

/** Resolves when it listens. @throws what the system said */
async function bind(server: NetServer, port: number, host: string): Promise<void> {
  await once(server.listen(port, host, HERD), 'listening');
}

/** Browsers try [::1] first for `localhost`: what comes in there goes to the same server. */
async function bindSecond(server: HttpServer, port: number): Promise<NetServer | 'in use' | undefined> {
  // `node:http` makes its sockets with these two settings: half open ones, without Nagle's delay.
  const second = new NetServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    server.emit('connection', socket);
  });
  try {
    await bind(second, port, '::1');
    // Only from now on: an error of the bind itself is answered below.
    second.on('error', (error) => server.emit('error', error));
    return second;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'in use' : undefined; // or there is no IPv6
  }
}

/** What went wrong, and what to do about it, in one line for whoever has started the program. */
function listenProblem({ code, message }: NodeJS.ErrnoException, port: number, host: string): string {
  if (code === 'EADDRINUSE') {
    const hint = port === 5000 ? ' (on macOS, AirPlay Receiver often holds 5000)' : '';
    return `Port ${port} is in use${hint}: take another one with PORT=${port + 1 > 65_535 ? 5001 : port + 1} npx tsx server.ts`;
  }
  if (code === 'EACCES')
    return `Port ${port} needs more rights: take one above 1023 with PORT=5001 npx tsx server.ts`;
  return `HOST ${host} cannot be listened on (${code ?? message}): give an address of this machine.`;
}

/**
 * The URLs under which people find it. Each leads to this program and no other: `localhost` only where both loopback
 * addresses are ours, else the address. 0.0.0.0 can be listened on, but not be visited.
 */
export function describeUrls({ port, addresses, isLocalhost }: Door) {
  const [address = ''] = addresses;
  const shown = address === '0.0.0.0' ? '127.0.0.1' : address.replace(/^::ffff:(?=[\d.]+$)/, '');
  const name = isLocalhost ? 'localhost' : isIPv6(shown) ? `[${shown}]` : shown;
  const http = `http://${name}:${port}`;
  return {
    page: `${http}/`,
    customers: `${http}/api/customers`,
    events: `${http}/api/events`,
    webSocket: `ws://${name}:${port}/ws`,
  };
}

/**
 * How many connections there can be: each takes a file descriptor, and the system has a bound for those. Found out
 * before it is reached: without a descriptor neither the page nor the database can open a file.
 */
export function connectionLimit(wanted: number): number {
  return Math.min(wanted, Math.max(10, maxOpenFiles() - RESERVED_FILES));
}

/** Told by Linux alone; elsewhere the bound is found out when it is reached. */
function maxOpenFiles(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
