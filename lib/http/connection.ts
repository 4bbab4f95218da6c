// One open connection, and the one request that is in work on it (RFC 9112 §9.3.2). What a client sends ahead of
// its answers is not parsed before they are taken: `node:http` would begin a thousand requests that came in one
// segment at once, and each answer would have to wait in our memory. So the bytes are handed on one request at a
// time, and while one is in work the kernel keeps the rest: a client that runs ahead only slows itself down.
// Short writes alone may be several: they wait for the disk, and one commit is enough for all of them.
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { Answer } from './answer.ts';
import { headOf, ReadAhead } from './read-ahead.ts';
import { queuedBytes, type UnsentBytes } from './unsent-bytes.ts';

const END_PATIENCE_MS = 10_000; // for an answer to somebody who sends no more: perhaps gone, perhaps reading
const MAX_WRITES = 100; // in work at once on one connection
const SHORT_BYTES = 1024; // of a body behind which another write is let in: its answer is short, too
const NOTHING = Buffer.alloc(0);

/** A socket from when it was accepted until it ends, or until a stream takes it over (`release`). */
export class Connection {
  readonly socket: Socket;
  /** In work until their readers have taken all of them, the oldest first. All but the newest are of writes. */
  private readonly answers: Answer[] = [];
  /** One whose answer was taken while its body had yet to come, whether its head told the length of that or not. */
  private early: Answer['req'] | undefined;
  private readonly ahead: ReadAhead;
  /** The client has said that it sends no more, and the parser has yet to hear of it. */
  private hasEnded = false;
  /** An upgrade is being judged, or what comes is no HTTP any more. */
  private isParsing = true;
  /** What the kernel had taken when that number moved last, and when. */
  private taken = -1;
  private takenAt = 0;
  private readonly bytes: UnsentBytes;
  /** All connections without a request, the longest idle first: each comes and goes by itself. */
  private readonly idle: Set<Connection>;
  /** Stands in the place of the socket's own `push` until somebody else takes it over. */
  private readonly push = (chunk: Buffer | null): boolean => this.receive(chunk);

  constructor(socket: Socket, bytes: UnsentBytes, idle: Set<Connection>) {
    this.socket = socket;
    this.bytes = bytes;
    this.idle = idle.add(this);
    this.ahead = new ReadAhead(bytes);
    socket.on('resume', this.feed);
    // Node gives what it has read to `push`, and reads on if that says so: here it is caught before any listener.
    socket.push = this.push;
  }

  /** The newest in work. */
  get answer(): Answer | undefined {
    return this.answers.at(-1);
  }

  /** From now on `node:http` reads through `feed`: a listener for data keeps its parser from reading past us. */
  attach(): void {
    this.isParsing = true;
    this.socket.off('data', ignore);
    this.socket.on('data', ignore);
  }

  /** A request has come: nothing behind it is parsed before its answer is taken, or it is a write that waits. */
  begin(answer: Answer): void {
    this.idle.delete(this);
    this.answers.push(answer);
    answer.unsent = this.bytes;
    answer.onQueued = this.letIn;
    if (this.answers.length === 1) this.taken = -1; // the time in which it must be taken begins anew
    // 0 where a body comes in chunks: those are handed on up to the empty line that ends them.
    this.ahead.bodyLeft = Number(answer.req.headers['content-length'] ?? 0);
    // It comes after the last byte went to the kernel, or when the connection broke before that.
    answer.on('close', this.finish);
  }

  /** An upgrade has come: what is behind it may be no HTTP. */
  suspend(): void {
    this.idle.delete(this);
    this.isParsing = false;
  }

  /** Gives the socket to a reader of its own, with all that was held back. */
  release(): void {
    this.socket.off('data', ignore);
    this.socket.off('resume', this.feed);
    // Not deleted: a socket that has lost a property takes twice the memory. The new reader may stand there already.
    if (this.socket.push === this.push) this.socket.push = Readable.prototype.push;
    const held = this.ahead.drop();
    if (held.length > 0) this.socket.push(held);
    if (this.hasEnded) this.socket.push(null);
  }

  /** Parses these bytes before all others: a head that goes in once more. */
  parseAgain(head: Buffer): void {
    this.ahead.putFirst(head);
    setImmediate(this.feed);
  }

  /** What comes now is of a request that has its answer: a second one would be taken for that of the next. */
  get isAnswered(): boolean {
    return this.answer?.headersSent === true || this.early?.complete === false;
  }

  /** Of one without a request: is nothing of the next one here, and no body left of the last one? */
  get hasNothing(): boolean {
    return this.ahead.isEmpty && this.ahead.bodyLeft === 0;
  }

  /** What was read ahead of a stream will never be answered; and while it is held, nobody sees the client leave. */
  forgetBehindStream(): void {
    if (this.ahead.isEmpty || !this.isStreaming()) return;
    this.ahead.drop();
    Readable.prototype.push.call(this.socket, NOTHING); // the socket goes on reading
  }

  /** How long its answer has waited without a byte being taken, in milliseconds. To be asked again and again. */
  waited(now: number): number {
    // Node counts what was written as sent, so what still waits with us or in the handle is taken off.
    const { socket } = this;
    if (!this.answers[0]?.writableEnded) return 0; // not answered yet, or a stream, which the hub watches
    const taken = socket.bytesWritten - socket.writableLength - queuedBytes(socket);
    // One byte begins the time anew: a slow reader is no reader that is gone.
    if (taken !== this.taken) this.takenAt = now;
    this.taken = taken;
    return now - this.takenAt;
  }

  /** Returns the bytes to the common account: the connection has ended. */
  end(): void {
    for (const answer of this.answers) answer.settle();
    this.ahead.drop();
    this.suspend();
  }

  /** Not at once: a write without a body has its place before the parser is through with its head. */
  private readonly letIn = (): void => {
    if (!this.ahead.isEmpty) process.nextTick(this.feed);
  };

  /** The oldest is through: Node answers in the sequence of the requests. */
  private readonly finish = (): void => {
    const answer = this.answers.shift()!;
    answer.settle();
    this.early = answer.req.complete ? undefined : answer.req;
    if (this.answers.length > 0 || this.socket.destroyed) return;
    this.idle.add(this);
    // After the others' turn: who has sent a thousand requests gets one answer each time the loop goes round.
    if (!this.ahead.isEmpty || this.hasEnded) setImmediate(this.feed);
  };

  /** What the socket has read. False keeps it from reading more. */
  private receive(chunk: Buffer | null): boolean {
    if (chunk === null) return this.receiveEnd();
    if (this.isStreaming()) return true; // nothing is answered behind a stream: it is read so that its end is seen
    const isBehind = !this.ahead.isEmpty; // what is there already goes first
    this.ahead.add(chunk);
    if (!isBehind && !this.isBusy()) return this.feed();
    // Memory is short, and this client sends ahead of its answers: nobody has to, so it may go.
    if (this.bytes.isFull) this.socket.destroy();
    return false;
  }

  /** `node:http` cuts off an answer in work when the client sends no more, so it hears of that a little later. */
  private receiveEnd(): boolean {
    this.hasEnded = true;
    // A stream has no end that one could wait for: whoever sends no more has left it.
    if (this.isStreaming()) this.passEnd();
    else if (this.isBusy()) setTimeout(() => this.passEnd(), END_PATIENCE_MS).unref();
    else this.feed();
    return false;
  }

  /** The answer in work has begun and will not end by itself. */
  private isStreaming(): boolean {
    return this.answer?.headersSent === true && !this.answer.writableEnded;
  }

  private passEnd(): void {
    // The end comes after all that was sent before it, and only once.
    if (!this.hasEnded || !this.ahead.isEmpty || this.socket.destroyed) return;
    this.hasEnded = false;
    Readable.prototype.push.call(this.socket, null);
  }

  /** Hands on what is held, one request at a time. With the last piece the socket goes on reading. */
  private readonly feed = (): boolean => {
    while (!this.ahead.isEmpty && !this.isBusy() && !this.socket.isPaused()) {
      const piece = this.ahead.take();
      if (this.ahead.isEmpty) {
        const canTakeMore = Readable.prototype.push.call(this.socket, piece);
        if (this.hasEnded) setImmediate(this.feed);
        return canTakeMore;
      }
      // Handed on at once: what `push` keeps in Node's buffer would go to the parser whatever is in work by then.
      this.socket.emit('data', piece);
      // In the middle of a body in chunks: each of them costs as much as a request, so others have their turn.
      if (this.answer && this.ahead.bodyLeft === 0 && !this.isBusy()) {
        setImmediate(this.feed);
        return false;
      }
    }
    if (!this.isBusy()) this.passEnd();
    return false;
  };

  /** A request is in work, has come in whole, and holds up what comes next; or nothing is to be parsed at all. */
  private isBusy(): boolean {
    if (!this.isParsing || this.socket.destroyed) return true;
    return this.answer?.req.complete === true && !this.canLetIn(this.answer);
  }

  /**
   * May the next request come in while this one waits for its commit? Only if it is just such a one: the store writes
   * those in the sequence in which they came, so that nobody can tell it from one after the other.
   */
  private canLetIn({ isQueued, shouldKeepAlive, req }: Answer): boolean {
    if (!isQueued || !shouldKeepAlive || this.answers.length >= MAX_WRITES || this.ahead.isEmpty)
      return false;
    return Number(req.headers['content-length']) <= SHORT_BYTES && this.ahead.isNext(headOf(req));
  }
}

function ignore(): void {}
