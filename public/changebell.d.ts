// Made from the JSDoc of changebell.js and its parts: npm run types
// The shapes that a user of the library meets.

/** A CloudEvent 1.0, with whatever extension attributes its publisher gave it. */
export type ChangeEvent = {
  id: string;
  type: string;
  source: string;
  time: string;
  data: any;
  [extension: string]: any;
};

export type State = 'connecting' | 'catching-up' | 'live' | 'waiting' | 'refused' | 'closed';

/** A function is asked at the start, and again when its token has expired or was refused. */
export type Token = string | undefined | (() => string | Promise<string>);

/** `signal`: it is no longer wanted; `token`: that of the stream. */
export type Attempt = { signal: AbortSignal; token: string | undefined };

/** Loads a snapshot, and returns the `lastEventId` that came with it. */
export type Load = (attempt: Attempt) => Promise<string>;

export type Options = {
  /** Where to go on. Without it (also where nothing was stored: `null`), after the newest event. */
  lastEventId?: string | null | undefined;
  /** Called at the start where no cursor is given, after each reset, and again, with backoff, where it failed. */
  load?: Load | undefined;
  /** After these events too: `orders.reset` says that more has changed in that table than events can tell. */
  loadsAfter?: ((event: ChangeEvent) => boolean) | undefined;
  /**
   * Called before a connection with another token than the one before, to ask whether that may see as much: a stream
   * leaves out in silence what its token may not see. What fails here is a refusal, or a reason to try again.
   */
  check?: ((attempt: Attempt) => Promise<unknown>) | undefined;
  token?: Token;
  /** `orders.created`, or a prefix: `orders.*`. */
  types?: readonly string[] | undefined;
  /** `/rooms/42`, or a prefix: `/rooms/*`. A comma in a source is written `%2C`. */
  sources?: readonly string[] | undefined;
  /** Of several events of one source that wait, only the newest. */
  conflate?: 'source' | undefined;
  /** Where no cursor is given: `earliest`, `latest`, or a time (RFC 3339). */
  from?: string | undefined;
  /** How often heartbeats come, until the server tells; 15. */
  heartbeatSeconds?: number | undefined;
  /** Another constructor than the platform's. Where there is none, server-sent events are read instead. */
  WebSocket?: any;
};

/** The event is not done before this work is over. */
export type Waits = { waitUntil: (work: PromiseLike<unknown>) => void };

export type Listener<E> = ((event: E) => unknown) | { handleEvent: (event: E) => unknown } | null;

export type ListenerOptions =
  | boolean
  | { capture?: boolean; once?: boolean; passive?: boolean; signal?: AbortSignal };

/** `data`: the event; `text`: the same as it came. */
export type Message = Omit<MessageEvent, 'data' | 'lastEventId'> &
  Waits & { data: ChangeEvent; lastEventId: string; text: string };

/** A frame of the server's own. */
export type Told<Detail> = CustomEvent<Detail & { lastEventId: string }> & Waits & { text: string };

export type StreamEvents = {
  message: Message;
  ready: Told<{ behind: number; client: string; heartbeatSeconds?: number }>;
  reset: Told<{ reason: 'unknown-log' | 'expired' | 'ahead' | 'no-id' }>;
  heartbeat: Told<{ clients: number }>;
  expired: Told<object>;
  state: Event;
};

/** What is shown of a connection. */
export type LinkLike = {
  readonly nextTryAt: number | null;
  readonly tries: number;
  readonly lost: (Error & { status?: number; detail?: string }) | undefined;
  readonly isUnheard: boolean;
  readonly lastHeardAt: number;
  setToken: (token: Token) => void;
  retry: (afterMs: number) => void;
  disconnect: () => void;
  send: (text: string) => void;
};

/** @template {Record<string, any>} Events the events, by type */
declare class WaitingTarget<Events extends Record<string, any>> extends EventTarget {
    #private;
    /**
     * As on any EventTarget; and where the listener is async, the next event comes when it is through. One that
     * throws, or whose promise fails, has had its event: the error is reported as any that nobody has caught.
     * @override
     * @template {string} Type
     * @param {Type} type
     * @param {Listener<Type extends keyof Events ? Events[Type] : any>} listener
     * @param {ListenerOptions} [options]
     */
    addEventListener<Type extends string>(type: Type, listener: Listener<Type extends keyof Events ? Events[Type] : any>, options?: ListenerOptions): void;
    /**
     * @override
     * @param {string} type
     * @param {Listener<any>} listener
     * @param {ListenerOptions} [options]
     */
    removeEventListener(type: string, listener: Listener<any>, options?: ListenerOptions): void;
    /** Did anyone ever? @protected @param {string} type */
    protected wasListenedTo(type: string): boolean;
    /**
     * Calls `done` when the listeners and their work are through: before it returns, where none is async.
     * @protected
     * @param {Event} event
     * @param {() => void} done
     */
    protected dispatchAndWait(event: Event, done: () => void): void;
}

/**
 * @template {Record<string, any>} Events
 * @extends {WaitingTarget<Events>}
 */
declare class LinkedTarget<Events extends Record<string, any>> extends WaitingTarget<Events> {
    #private;
    /** @param {LinkLike} link */
    constructor(link: LinkLike);
    /** When the next try is due, in milliseconds since 1970, while it is `waiting`; else null. */
    get nextTryAt(): number | null;
    /** Connections in a row that were lost before they had been live for 10 s. */
    get tries(): number;
    /** Why the last connection ended, in words. */
    get closeReason(): string;
    /** Of the server's answer, where it refused the last connection; undefined once it lets one in. */
    get status(): number | undefined;
    /** What the server said when it refused. */
    get detail(): string | undefined;
    /** Did the last connection end before its first frame? */
    get isRefused(): boolean;
    /** When the last frame came, in milliseconds since 1970. */
    get lastHeardAt(): number;
    /** A fresh one, or a function that gets one; ends a refusal. @param {Token} token */
    set token(token: Token);
    /** When it is waiting or refused: tries now, or after so many milliseconds instead of those it chose. */
    retry(afterMs?: number): void;
    /** Says goodbye to this connection; the stream goes on with the next. */
    disconnect(): void;
    /** Over a WebSocket that is open. @param {string} text */
    send(text: string): void;
}

/**
 * A stream of changes that survives its connections. Dispatches `message` once for each event; `ready`, `reset`,
 * `heartbeat` and `expired`, with what the server said in `detail`; and `state`. A listener may be async. Or:
 * `for await (const event of stream)`, where an event is done when the loop asks for the next.
 * @extends {LinkedTarget<StreamEvents>}
 */
export declare class ChangeStream extends LinkedTarget<StreamEvents> {
    #private;
    state: State;
    repeats: number;
    /** @param {string | URL} url `ws://host/ws` or `http://host/api/events` @param {Options} options */
    constructor(url: string | URL, options?: Options);
    /** Of the last event that was processed: to store, and to go on from. If you set it, the next connection goes on there. */
    get lastEventId(): string | undefined;
    set lastEventId(id: string | undefined);
    /** Ends the stream for good. What is in work may still be finished, and then counts. */
    close(): void;
    /**
     * Resolves when everything up to this position is processed: the `Last-Event-ID` of a write's answer, from
     * whichever server. After a reset the new snapshot holds it, or it is gone. Of an id that a restored backup took away
     * before it was asked for, nobody here can know that: it resolves early, or not until as many events were written
     * anew. Who must know asks the server: `GET /api/events?lastEventId=` is 410 then.
     * @param {string} id
     * @returns {Promise<void>}
     */
    reached(id: string): Promise<void>;
    /** To leave the loop closes the stream. What came before it began, and nobody listened to, comes again. */
    [Symbol.asyncIterator](): AsyncGenerator<ChangeEvent, void, undefined>;
}

type Change<Row> = Event & {
    key: string;
    row: Row | undefined;
    before: Row | undefined;
};
type TableOptions<Row> = {
    token?: Token;
    /**
     * where the stream is; `/ws` of the same server
     */
    stream?: string | URL;
    /**
     * as for a ChangeStream
     */
    WebSocket?: any;
};
/**
 * `new LiveTable('/api/customers')` or `new LiveTable('/api/watch/orders')`: a read-only Map by key, the last part
 * of the `source` of a row's events. Dispatches `change` for each row that became another, and `state`.
 * @template [Row=any]
 * @extends {WaitingTarget<{ change: Change<Row>, state: Event }>}
 */
export declare class LiveTable<Row = any> extends WaitingTarget<{
    change: Change<Row>;
    state: Event;
}> {
    #private;
    /** The stream behind it: its `status`, `detail`, `nextTryAt`, `retry()`, `token`. */
    stream: ChangeStream;
    /** When the first snapshot is there. Fails where the server refuses it. @type {Promise<void>} */
    ready: Promise<void>;
    /** @param {string | URL} url @param {TableOptions<Row>} options */
    constructor(url: string | URL, { stream, token, WebSocket }?: TableOptions<Row>);
    get state(): State;
    get size(): number;
    /** @param {string | number} key */
    get(key: string | number): Row | undefined;
    /** @param {string | number} key */
    has(key: string | number): boolean;
    keys(): MapIterator<string>;
    values(): MapIterator<Row>;
    entries(): MapIterator<[string, Row]>;
    [Symbol.iterator](): MapIterator<[string, Row]>;
    /** @param {(row: Row, key: string, table: LiveTable<Row>) => void} callback */
    forEach(callback: (row: Row, key: string, table: LiveTable<Row>) => void): void;
    /** Resolves when the table shows a write: the `Last-Event-ID` of its answer. @param {string} id */
    reached(id: string): Promise<void>;
    close(): void;
}

export {};
