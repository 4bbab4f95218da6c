// The client's side of the promise: store the id of every frame you process, reconnect with the last one
// stored. In the manner of EventSource, for browsers and Node. Over WebSocket, or, where there is none
// (Node 20) or the URL is http(s), server-sent events through fetch.

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 10_000;

/** @typedef {{ id: string, type: string, source: string, time: string, data: any }} ChangeEvent */
/** @typedef {'connecting' | 'catching-up' | 'live' | 'waiting' | 'closed'} State */
/** @typedef {{ lastEventId?: string | undefined, types?: string[], token?: string | undefined, heartbeatSeconds?: number }} Options */

/**
 * A stream of changes that survives its connections. Dispatches `message` (`data`: the event, `text`: as
 * it came) once for each event; `reset`: load a fresh snapshot; `state`; `ready` and `heartbeat`. In
 * `detail` is what the server said. While it is `catching-up`, messages are those that were missed.
 */
export class ChangeStream extends EventTarget {
  state = /** @type {State} */ ('connecting');
  lastEventId = /** @type {string | undefined} */ (undefined); // to go on from; counted on receipt
  lastHeardAt = Date.now(); // when the last frame came
  nextTryAt = /** @type {number | null} */ (null); // in milliseconds since 1970, as all times
  tries = 0; // in a row that did not lead to `live`
  closeReason = ''; // of the last connection, in words
  isRefused = false; // did it end before its first frame?
  repeats = 0; // events that came again, and were dropped

  #url;
  #options;
  #caughtUpAt = 0; // the seq at which we are live
  #storedId = ''; // the newest stored event: the server's own frames may carry the same id
  #connection = 0; // what comes from an older connection is ignored
  #wire = /** @type {Wire | undefined} */ (undefined);
  #retryTimer = /** @type {Timer} */ (undefined);
  #silenceTimer = /** @type {Timer} */ (undefined);
  #end = new AbortController();

  /** @param {string} url `ws://host/ws` or `http://host/api/events` @param {Options} options */
  constructor(url, options = {}) {
    super();
    this.#url = new URL(url, globalThis.location?.href);
    this.#options = options;
    this.lastEventId = options.lastEventId;
    const { signal } = this.#end;
    globalThis.addEventListener?.('online', () => this.retry(), { signal });
    globalThis.addEventListener?.('visibilitychange', () => document.hidden || this.retry(), { signal });
    this.#connect();
  }

  /** When it is waiting: tries now, or after so many milliseconds instead of those it chose. */
  retry(afterMs = 0) {
    if (this.state === 'waiting') afterMs > 0 ? this.#retryIn(afterMs) : this.#connect();
  }

  /** Says goodbye to this connection; the stream goes on with the next. */
  disconnect() {
    this.#wire?.close();
  }

  /** Over a WebSocket that is open. @param {string} text */
  send(text) {
    this.#wire?.send(text);
  }

  /** Ends the stream for good. */
  close() {
    this.#leave();
    this.nextTryAt = null;
    this.#end.abort();
    this.#setState('closed');
  }

  #connect() {
    this.#leave();
    const connection = this.#connection;
    this.nextTryAt = null;
    this.isRefused = true; // until it is heard
    this.lastHeardAt = Date.now();
    this.#listenForSilence();
    const isSocket = /^ws|\/ws$/.test(this.#url.protocol + this.#url.pathname) && globalThis.WebSocket;
    this.#wire = (isSocket ? openWebSocket : openEventStream)(this.#address(), this.#options.token, {
      hear: (text) => connection === this.#connection && this.#receive(text),
      lose: (reason) => connection === this.#connection && this.#lost(reason),
    });
    this.#setState('connecting'); // last, since a listener may close the stream
  }

  #address() {
    const url = new URL(this.#url);
    const query = { lastEventId: this.lastEventId, types: this.#options.types?.join() };
    for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
    return url;
  }

  #leave() {
    this.#connection += 1;
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#retryTimer);
    this.#wire?.close();
    this.#wire = undefined;
  }

  /** @param {string} reason */
  #lost(reason) {
    this.#leave();
    this.closeReason = reason;
    // Full jitter: after a restart the clients come back spread out, not all at once.
    this.#retryIn(Math.random() * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.tries));
    this.tries += 1;
    this.#setState('waiting');
  }

  /** @param {number} ms */
  #retryIn(ms) {
    clearTimeout(this.#retryTimer);
    this.nextTryAt = Date.now() + ms;
    this.#retryTimer = setTimeout(() => this.#connect(), ms);
  }

  /** Two heartbeats may fail to come, and two seconds: 32 s where they come every 15 s. */
  #listenForSilence() {
    const seconds = 2 * (this.#options.heartbeatSeconds ?? 15) + 2;
    const rest = this.lastHeardAt + seconds * 1000 - Date.now();
    if (rest > 0) this.#silenceTimer = setTimeout(() => this.#listenForSilence(), rest);
    else this.#lost(`no heartbeat for ${seconds} s, though the socket says open`);
  }

  /** @param {string} text */
  #receive(text) {
    const connection = this.#connection;
    /** @type {ChangeEvent} */
    const frame = JSON.parse(text);
    const { type, id, data } = frame;
    const isStored = !type.startsWith('stream.');
    this.isRefused = false;
    this.lastHeardAt = Date.now();
    if (isStored && this.#isRepeat(id)) return void this.repeats++;
    this.lastEventId = id;
    if (isStored) this.#storedId = id;
    if (type === 'stream.reset') [this.#storedId, this.#caughtUpAt] = ['', seqOf(id)];
    if (type === 'stream.ready') this.#caughtUpAt = seqOf(id) + data.behind;
    const event = isStored
      ? new MessageEvent('message', { data: frame, lastEventId: id })
      : new CustomEvent(type.slice('stream.'.length), { detail: { ...data, lastEventId: id } });
    this.dispatchEvent(Object.assign(event, { text }));
    if (connection !== this.#connection) return; // a listener closed it
    // Only who has caught up gets heartbeats; `types` may have hidden the event that we wait for.
    const isLive = type === 'stream.heartbeat' || seqOf(id) >= this.#caughtUpAt;
    if (isLive) this.tries = 0;
    this.#setState(isLive ? 'live' : 'catching-up');
  }

  /** @param {string} id */
  #isRepeat(id) {
    const stored = this.#storedId;
    const log = stored.slice(0, stored.lastIndexOf('-') + 1);
    return log !== '' && id.startsWith(log) && seqOf(id) <= seqOf(stored);
  }

  /** @param {State} state */
  #setState(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event('state'));
  }
}

/** @param {string} id */
const seqOf = (id) => Number(id.slice(id.lastIndexOf('-') + 1));

/** @typedef {ReturnType<typeof setTimeout> | undefined} Timer */
/** @typedef {(text: string) => void} Say */
/** @typedef {{ close: () => void, send: Say }} Wire */
/** @typedef {(url: URL, token: string | undefined, ear: { hear: Say, lose: Say }) => Wire} Open */

/** @type {Open} */
function openWebSocket(url, token, { hear, lose }) {
  url.protocol = url.protocol.replace('http', 'ws');
  if (token) url.searchParams.set('access_token', token); // browsers can't give a WebSocket a header
  const socket = new WebSocket(url, 'cloudevents.json');
  socket.onmessage = (message) => hear(message.data);
  socket.onerror = () => {}; // 'close' follows
  socket.onclose = ({ code }) =>
    lose(`${code}: the connection was ${code === 1006 ? 'cut without a goodbye' : 'closed'}`);
  return { close: () => socket.close(1000), send: (text) => socket.readyState === 1 && socket.send(text) };
}

/** @type {Open} */
function openEventStream(url, token, { hear, lose }) {
  url.protocol = url.protocol.replace('ws', 'http');
  url.pathname = url.pathname.replace(/\/ws$/, '/api/events');
  const abort = new AbortController();
  const headers = { Accept: 'text/event-stream', ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const read = async () => {
    const response = await fetch(url, { headers, signal: abort.signal });
    if (!response.ok || !response.body) return lose(`the server refused with ${response.status}`);
    let rest = '';
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const blocks = (rest + part.value).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const lines = block.split('\n').filter((line) => line.startsWith('data:'));
        if (lines.length > 0) hear(lines.map((line) => line.slice('data:'.length)).join('\n'));
      }
    }
    lose('the stream was ended');
  };
  read().catch((error) => lose(`the connection failed: ${error.message}`));
  return { close: () => abort.abort(), send: () => {} };
}
