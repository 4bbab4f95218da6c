// The `/ws` handshake, and a socket as a client of the hub. `ws` shakes hands, reads and closes; the
// raw socket of Node's `upgrade` event is ours, and ready-made frames go straight to it.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { parseCursor } from '../event.ts';
import { type Filter, parseFilter } from '../filter.ts';
import { queuedBytes } from '../http/connection.ts';
import { queryValue } from '../http/request.ts';
import { Problem } from '../problem.ts';
import type { Scope } from '../scope.ts';
import type { Client, Stream } from './client.ts';
import { tooManyClients } from './event-stream.ts';
import { endAtExpiry } from './expiry.ts';
import { WEBSOCKET } from './frames.ts';
import type { Hub } from './hub.ts';

const MAX_MESSAGE_BYTES = 4096;
const MAX_MESSAGES = 50;
const MESSAGE_WINDOW_MS = 10_000;
const CLOSE_TIMEOUT_MS = 1000; // ws waits 30 s for a peer's close frame; our shutdown has 5 s
const MAX_UNSENT_FOR_PONG = 64 * 1024;
const SUBPROTOCOL = 'cloudevents.json';

export type Handshake = {
  req: IncomingMessage;
  socket: Duplex;
  head: Buffer;
  query: URLSearchParams;
  scope: Scope;
};

export function createWebSockets(hub: Hub, { isLabOn }: { isLabOn: boolean }) {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    autoPong: false,
    maxPayload: MAX_MESSAGE_BYTES,
    closeTimeout: CLOSE_TIMEOUT_MS,
    handleProtocols: (offered: Set<string>) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  } as ConstructorParameters<typeof WebSocketServer>[0]);
  server.on('headers', (headers) => headers.push('X-Content-Type-Options: nosniff'));

  /** Upgrades and joins. @throws {Problem} 400 bad cursor or handshake, 503 full: all before the upgrade */
  async function accept({ req, socket, head, query, scope }: Handshake): Promise<void> {
    const cursor = parseCursor(queryValue(query, 'lastEventId'));
    const filter = scope.narrow(parseFilter(queryValue(query, 'types'), queryValue(query, 'sources')));
    const start = await hub.locate(cursor, scope);
    if (hub.isFull) throw tooManyClients();
    if (socket.destroyed) return;
    const ws = shakeHands(req, socket, head);
    const client = hub.add(new WebSocketStream(ws, socket as Socket, filter), start);
    listen(ws, client);
    endAtExpiry(client, scope.expiresAt);
  }

  /** ws tells of a bad handshake by an event, before `handleUpgrade` returns. @throws {Problem} 400, 426 */
  function shakeHands(req: IncomingMessage, socket: Duplex, head: Buffer): WebSocket {
    if (req.headers['sec-websocket-version'] !== '13') {
      const headers = { 'Sec-WebSocket-Version': '13', Upgrade: 'websocket', Connection: 'Upgrade, close' }; // RFC 6455 §4.4, RFC 9110 §7.8
      throw new Problem(426, 'Only version 13 of WebSocket is spoken here.', { headers });
    }
    let accepted: WebSocket | undefined;
    let reason = 'The handshake was refused';
    const refuse = (error: Error) => {
      reason = error.message;
    };
    server.once('wsClientError', refuse);
    server.handleUpgrade(req, socket, head, (ws) => {
      accepted = ws;
    });
    server.off('wsClientError', refuse);
    if (accepted) return accepted;
    throw new Problem(400, `${reason}.`);
  }

  function listen(ws: WebSocket, client: Client): void {
    const heardAt: number[] = []; // when the last messages came, oldest first
    const countMessage = () => {
      const now = performance.now();
      heardAt.push(now);
      if (heardAt.length <= MAX_MESSAGES) return;
      const isFlood = now - heardAt.shift()! < MESSAGE_WINDOW_MS;
      if (isFlood) ws.close(1008, `At most ${MAX_MESSAGES} messages in 10 s.`);
    };
    ws.on('pong', (data) => client.liveness.heard(String(data)));
    ws.on('ping', (data) => {
      client.liveness.heard();
      // Who pings and doesn't read must not fill our memory with pongs.
      const { writableLength } = client.stream.out;
      if (writableLength < MAX_UNSENT_FOR_PONG && ws.readyState === ws.OPEN) ws.pong(data, false);
    });
    ws.on('message', (data, isBinary) => {
      client.liveness.heard();
      countMessage();
      if (isLabOn && !isBinary) obeyLab(client, String(data));
    });
    ws.on('error', () => {}); // ws closes with 1002, 1007 or 1009 by itself; 'close' follows
    ws.on('close', () => hub.remove(client));
  }

  /** The failure lab: a client may harm its own connection, to see that nothing is lost. */
  function obeyLab(client: Client, text: string): void {
    const order = parseOrder(text);
    if (order.lab === 'cut') client.stream.destroy();
    const { seconds } = order;
    if (order.lab === 'mute' && typeof seconds === 'number' && seconds >= 1 && seconds <= 60)
      hub.mute(client, seconds);
  }

  return { accept };
}

/** A class, so that ten thousand idle sockets share these functions. */
class WebSocketStream implements Stream {
  readonly transport = WEBSOCKET;
  readonly ws: WebSocket;
  readonly out: Socket;
  readonly filter: Filter;

  constructor(ws: WebSocket, out: Socket, filter: Filter) {
    this.ws = ws;
    this.out = out;
    this.filter = filter;
  }

  /** Never a frame after a close frame (RFC 6455 §5.5.1). */
  isOpen(): boolean {
    return this.ws.readyState === this.ws.OPEN;
  }

  unsentBytes(): number {
    return this.out.writableLength + queuedBytes(this.out);
  }

  close(): void {
    this.ws.close(1001, 'The server is stopping.');
  }

  expire(): void {
    this.ws.close(1008, 'The token has expired: come back with a fresh one.');
  }

  destroy(): void {
    this.out.destroy();
  }
}

function parseOrder(text: string): { lab?: unknown; seconds?: unknown } {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
