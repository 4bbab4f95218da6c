// Requests over HTTP. Where the server wants a token the page asks for it.
import { withModule } from './dom.js';
import { recall } from './memory.js';

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

/** Only what we have thrown ourselves has words for people. @param {any} error */
export const reasonOf = (error) =>
  error.constructor === Error ? error.message : 'No answer came from the server.';

/** Whoever was refused for the want of it may ask. Few servers want one: the form is fetched then. */
export const askForToken = () => withModule('token', ({ ask }) => ask());
