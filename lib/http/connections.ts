// All open connections, and the bounds that hold over them: how many there may be, how long an answer may lie
// unread, how many bytes may wait. Also what `node:http` alone does not settle: nonsense instead of a request,
// offers of other protocols, and an end without cutting anyone off.
import { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Problem } from '../problem.ts';
import { Answer } from './answer.ts';
import { Connection } from './connection.ts';
import type { HttpServer } from './listen.ts';
import { headOf } from './read-ahead.ts';
import type { Refusals } from './refusals.ts';
import { LINGER_MS, sendProblem } from './response.ts';
import { UnsentBytes } from './unsent-bytes.ts';

const UNREAD_MS = 30_000; // so long an answer may wait without a byte of it being taken
const SWEEP_MS = 1000;

/** The connections of one server, from the first to `destroy`. What `node:http` says of a socket comes here. */
export class Connections {
  /** Bytes that wait in our memory, over all connections: `/metrics` tells them beside their bound. */
  readonly unsent = new UnsentBytes();
  /** How many may be open; see `connectionLimit`. */
  readonly limit: number;
  /** Gets a socket once more where an offer is ignored: see `ignoreUpgrade`. */
  private readonly server: HttpServer;
  private readonly refusals: Refusals;
  /** By their sockets, which is what `node:http` and `ws` know them by; in the order in which they came. */
  private readonly all = new Map<Duplex, Connection>();
  /** Those without a request, the longest idle first: they go first when there are too many. */
  private readonly idle = new Set<Connection>();
  private readonly sweeper: NodeJS.Timeout;

  constructor(server: HttpServer, limit: number, refusals: Refusals) {
    this.server = server;
    this.limit = limit;
    this.refusals = refusals;
    this.unsent.onRefusal = () => refusals.add('memory');
    // One timer for all: a timer for each connection would be set anew with every answer.
    this.sweeper = setInterval(() => this.sweep(), SWEEP_MS).unref();
    server.on('connection', (socket: Socket) => this.open(socket));
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => this.refuseMalformed(error, socket));
    server.on('error', (error: NodeJS.ErrnoException) => this.refuseAccept(error));
  }

  get count(): number {
    return this.all.size;
  }

  /** From now on this is the answer that is in work on its connection. */
  begin(answer: Answer): void {
    const connection = this.at(answer.req.socket);
    if (connection) connection.begin(answer);
    else answer.shouldKeepAlive = false; // it came before us, while the program started: one answer, then no more
  }

  /** The connection of this socket; undefined if it came before us, or was closed to make room. */
  at(socket: Duplex): Connection | undefined {
    return this.all.get(socket);
  }

  /**
   * Java's client offers h2c with every first request, `curl --http2` too. RFC 9110 §7.8 lets us ignore it:
   * the request goes in once more, without the offer.
   */
  ignoreUpgrade(req: IncomingMessage, socket: Duplex): void {
    // The rest stays as it came, in its sequence: nothing else in it may get another meaning.
    const head = headOf(req, /^(upgrade|http2-settings)$/i);
    this.server.emit('connection', socket as Socket); // a parser again, in place of the one that has stopped
    this.at(socket)?.parseAgain(Buffer.from(head, 'latin1'));
  }

  /** Where Node leaves the socket to us: the same answers, in the same words, as to any other request. */
  refuse(answer: Answer, socket: Socket, error: unknown): void {
    // It came before us, and an answer that began then is in work: other words would be taken for a part of that.
    if ((socket as { _httpMessage?: Answer | null })._httpMessage) return void socket.destroy();
    answer.shouldKeepAlive = false;
    answer.assignSocket(socket);
    // Its last bytes are written: now the client hears that no more comes.
    answer.on('finish', () => socket.end());
    sendProblem(answer, error);
    this.linger(socket);
  }

  /**
   * What the client still sends is thrown away for a moment: closing at once would reset it, and the reset eats the
   * answer (RFC 9112 §9.6).
   */
  private linger(socket: Socket): void {
    socket.removeAllListeners('data'); // first: what is held back must not be given to the parser that has failed
    this.at(socket)?.release();
    socket.resume();
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  }

  /**
   * Is nothing in work any more, but for streams, which would never end? What is, ends its connection. To be asked again
   * and again: others may have begun meanwhile, since reads are answered to the end.
   */
  areDone(): boolean {
    // Not by whether it has begun: a refusal that lets the client send on has, and would be cut off with a reset.
    const inWork = [...this.all.values()].filter(({ answer }) => answer && !answer.isEndless);
    for (const { answer } of inWork) answer!.shouldKeepAlive = false;
    return inWork.length === 0;
  }

  /** Cuts all that is left. */
  destroy(): void {
    clearInterval(this.sweeper);
    for (const socket of this.all.keys()) socket.destroy();
  }

  private open(socket: Socket): void {
    const known = this.all.get(socket);
    if (known) return known.attach(); // an offer was ignored, and its request comes again
    // Closed without a word: to read a request and answer it would take the place that is not there.
    if (this.all.size >= this.limit && !this.makeRoom()) {
      this.refusals.add('connections');
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, this.unsent, this.idle);
    this.all.set(socket, connection);
    connection.attach();
    socket.on('error', () => socket.destroy()); // a connection that breaks is no news
    socket.once('close', () => {
      this.all.delete(socket);
      connection.end();
    });
  }

  /** Cuts the connection that has been idle for longest. False if none is. */
  private makeRoom(): boolean {
    for (const oldest of this.idle) {
      if (!oldest.hasNothing) continue;
      this.refusals.add('connections');
      this.all.delete(oldest.socket);
      oldest.end();
      oldest.socket.destroy();
      return true;
    }
    return false;
  }

  /** Once a second: cuts answers that nobody takes. */
  private sweep(): void {
    const now = performance.now();
    for (const connection of this.all.values()) {
      // First, since a client that has left a stream is only seen when its socket is read on.
      connection.forgetBehindStream();
      if (connection.waited(now) < UNREAD_MS) continue;
      this.refusals.add('unread', connection.answer?.req);
      connection.socket.destroy();
    }
  }

  /** What `node:http` could not read as a request, or gave up on. */
  private refuseMalformed(error: NodeJS.ErrnoException, duplex: Duplex): void {
    const socket = duplex as Socket; // `listen` accepts nothing but TCP
    const connection = this.at(socket);
    connection?.suspend(); // no border between requests is certain any more
    // In the middle of an answer, other words would be taken for a part of it: a cut says that it isn't whole.
    const isBroken = error.code === 'ECONNRESET' || !socket.writable;
    if (isBroken || connection?.isAnswered) return void socket.destroy();
    const problem = malformedProblem(error.code);
    const waiting = connection?.answer; // for a body that will not come
    // Behind writes that are in work it has its place, and Node sends it there.
    if (waiting && !waiting.socket) {
      waiting.shouldKeepAlive = false;
      return sendProblem(waiting, problem);
    }
    waiting?.detachSocket(socket);
    this.refuse(new Answer(new IncomingMessage(socket)), socket, problem);
  }

  /**
   * Accepting failed. With no descriptor left (EMFILE of the process, ENFILE of the system) an idle connection gives up
   * its own: else nobody could come in until somebody leaves by himself.
   */
  private refuseAccept(error: NodeJS.ErrnoException): void {
    const isFull = error.code === 'EMFILE' || error.code === 'ENFILE';
    // One accept has failed, and the server goes on listening: a line is all that is to be done.
    if (!isFull) return console.error(`A connection could not be accepted: ${error.message}`);
    this.refusals.add('files');
    this.makeRoom();
  }
}

/** The code of the parser, or of the timer that watches how long a request takes, as an answer: 431, 408 or 400. */
function malformedProblem(code: string | undefined): Problem {
  if (code === 'HPE_HEADER_OVERFLOW') return new Problem(431, 'The headers are larger than 16384 bytes.');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new Problem(408, 'The request took too long to arrive.');
  return new Problem(400, 'This is not a well-formed HTTP/1.1 request.');
}
