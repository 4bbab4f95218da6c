// What is under way on each connection, and what `node:http` alone does not settle there: nonsense instead
// of a request, offers of other protocols, an upgrade behind a request, and an end without cutting anyone off.
import { type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { Problem } from '../problem.ts';
import { sendProblem } from './response.ts';

const PATIENCE_MS = 3000; // how long an upgrade waits for the answers before it

export function createConnections(server: Server) {
  // The latest answer on each open connection. Entries go with the connection, not with the answer: a Map
  // that is added to and deleted from at every request makes the garbage collector three times as busy.
  const answers = new Map<Duplex, ServerResponse>();

  function answerOn(socket: Duplex): ServerResponse | undefined {
    const res = answers.get(socket);
    return res && isUnfinished(res) ? res : undefined;
  }

  /** What `node:http` could not read as a request, or gave up on. */
  function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
    const res = answerOn(socket);
    const isBroken = error.code === 'ECONNRESET' || !socket.writable || res?.headersSent;
    if (isBroken) return void socket.destroy();
    if (res?.req.complete) {
      res.shouldKeepAlive = false; // the request before it was well-formed, and gets its own answer
      return;
    }
    const problem = malformedProblem(error.code);
    const body = JSON.stringify(problem);
    socket.end(
      `HTTP/1.1 ${problem.status} ${(problem.toJSON() as { title: string }).title}\r\nConnection: close\r\n` +
        'Content-Type: application/problem+json; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n' +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      () => setTimeout(() => socket.destroy(), 500).unref(),
    );
  }

  server.on('connection', (socket: Socket) => socket.once('close', () => answers.delete(socket)));
  server.on('clientError', refuseMalformed);

  return {
    /** From now on this is the answer that is under way on its connection. */
    begin(req: IncomingMessage, res: ServerResponse): void {
      answers.set(req.socket, res);
    },

    /**
     * Waits for the answer that is under way: until it is sent, the socket belongs to it. False if the
     * connection ended over that, or if it takes too long: an event stream never ends.
     */
    async isFree(socket: Duplex): Promise<boolean> {
      const last = answers.get(socket);
      const isBusy = () => last !== undefined && (isUnfinished(last) || last.socket !== null);
      if (isBusy()) await Promise.race([closed(last!), delay(PATIENCE_MS, undefined, { ref: false })]);
      return !socket.destroyed && !isBusy();
    },

    /** Waits for all answers but these, new ones as well; each ends its connection. */
    async finish(except: (res: ServerResponse) => boolean): Promise<void> {
      const unfinished = () => [...answers.values()].filter((res) => isUnfinished(res) && !except(res));
      for (let busy = unfinished(); busy.length > 0; busy = unfinished()) {
        for (const res of busy) res.shouldKeepAlive = false;
        await Promise.all(busy.map(closed));
      }
    },

    /**
     * Java's client offers h2c with every first request, `curl --http2` too. RFC 9110 §7.8 lets us ignore it:
     * the request goes in once more, without the offer.
     */
    ignoreUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
      let lines = `${req.method} ${req.url} HTTP/1.1\r\n`;
      for (let i = 0; i < req.rawHeaders.length; i += 2) {
        const [name, value] = req.rawHeaders.slice(i, i + 2) as [string, string];
        if (!/^(upgrade|connection|http2-settings)$/i.test(name)) lines += `${name}: ${value}\r\n`;
      }
      socket.unshift(Buffer.concat([Buffer.from(`${lines}\r\n`, 'latin1'), head]));
      server.emit('connection', socket);
    },

    /** Plain HTTP on the raw socket: the same answers, in the same words, as to any other request. */
    refuseUpgrade(req: IncomingMessage, socket: Socket, error: unknown): void {
      const res = new ServerResponse(req);
      res.shouldKeepAlive = false;
      res.assignSocket(socket);
      res.on('finish', () => socket.destroySoon());
      sendProblem(req, res, error);
    },
  };
}

function isUnfinished(res: ServerResponse): boolean {
  return !res.writableFinished && !res.destroyed;
}

function closed(res: ServerResponse): Promise<void> {
  return new Promise((resolve) => res.once('close', resolve));
}

function malformedProblem(code: string | undefined): Problem {
  if (code === 'HPE_HEADER_OVERFLOW') return new Problem(431, 'The headers are larger than 16384 bytes.');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new Problem(408, 'The request took too long to arrive.');
  return new Problem(400, 'This is not a well-formed HTTP/1.1 request.');
}
