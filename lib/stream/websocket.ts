// The `/ws` handshake, and a socket as a client of the hub. `ws` shakes hands, reads and closes; the
// raw socket of Node's `upgrade` event is ours, and ready-made frames go straight to it.
import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type RawData, type ServerOptions, WebSocket, WebSocketServer } from 'ws';
import { type Filter, parseFilter } from '../filter.ts';
import { queuedBytes } from '../http/connection.ts';
import { queryValue } from '../http/request.ts';
import { Problem } from '../problem.ts';
import type { Scope } from '../scope.ts';
import type { Client, Stream } from './client.ts';
import { parseConflation } from './conflation.ts';
import { endAtExpiry } from './expiry.ts';
import { FLOOD_REASON, FrameCounter } from './flood.ts';
import { WEBSOCKET } from './frames.ts';
import type { Hub } from './hub.ts';
import { obeyLab } from './lab.ts';
import { parseWish } from './start.ts';

const MAX_MESSAGE_BYTES = 4096; // nobody has to say more than an order of the lab; above it ws closes with 1009
const CLOSE_TIMEOUT_MS = 1000; // ws waits 30 s for a peer's close frame; our shutdown has 5 s
const MAX_UNSENT_FOR_PONG = 64 * 1024; // bytes that wait in its socket; above them its pings stay unanswered
const MAX_FRAMES_AFTER_FLOOD = 100; // its answer to our close may be among them
/** Chosen when it is offered: a frame is one CloudEvent in the JSON format, as the WebSocket binding of CloudEvents has it. */
const SUBPROTOCOL = 'cloudevents.json';

/** An upgrade that access control has let through, as Node's `upgrade` event hands it over. */
export type Handshake = {
  req: IncomingMessage;
  socket: Duplex;
  /** What came behind the request's head, in the same read: the client's first frames. */
  head: Buffer;
  query: URLSearchParams;
  /** What the client may read: its filter is narrowed to that. */
  scope: Scope;
};

/** Does this request want a WebSocket? In HTTP/1.0 an upgrade counts for nothing (RFC 9110 §7.8). */
export function offersWebSocket({ headers, httpVersion }: IncomingMessage): boolean {
  return httpVersion !== '1.0' && /(^|[\s,])websocket\s*(,|$)/i.test(headers.upgrade ?? '');
}

/** A socket of `ws` that knows its client, so that ten thousand idle ones share their listeners. */
class Peer extends WebSocket {
  /** Set right after the handshake. Until then nothing is heard: no listener is there yet. */
  client: Client | undefined;
  readonly frames = new FrameCounter();
  /** Frames that came after it was told that it sends too much. */
  framesTooMany = 0;
  /** The newest ping that is not answered yet; older ones of the same read need no answer (RFC 6455 §5.5.3). */
  unansweredPing: Buffer | undefined;
}

/** Our server makes no others; the types of ws can't know it. */
function peerOf(socket: WebSocket): Peer {
  if (socket instanceof Peer) return socket;
  throw new TypeError('a WebSocket that this server did not make');
}

/** The types of ws 8.18 don't know `closeTimeout` yet, which ws 8.19 and later obey. */
type Options = ServerOptions<typeof Peer> & { closeTimeout: number };

export function createWebSockets(hub: Hub, { isLabOn }: { isLabOn: boolean }) {
  const options: Options = {
    WebSocket: Peer,
    noServer: true, // `app` hands over upgrades, once it has let them in
    clientTracking: false, // the hub has its own set
    perMessageDeflate: false, // compressed, each client would need bytes of its own
    autoPong: false, // see `onPing`
    maxPayload: MAX_MESSAGE_BYTES,
    closeTimeout: CLOSE_TIMEOUT_MS,
    handleProtocols: (offered: Set<string>) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  };
  const server = new WebSocketServer(options);
  // ws writes the 101 itself, so this header is pushed into its list: every answer has it.
  server.on('headers', (headers) => headers.push('X-Content-Type-Options: nosniff'));

  /** Upgrades and joins. @throws {Problem} 400 bad cursor or handshake, 503 full: all before the upgrade */
  async function accept({ req, socket, head, query, scope }: Handshake): Promise<void> {
    const wish = { ...parseWish(query), scope };
    const filter = scope.narrow(parseFilter(queryValue(query, 'types'), queryValue(query, 'sources')));
    const isConflated = parseConflation(query);
    hub.checkRoom();
    const start = await hub.locate(wish);
    hub.checkRoom(); // others may have come meanwhile
    if (socket.destroyed || !(socket instanceof Socket)) return void socket.destroy(); // it left meanwhile
    const peer = shakeHands(req, socket, head);
    const client = hub.add(new WebSocketStream(peer, socket, filter, isConflated), start);
    peer.client = client;
    endAtExpiry(client, scope.expiresAt);
    // First in the row: frames must be counted before ws works on them.
    socket.prependListener('data', (bytes: Buffer) => countFrames(peer, bytes));
    peer
      .on('pong', onPong)
      .on('ping', onPing)
      .on('message', onMessage)
      .on('error', ignore)
      .on('close', onClose);
  }

  /** ws tells of a bad handshake by an event, before `handleUpgrade` returns. @throws {Problem} 400, 426 */
  function shakeHands(req: IncomingMessage, socket: Duplex, head: Buffer): Peer {
    // What is behind the head would be read as frames here, and as a body by a proxy before us.
    if (req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0)
      throw new Problem(400, 'A WebSocket handshake has no body.');
    req.headers.upgrade = 'websocket'; // ws knows no list of protocols, and ours may stand among others
    if (req.headers['sec-websocket-version'] !== '13') {
      // RFC 6455 §4.4, RFC 9110 §7.8
      const headers = { 'Sec-WebSocket-Version': '13', Upgrade: 'websocket', Connection: 'Upgrade, close' };
      throw new Problem(426, 'Only version 13 of WebSocket is spoken here.', { headers });
    }
    let accepted: Peer | undefined;
    let reason = 'The handshake was refused';
    const refuse = (error: Error) => {
      reason = error.message;
    };
    server.once('wsClientError', refuse);
    server.handleUpgrade(req, socket, head, (peer) => {
      accepted = peer;
    });
    server.off('wsClientError', refuse);
    if (accepted) return accepted;
    throw new Problem(400, `${reason}.`);
  }

  function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
    const { client } = peerOf(this);
    client?.liveness.heard();
    if (isLabOn && !isBinary && client) obeyLab(hub, client, String(data));
  }

  function onClose(this: WebSocket): void {
    const { client } = peerOf(this);
    if (client) hub.remove(client);
  }

  return { accept };
}

/** Before ws takes them. A flooder is told why, and soon read no more: what it sends stays in its own kernel. */
function countFrames(peer: Peer, bytes: Buffer): void {
  const tooMany = peer.frames.count(bytes, performance.now(), peer.client?.liveness.pings ?? 0);
  if (tooMany === 0) return;
  peer.framesTooMany += tooMany;
  if (peer.readyState === WebSocket.OPEN) peer.close(1008, FLOOD_REASON);
  if (peer.framesTooMany > MAX_FRAMES_AFTER_FLOOD) peer.pause();
}

/** Its payload tells how much the client has read; see `liveness.ts`. */
function onPong(this: WebSocket, data: Buffer): void {
  peerOf(this).client?.liveness.heard(String(data));
}

/** Answered after all that was read with it. */
function onPing(this: WebSocket, data: Buffer): void {
  const peer = peerOf(this);
  peer.client?.liveness.heard();
  if (peer.unansweredPing === undefined) queueMicrotask(() => answerPing(peer));
  peer.unansweredPing = data;
}

/** Who pings and doesn't read must not fill our memory with pongs. */
function answerPing(peer: Peer): void {
  const { client, unansweredPing } = peer;
  peer.unansweredPing = undefined;
  const hasRoom = client && client.stream.out.writableLength < MAX_UNSENT_FOR_PONG;
  if (hasRoom && peer.readyState === WebSocket.OPEN) peer.pong(unansweredPing, false);
}

/** ws closes with 1002, 1007 or 1009 by itself; 'close' follows. */
function ignore(): void {}

/** What the hub needs of a socket. Writes go past ws, but its state decides whether there may be any. */
class WebSocketStream implements Stream {
  readonly transport = WEBSOCKET;
  readonly ws: WebSocket;
  readonly out: Socket;
  readonly filter: Filter;
  readonly isConflated: boolean;

  constructor(ws: WebSocket, out: Socket, filter: Filter, isConflated: boolean) {
    this.ws = ws;
    this.out = out;
    this.filter = filter;
    this.isConflated = isConflated;
  }

  /** Never a frame after a close frame (RFC 6455 §5.5.1). */
  isOpen(): boolean {
    return this.ws.readyState === WebSocket.OPEN;
  }

  /** Node counts a write as done only when the kernel has all of it; of one that went out in part only the handle knows. */
  unsentBytes(): number {
    return this.out.writableLength + queuedBytes(this.out);
  }

  /** RFC 6455 §7.4.1: the endpoint is going away. */
  close(): void {
    this.ws.close(1001, 'The server is stopping.');
  }

  /** RFC 6455 §7.4.1: a policy is violated. */
  expire(): void {
    this.ws.close(1008, 'The token has expired: come back with a fresh one.');
  }

  /** Without a word, for one that would not hear it. */
  destroy(): void {
    this.out.destroy();
  }
}
