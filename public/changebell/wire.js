// One connection, from the handshake to its end: a WebSocket, or server-sent events read with `fetch`, which
// works in Node too and can send the token in a header. Whoever opens one hears the texts of its frames, and
// once why it ended. A browser does not tell a page why a handshake was refused, so that is asked over HTTP.

const PAGE_PATIENCE_MS = 30_000; // over a dead network an answer never comes

/** @typedef {(text: string) => void} Hear */
/** @typedef {{ hear: Hear, lose: (why: Refusal | string) => void, signal: AbortSignal }} Ear `signal`: nobody listens any more */
/** @typedef {{ close: () => void, send: (text: string) => void }} Wire */
/** @typedef {Error & { status?: number, detail?: string, retryAfterMs?: number }} Refusal an answer's status and detail, where there was one */

/** @param {URL} url @param {string | undefined} token @param {Ear} ear @param {typeof WebSocket} Socket @returns {Wire} */
export function openWebSocket(url, token, { hear, lose, signal }, Socket) {
  url.protocol = url.protocol.replace('http', 'ws');
  if (token) url.searchParams.set('access_token', token); // browsers can't give a WebSocket a header
  const socket = new Socket(url, 'cloudevents.json');
  // Both come, but in Node 22 no 'close' after a handshake that failed: the first counts.
  socket.onerror = socket.onclose = () => {
    ignoreErrors();
    socket.onclose = null;
    if (!signal.aborted) void whyRefused(url).then(lose);
  };
  // A refused handshake and a cut connection have the same code, 1006: whether it was open tells them apart.
  socket.onopen = () => {
    ignoreErrors();
    socket.onclose = ({ code }) =>
      lose(`${code}: the connection was ${code === 1006 ? 'cut without a goodbye' : 'closed'}`);
  };
  // One that nobody hears would end a program in Node.
  const ignoreErrors = () => {
    socket.onerror = () => {};
  };
  socket.onmessage = ({ data }) => hear(data);
  return { close: () => socket.close(1000), send: (text) => socket.readyState === 1 && socket.send(text) };
}

/** @param {URL} url @param {string | undefined} token @param {Ear} ear @returns {Wire} */
export function openEventStream(url, token, { hear, lose }) {
  // A response has no `close()`: its request is taken back.
  const abort = new AbortController();
  const read = async () => {
    const body = await askForStream(url, token, abort.signal);
    await readEventStream(body, ({ type, data }) => type === 'message' && hear(data));
    return 'the stream was ended';
  };
  read().then(lose, (error) => lose(abort.signal.aborted ? 'the connection was closed' : error));
  return { close: () => abort.abort(), send: () => {} };
}

/**
 * The same question as the handshake's, in HTTP. A page sends its Origin, for which it may have been refused,
 * with OPTIONS, and with GET only to foreign servers (Fetch Standard, "append a request `Origin` header").
 * @param {URL} url
 * @returns {Promise<Refusal | string>}
 */
async function whyRefused(url) {
  const abort = new AbortController();
  try {
    await askForStream(url, undefined, abort.signal);
    const door = await fetch(httpUrl(url), { method: 'OPTIONS' });
    if (!door.ok) throw await refusalOf(door);
    return 'the WebSocket could not be opened, though the server answers over HTTP';
  } catch (error) {
    return /** @type {Refusal} */ (error);
  } finally {
    abort.abort(); // it was let in: this was only to ask
  }
}

/** @param {URL} url @param {string | undefined} token @param {AbortSignal} signal */
async function askForStream(url, token, signal) {
  const headers = { Accept: 'text/event-stream', ...authorization(token) };
  const response = await fetch(httpUrl(url), { headers, signal, cache: 'no-store' }).catch(() => {
    throw new Error('the server did not answer, or not to this origin');
  });
  if (!response.ok) throw await refusalOf(response);
  // A login page of a hotel's network answers with 200 as well.
  if (response.body && /^text\/event-stream\b/i.test(response.headers.get('Content-Type') ?? ''))
    return response.body;
  throw new Error('what answered is no event stream');
}

/** @param {string | undefined} token @returns {Record<string, string>} */
const authorization = (token) => (token ? { Authorization: `Bearer ${token}` } : {});

/** Said in words, since `fetch` would call it a failure of the network, and with the token in its message. @param {string | undefined} token */
export function checkToken(token) {
  if (!/[^!-~]/.test(token ?? '')) return;
  const detail = 'The token has characters that no header may have.';
  throw Object.assign(new TypeError(detail), { status: 401, detail });
}

/** @param {string | URL} address */
export function parseAddress(address) {
  const url = new URL(address, globalThis.location?.href);
  // `localhost:5000/ws` is a URL too, and its scheme is `localhost:`.
  if (!/^(http|ws)s?:$/.test(url.protocol)) throw new TypeError(`no stream is at ${url}`);
  return url;
}

/** The same address with what is asked for; what is empty is left out. @param {URL} url @param {Record<string, unknown>} query */
export function withQuery(url, query) {
  const asked = new URL(url);
  for (const [name, value] of Object.entries(query))
    if (`${value || ''}`) asked.searchParams.set(name, `${value}`);
  return asked;
}

/** Where the same stream is told as server-sent events. @param {URL} url */
function httpUrl(url) {
  const http = new URL(url);
  http.protocol = url.protocol.replace('ws', 'http');
  http.pathname = url.pathname.replace(/\/ws$/, '/api/events');
  return http;
}

/** @param {URL} url @param {import('./types.js').Attempt} attempt @returns {Promise<any>} */
export async function getJson(url, { token, signal }) {
  const response = await fetch(url, {
    headers: authorization(token),
    // Its own end, or that of a page that never comes, whichever is first.
    signal: AbortSignal.any([signal, AbortSignal.timeout(PAGE_PATIENCE_MS)]),
  });
  if (!response.ok) throw await refusalOf(response);
  return response.json();
}

/** What a problem document (RFC 9457) and Retry-After (RFC 9110 §10.2.3) say. @param {Response} response @returns {Promise<Refusal>} */
async function refusalOf(response) {
  const { status, headers } = response;
  const { detail = `The server answered ${status}.` } = await response.json().catch(() => ({}));
  const retryAfter = headers.get('Retry-After') ?? '';
  const ms = /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1000 : Date.parse(retryAfter) - Date.now();
  const error = new Error(`the server refused with ${status}`);
  return Object.assign(error, { status, detail, retryAfterMs: Math.max(0, ms || 0) });
}

/**
 * HTML Standard §9.2.6. `retry` is left aside: when to try again is reckoned elsewhere.
 * @param {ReadableStream<Uint8Array>} body
 * @param {(message: { type: string, data: string, lastEventId: string }) => void} tell
 */
export async function readEventStream(body, tell) {
  const decoder = new TextDecoder(); // drops a byte order mark at the beginning
  const reader = body.getReader();
  let [rest, type, data, lastEventId] = ['', '', '', ''];
  let endedInCarriageReturn = false;

  /** @param {string} line */
  const take = (line) => {
    if (line === '') {
      if (data) tell({ type: type || 'message', data: data.slice(0, -1), lastEventId });
      [type, data] = ['', ''];
    }
    const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === 'data') data += `${value}\n`;
    if (field === 'event') type = value;
    // An id with a NUL is ignored by the same rules.
    if (field === 'id' && !value.includes('\0')) lastEventId = value;
  };

  // Bytes come in pieces that end anywhere: in a character, in a line, between a CR and its LF.
  for (;;) {
    const part = await reader.read();
    if (part.done) return; // what no empty line has ended is dropped
    let text = decoder.decode(part.value, { stream: true });
    if (!text) continue;
    if (endedInCarriageReturn && text[0] === '\n') text = text.slice(1); // the two are one line's end
    endedInCarriageReturn = text.endsWith('\r');
    const lines = (rest + text).split(/\r\n|\n|\r/);
    rest = lines.pop() ?? '';
    for (const line of lines) take(line);
  }
}
