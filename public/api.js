// Requests over HTTP, and the `curl` line that does the same. Where the server wants a token the page asks
// for it.
import { show, withModule } from './dom.js';
import { recall } from './memory.js';
import { noteHead } from './server.js';

const PATIENCE_MS = 8000; // a browser whose connections to this host are all taken would wait for ever

export const auth = { token: recall('token'), onChange: () => {} };

/** @param {string} path @returns {Promise<Response>} rejects where nothing answers in time */
export async function api(path, method = 'GET', body = /** @type {unknown} */ (undefined)) {
  const response = await fetch(path, {
    method,
    headers: {
      ...(body ? { 'Content-Type': 'application/json' } : {}),
      ...(auth.token && { Authorization: `Bearer ${auth.token}` }),
    },
    body: body ? JSON.stringify(body) : null,
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (response.status === 401) void askForToken();
  return response;
}

/**
 * A write by hand: the line that does the same from a terminal is there before the answer, which may not come.
 * @param {string} path @param {string} method @param {unknown} [body] @returns {Promise<Response>}
 */
export async function save(path, method, body) {
  show('curl-line', curlLine(path, method, body));
  const response = await api(path, method, body);
  noteHead(response.headers.get('Last-Event-ID') ?? '0'); // who is cut off has missed it from now on
  return response;
}

/** Only what we have thrown ourselves has words for people. @param {any} error */
export const reasonOf = (error) =>
  error.constructor === Error ? error.message : 'No answer came from the server.';

/** Whoever was refused for the want of it may ask. Few servers want one: the form is fetched then. */
export const askForToken = () => withModule('token', ({ ask }) => ask());

/** The same from a shell, without the token. @param {string} path @param {string} method @param {unknown} body */
function curlLine(path, method, body) {
  const parts = [method === 'POST' ? 'curl' : `curl -X ${method}`, location.origin + path];
  if (auth.token) parts.push('-H "Authorization: Bearer $API_TOKEN"');
  if (body) parts.push("-H 'Content-Type: application/json' -d", quoted(JSON.stringify(body)));
  return parts.join(' ');
}

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;
