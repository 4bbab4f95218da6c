// Types that the regions share; only the type checker reads this.
type ChangeEvent = import('./changebell.js').ChangeEvent;

/**
 * Came live, was replayed after an absence, never came; is saved, but this client has not heard of it yet;
 * or lies before the page was opened.
 */
type Fate = 'live' | 'replayed' | 'missing' | 'pending' | 'before';

/** A notification as it came, and how many milliseconds after the one before. */
type Entry = { event: ChangeEvent; text: string; fate: Fate; gapMs: number };

/** What the connection tells the page. A bar is a line in the log that says how an outage went. */
type Listeners = {
  onEntry: (entry: Entry) => void;
  onBar: (text: string, isLoss: boolean) => void;
  onSnapshotNeeded: () => void;
};

/** A line of the log: a notification or a bar; `row` once it is in the document. */
type LogItem = { entry?: Entry; bar?: string; isLoss?: boolean; row?: HTMLElement; isPainted?: boolean };

type Timer = ReturnType<typeof setTimeout> | undefined;

/** By the type of a stream's event. */
// biome-ignore lint/suspicious/noExplicitAny: what an event carries depends on its type.
type Handlers = Record<string, (event: any) => void>;

type Customer = { id: number; name: string; email: string | null };

/** Since when the page was away, and what had come of the log by then. */
type Outage = { since: number; told: () => Told };

/** What came of an outage; `isReset`: the log had moved on, and nothing can be counted. */
type Told = { replayed: number; lost: number; isReset: boolean };

/** What `story.js` hands to those who tell one. */
type Story = {
  pause: (ms: number, holds?: () => boolean) => Promise<void>;
  areEven: () => boolean;
  verdict: (told: (() => Told)[]) => string;
  save: (path: string, method: string, body?: unknown) => Promise<Response>;
};

/** A client's state in words. `isLossy`: it is connected, and something never came. */
type View = { state: string; word: string; why: string; isLossy: boolean };

/** One more client in the page: `report` is what its Worker said last, `row` is its line. */
type Lane = {
  name: string;
  transport: string;
  isSlow: boolean;
  report: { state: string; lastEventId: string; client?: string };
  worker: Worker;
  /** Gives its seat among the event streams back. */
  leave?: (() => void) | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: its parts are found by their place.
  row?: any;
};

/** A stream in the answer of `GET /api/clients`. */
type ServerStream = {
  client: string;
  transport: string;
  lastEventId: string;
  behind: number;
  bufferedBytes: number;
  connectedAt: string;
};
