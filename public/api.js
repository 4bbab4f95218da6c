// Requests, and the `curl` line that does the same. The token, where the server wants one, is kept for
// this tab alone.
import { element, show } from './dom.js';

const TOKEN_KEY = 'changebell-token';

export const token = sessionStorage.getItem(TOKEN_KEY) ?? undefined;

/** @param {string} path */
export async function api(path, method = 'GET', body = /** @type {unknown} */ (undefined)) {
  const headers = {
    ...(body ? { 'Content-Type': 'application/json' } : {}),
    ...(token ? { Authorization: `Bearer ${token}` } : {}),
  };
  const response = await fetch(path, { method, headers, body: body ? JSON.stringify(body) : null });
  if (response.status === 401 && element('token').hidden) askForToken();
  return response;
}

/** Everything starts anew with it. */
function askForToken() {
  element('token').hidden = false;
  element('token-field').focus();
  if (token) show('token-why', 'The server did not take that token.');
  element('token').onsubmit = (/** @type {SubmitEvent} */ submit) => {
    submit.preventDefault();
    sessionStorage.setItem(TOKEN_KEY, element('token-field').value.trim());
    location.reload();
  };
}

/** The same from a shell, without the token. @param {string} path @param {string} method @param {unknown} body */
export function curlLine(path, method, body) {
  const parts = [method === 'POST' ? 'curl' : `curl -X ${method}`, location.host + path];
  if (token) parts.push('-H "Authorization: Bearer $API_TOKEN"');
  if (body) parts.push("-H 'Content-Type: application/json' -d", quoted(JSON.stringify(body)));
  return parts.join(' ');
}

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;
