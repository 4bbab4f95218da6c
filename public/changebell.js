// The client's side of the promise: store the id of every frame you process, reconnect with the last
// one stored. An EventTarget in the manner of EventSource; no dependencies; browsers and Node. Over
// WebSocket, or, where there is none (Node 20) or the URL is http(s), server-sent events through fetch.

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 10_000;
const SILENT_HEARTBEATS = 2.5;

/** @typedef {{ id: string, type: string, source: string, time: string, data: any }} ChangeEvent */
/** @typedef {'connecting' | 'catching-up' | 'live' | 'waiting' | 'closed'} State */
/** @typedef {{ lastEventId?: string, types?: string[], token?: string, heartbeatSeconds?: number }} Options */

/**
 * A stream of changes that survives its connections. Dispatches `message` (`data`: the event,
 * `lastEventId`) once for each event, `reset` (`detail.reason`: load a fresh snapshot), `state`,
 * `ready` and `heartbeat` (`detail`: their data).
 */
export class ChangeStream extends EventTarget {
  /** @type {State} */
  state = 'connecting';
  /** @type {string | undefined} The id to go on from. */
  lastEventId;
  /** @type {number | null} When the next try is due, in milliseconds since 1970. */
  nextTryAt = null;
  /** How many times in a row connecting has failed. */
  tries = 0;
  /** Why the last connection ended, in words. */
  closeReason = '';

  #url;
  #options;
  #caughtUpAt = 0; // the seq at which we are live
  #storedId = ''; // the newest stored event, to drop repeats
  #connection = 0; // what comes from an older connection is ignored
  #drop = () => {};
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #silenceTimer;
  #retryNow = () => this.retry();
  #retryIfVisible = () => {
    if (document.visibilityState === 'visible') this.retry();
  };

  /** @param {string} url `ws://host/ws` or `http://host/api/events` @param {Options} options */
  constructor(url, options = {}) {
    super();
    this.#url = new URL(url, globalThis.location?.href);
    this.#options = options;
    this.lastEventId = options.lastEventId;
    globalThis.window?.addEventListener('online', this.#retryNow);
    globalThis.document?.addEventListener('visibilitychange', this.#retryIfVisible);
    this.#connect();
  }

  /** Tries at once, if it is waiting. */
  retry() {
    if (this.state === 'waiting') this.#connect();
  }

  /** Ends the stream for good. */
  close() {
    this.#leave();
    clearTimeout(this.#retryTimer);
    globalThis.window?.removeEventListener('online', this.#retryNow);
    globalThis.document?.removeEventListener('visibilitychange', this.#retryIfVisible);
    this.#setState('closed');
  }

  #connect() {
    clearTimeout(this.#retryTimer);
    this.nextTryAt = null;
    this.#connection += 1;
    const connection = this.#connection;
    /** @param {string} text */
    const hear = (text) => connection === this.#connection && this.#receive(JSON.parse(text));
    /** @param {string} reason */
    const lose = (reason) => connection === this.#connection && this.#lost(reason);
    this.#setState('connecting');
    this.#listenForSilence();
    const isSocket = this.#url.protocol.startsWith('ws') || this.#url.pathname.endsWith('/ws');
    const open = isSocket && globalThis.WebSocket ? openWebSocket : openEventStream;
    this.#drop = open(this.#address(), this.#options.token, hear, lose);
  }

  #address() {
    const url = new URL(this.#url);
    if (this.lastEventId) url.searchParams.set('lastEventId', this.lastEventId);
    if (this.#options.types) url.searchParams.set('types', this.#options.types.join());
    return url;
  }

  #leave() {
    this.#connection += 1;
    clearTimeout(this.#silenceTimer);
    this.#drop();
  }

  /** @param {string} reason */
  #lost(reason) {
    this.#leave();
    this.closeReason = reason;
    // Full jitter: after a restart the clients come back spread out, not all at once.
    const wait = Math.random() * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.tries);
    this.tries += 1;
    this.nextTryAt = Date.now() + wait;
    this.#retryTimer = setTimeout(() => this.#connect(), wait);
    this.#setState('waiting');
  }

  #listenForSilence() {
    clearTimeout(this.#silenceTimer);
    const wait = SILENT_HEARTBEATS * 1000 * (this.#options.heartbeatSeconds ?? 15);
    this.#silenceTimer = setTimeout(
      () => this.#lost('no heartbeat came, though the connection says open'),
      wait,
    );
  }

  /** @param {ChangeEvent} frame */
  #receive(frame) {
    this.#listenForSilence();
    const { type, id, data } = frame;
    if (type === 'stream.reset') this.#storedId = '';
    else if (!type.startsWith('stream.') && this.#isRepeat(id)) return;
    this.lastEventId = id;
    if (type === 'stream.ready') {
      this.tries = 0;
      this.#caughtUpAt = seqOf(id) + data.behind;
    }
    const isLive = type === 'stream.reset' || type === 'stream.heartbeat' || seqOf(id) >= this.#caughtUpAt;
    this.#setState(isLive ? 'live' : 'catching-up');
    if (type.startsWith('stream.')) {
      const detail = { ...data, lastEventId: id };
      this.dispatchEvent(Object.assign(new Event(type.slice('stream.'.length)), { detail }));
      return;
    }
    this.#storedId = id;
    this.dispatchEvent(new MessageEvent('message', { data: frame, lastEventId: id }));
  }

  /** @param {string} id */
  #isRepeat(id) {
    const sameLog =
      this.#storedId.slice(0, this.#storedId.lastIndexOf('-')) === id.slice(0, id.lastIndexOf('-'));
    return sameLog && seqOf(id) <= seqOf(this.#storedId);
  }

  /** @param {State} state */
  #setState(state) {
    if (state === this.state && state !== 'waiting') return;
    this.state = state;
    this.dispatchEvent(new Event('state'));
  }
}

/** @param {string} id */
function seqOf(id) {
  return Number(id.slice(id.lastIndexOf('-') + 1));
}

/** @typedef {(url: URL, token: string | undefined, hear: (text: string) => void, lose: (reason: string) => void) => () => void} Open */

/** @type {Open} */
function openWebSocket(url, token, hear, lose) {
  url.protocol = url.protocol.replace('http', 'ws');
  if (token) url.searchParams.set('access_token', token); // browsers can't give a WebSocket a header
  const socket = new WebSocket(url, 'cloudevents.json');
  socket.onmessage = (message) => hear(message.data);
  socket.onclose = ({ code }) =>
    lose(
      code === 1006 ? '1006: the connection was cut without a goodbye' : `${code}: the connection was closed`,
    );
  return () => socket.close();
}

/** @type {Open} */
function openEventStream(url, token, hear, lose) {
  url.protocol = url.protocol.replace('ws', 'http');
  url.pathname = url.pathname.replace(/\/ws$/, '/api/events');
  const abort = new AbortController();
  const headers = { Accept: 'text/event-stream', ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const read = async () => {
    const response = await fetch(url, { headers, signal: abort.signal });
    if (!response.ok || !response.body) return lose(`the server refused with ${response.status}`);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const blocks = (rest + part.value).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (data) hear(data);
      }
    }
    lose('the stream was ended');
  };
  read().catch((error) => lose(`the connection failed: ${error.message}`));
  return () => abort.abort();
}
