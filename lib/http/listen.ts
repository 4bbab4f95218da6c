// Taking the port, with the limits that `node:http` keeps by itself, and saying where the program is to be
// found. The port comes first of all: if it is taken, the database stays untouched.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Config, StartError } from '../config.ts';
import { unavailable } from '../problem.ts';
import { sendProblem } from './response.ts';

/** A server that listens, and answers 503 until the app takes over. @throws {StartError} if it can't */
export function listen({ port, host }: Config): Promise<Server> {
  const server = createServer({
    maxHeaderSize: 16 * 1024,
    requireHostHeader: false, // `access` looks for it, and answers with a problem
    headersTimeout: 10_000,
    requestTimeout: 12_000,
    connectionsCheckingInterval: 1000, // limits are only looked at so often: 30 s by default
    keepAliveTimeout: 65_000,
  });
  server.on('request', (req, res) => sendProblem(req, res, unavailable('The server is starting.')));
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
