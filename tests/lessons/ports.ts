// Ports of the workshop. A laptop's own programs may hold one (AirPlay Receiver holds 5000 on macOS), and so may the
// same command in another terminal: then a class goes on with the next one.
import { once } from 'node:events';
import { createServer } from 'node:net';

const STEP = 10; // 5001 and 5100 are ours as well
const TIMES = 9;

/** For this machine alone, and for all: some systems let one program have the first and another the second. */
export async function isFree(port: number): Promise<boolean> {
  for (const host of ['127.0.0.1', '0.0.0.0']) {
    const server = createServer().listen(port, host);
    const isOurs = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    server.close();
    if (!isOurs) return false;
  }
  return true;
}

/** This port, or one that is given out in its place. Where none is free, whoever listens says so. */
export async function freePort(first: number): Promise<number> {
  for (let port = first; port < first + STEP * TIMES; port += STEP) if (await isFree(port)) return port;
  return first;
}
