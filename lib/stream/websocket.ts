// The `/ws` handshake, and a socket as a client of the hub. `ws` shakes hands, reads and closes; the
// raw socket of Node's `upgrade` event is ours, and ready-made frames go straight to it.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { type RawData, type ServerOptions, WebSocket, WebSocketServer } from 'ws';
import { queuedBytes } from '../http/unsent-bytes.ts';
import { Problem } from '../problem.ts';
import type { Scope } from '../scope.ts';
import type { Kind } from './chunks.ts';
import type { Client, Stream } from './client.ts';
import { FLOOD_REASON, FrameCounter } from './flood.ts';
import { WEBSOCKET } from './frames.ts';
import type { Hub } from './hub.ts';
import { parseStream } from './start.ts';

const MAX_MESSAGE_BYTES = 4096; // nobody has to say more than an order of the lab; above it ws closes with 1009
const CLOSE_TIMEOUT_MS = 1000; // ws waits 30 s for a peer's close frame; our shutdown has 5 s
const MAX_UNSENT_FOR_PONG = 64 * 1024; // bytes that wait in its socket; above them its pings stay unanswered
const MAX_MUTE_SECONDS = 60;
const { push } = Readable.prototype;
/** Chosen when it is offered: a frame is one CloudEvent in the JSON format, as the WebSocket binding of CloudEvents has it. */
const SUBPROTOCOL = 'cloudevents.json';

/** An upgrade that access control has let through, as Node's `upgrade` event hands it over. */
export type Handshake = {
  req: IncomingMessage;
  socket: Socket;
  /** What came behind the request's head, in the same read: the client's first frames. */
  head: Buffer;
  query: URLSearchParams;
  /** What the client may read: its filter is narrowed to that. */
  scope: Scope;
};

/** The types of ws 8.18 don't know `closeTimeout` yet, which ws 8.19 and later obey. */
type Options = ServerOptions<typeof Peer> & { closeTimeout: number };

/** Does this request want a WebSocket? In HTTP/1.0 an upgrade counts for nothing (RFC 9110 §7.8). */
export function offersWebSocket({ headers, httpVersion }: IncomingMessage): boolean {
  return httpVersion !== '1.0' && /(^|[\s,])websocket\s*(,|$)/i.test(headers.upgrade ?? '');
}

/** The endpoint, as a function that takes an upgrade: who passes its handshake becomes a client of the hub. */
export function createWebSocketApi(hub: Hub, isLabOn: boolean): (upgrade: Handshake) => Promise<void> {
  const options: Options = {
    WebSocket: Peer,
    noServer: true, // `app` hands over upgrades, once it has let them in
    clientTracking: false, // the hub has its own set
    perMessageDeflate: false, // compressed, each client would need bytes of its own
    autoPong: false, // see `heardPing`
    maxPayload: MAX_MESSAGE_BYTES,
    closeTimeout: CLOSE_TIMEOUT_MS,
    handleProtocols: (offered: Set<string>) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  };
  const server = new WebSocketServer(options);
  // ws writes the 101 itself, so this header is pushed into its list: every answer has it.
  server.on('headers', (headers) => headers.push('X-Content-Type-Options: nosniff'));
  // It is told of a bad handshake before `handleUpgrade` returns, which throws what is thrown here.
  server.on('wsClientError', ({ message }) => {
    throw new Problem(400, `${message}.`);
  });

  /** Upgrades and joins. @throws {Problem} 400 bad cursor or handshake, 405, 426, 503 full: all before the upgrade */
  return async ({ req, socket, head, query, scope }) => {
    const { wish, kind } = parseStream(WEBSOCKET, query, scope);
    const start = await hub.locate(wish);
    if (socket.destroyed) return; // it left meanwhile
    checkHandshake(req);
    // At once; and not at all where the client has left in this very moment.
    server.handleUpgrade(req, socket, head, (peer) => {
      peer.out = socket;
      peer.kind = kind;
      peer.hub = hub;
      peer.isLabOn = isLabOn;
      peer.client = hub.add(peer, start, wish);
      peer.listen();
    });
  };
}

/** What ws would leave to others, or say in other words. @throws {Problem} 400, 405, 426 */
function checkHandshake({ method, headers }: IncomingMessage): void {
  if (method !== 'GET')
    throw new Problem(405, 'A WebSocket handshake is a GET.', { headers: { Allow: 'GET, HEAD, OPTIONS' } });
  // What is behind the head would be read as frames here, and as a body by a proxy before us.
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0)
    throw new Problem(400, 'A WebSocket handshake has no body.');
  headers.upgrade = 'websocket'; // ws knows no list of protocols, and ours may stand among others
  if (headers['sec-websocket-version'] === '13') return;
  // RFC 6455 §4.4, RFC 9110 §7.8
  const offer = { 'Sec-WebSocket-Version': '13', Upgrade: 'websocket', Connection: 'Upgrade, close' };
  throw new Problem(426, 'Only version 13 of WebSocket is spoken here.', { headers: offer });
}

/**
 * A socket of `ws` as a stream of the hub. Writes go past ws, but its state decides whether there may be any. What it
 * hears comes to its methods, so that ten thousand idle ones share them: ws calls them with the socket as `this`.
 */
class Peer extends WebSocket implements Stream {
  // These are set right after the handshake; until `listen` nothing is heard.
  out!: Socket;
  kind!: Kind;
  client!: Client;
  hub!: Hub;
  isLabOn!: boolean;
  private readonly frames = new FrameCounter();
  /** The newest ping that is not answered yet; older ones of the same read need no answer (RFC 6455 §5.5.3). */
  private unansweredPing: Buffer | undefined;

  listen(): void {
    // Node gives `push` what it has read: frames are counted before ws sees them, and the rest of a flood it never sees.
    this.out.push = (bytes: Buffer | null) => this.receive(bytes);
    this.on('message', this.heardMessage).on('ping', this.heardPing).on('pong', this.heardPong);
    this.on('error', ignore).on('close', this.heardClose);
  }

  /** Never a frame after a close frame (RFC 6455 §5.5.1). */
  isOpen(): boolean {
    return this.readyState === WebSocket.OPEN;
  }

  /** Node counts a write as done only when the kernel has all of it; of one that went out in part only the handle knows. */
  unsentBytes(): number {
    return this.out.writableLength + queuedBytes(this.out);
  }

  /** RFC 6455 §7.4.1: 1001 is an endpoint that goes away, 1008 a policy that is violated. */
  end(why: 'stopping' | 'expired'): void {
    if (why === 'stopping') this.close(1001, 'The server is stopping.');
    else this.close(1008, 'The token has expired: come back with a fresh one.');
  }

  /** A flooder is told why, and soon read no more: what it sends stays in its own kernel. */
  private receive(bytes: Buffer | null): boolean {
    const { frames, out } = this;
    if (bytes === null) return push.call(out, null);
    const allowed = frames.count(bytes, performance.now(), this.client.liveness.pings);
    if (frames.tooMany > 0 && this.isOpen()) this.close(1008, FLOOD_REASON);
    if (allowed === bytes.length) return push.call(out, bytes);
    push.call(out, bytes.subarray(0, allowed));
    out._read = ignore; // to pause it would not do: Node fills a buffer in advance
    return false;
  }

  private heardMessage(data: RawData, isBinary: boolean): void {
    this.client.liveness.heard();
    if (this.isLabOn && !isBinary) obeyLab(this.client, String(data));
  }

  /** Its payload tells how much the client has read; see `liveness.ts`. */
  private heardPong(data: Buffer): void {
    this.client.liveness.heard(String(data));
  }

  /** Answered after all that was read with it. */
  private heardPing(data: Buffer): void {
    this.client.liveness.heard();
    if (this.unansweredPing === undefined) queueMicrotask(() => this.answerPing());
    this.unansweredPing = data;
  }

  /** Who pings and doesn't read must not fill our memory with pongs. */
  private answerPing(): void {
    const { unansweredPing } = this;
    this.unansweredPing = undefined;
    if (this.out.writableLength < MAX_UNSENT_FOR_PONG && this.isOpen()) this.pong(unansweredPing, false);
  }

  private heardClose(): void {
    this.hub.remove(this.client);
  }
}

/** Of errors: ws closes with 1002, 1007 or 1009 by itself, and 'close' follows. */
function ignore(): void {}

/**
 * The failure lab: `{"lab":"cut"}` or `{"lab":"mute","seconds":15}`; whatever else a client sends is ignored. A client may
 * harm its own connection, to see with its own eyes that nothing is lost. It can harm nobody else's, since an order is
 * about the socket on which it came.
 */
function obeyLab(client: Client, text: string): void {
  const { lab, seconds } = parseOrder(text);
  if (lab === 'cut') client.stream.out.destroy(); // no close frame: as if a cable were pulled
  if (lab !== 'mute' || typeof seconds !== 'number') return;
  if (seconds >= 1 && seconds <= MAX_MUTE_SECONDS) client.mute(seconds);
}

function parseOrder(text: string): { lab?: unknown; seconds?: unknown } {
  try {
    return Object(JSON.parse(text)); // also of null and of a number, which have no such fields
  } catch {
    return {}; // not JSON: a message like any other, and those are ignored
  }
}
