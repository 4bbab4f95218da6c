// The shapes that a user of the library meets.

/** A CloudEvent 1.0, with whatever extension attributes its publisher gave it. */
export type ChangeEvent = {
  id: string;
  type: string;
  source: string;
  time: string;
  // biome-ignore lint/suspicious/noExplicitAny: what was published.
  data: any;
  // biome-ignore lint/suspicious/noExplicitAny: likewise.
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
  // biome-ignore lint/suspicious/noExplicitAny: those of the platform and of packages differ in their types.
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
