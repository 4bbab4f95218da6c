// Requests over HTTP, and the `curl` line that does the same. Where the server wants a token the page asks
// for it.
import { withModule } from './dom.js';
import { recall, remember } from './memory.js';

const PATIENCE_MS = 8000; // a browser whose connections to this host are all taken would wait for ever

export const auth = { token: tokenOfLink() ?? recall('token'), onChange: () => {} };

/**
 * A link to the page may carry it: `#access_token=…`, the part of a URL that is sent to no server. From there it goes
 * into this tab's memory, and out of the address, which people copy and pass on.
 * @returns {string | undefined}
 */
function tokenOfLink() {
  const token = new URLSearchParams(location.hash.slice(1)).get('access_token')?.trim();
  if (!token) return undefined;
  remember('token', token);
  history.replaceState(null, '', location.pathname + location.search);
  return token;
}

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

/** Only what we have thrown ourselves has words for people. @param {any} error */
export const reasonOf = (error) =>
  error.constructor === Error ? error.message : 'No answer came from the server.';

/** Whoever was refused for the want of it may ask. Few servers want one: the form is fetched then. */
export const askForToken = () => withModule('token', ({ ask }) => ask());

/** The same from a shell, without the token. @param {string} path @param {string} method @param {unknown} body */
export function curlLine(path, method, body) {
  const parts = [method === 'POST' ? 'curl' : `curl -X ${method}`, location.origin + path];
  if (auth.token) parts.push('-H "Authorization: Bearer $API_TOKEN"');
  if (body) parts.push("-H 'Content-Type: application/json' -d", quoted(JSON.stringify(body)));
  return parts.join(' ');
}

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;
