// Why a connection was refused. A browser does not tell a page why a WebSocket failed, so the page asks the
// same over HTTP: with the Origin, as the handshake had it, and then with the token.
import { api, authorization } from './api.js';

const NOT_THERE = {
  word: 'Nobody answers',
  why: `Nothing runs at ${location.host}.`,
};

/** @returns {Promise<{ word: string, why: string } | undefined>} undefined if it would be let in now */
export async function askWhy() {
  try {
    // A browser sends the Origin with every method but GET and HEAD.
    const door = await fetch('/ws', { method: 'OPTIONS' });
    if (!door.ok) return await refusal(door);
    const end = new AbortController();
    const headers = { Accept: 'text/event-stream', ...authorization() };
    const stream = await fetch('/api/events', { headers, signal: end.signal });
    if (stream.status === 401) await api('/api/events?limit=1'); // brings up the form
    const answer = stream.ok ? undefined : await refusal(stream);
    end.abort(); // it was let in: this was only to ask
    return answer;
  } catch {
    return NOT_THERE;
  }
}

/** @param {Response} response */
async function refusal(response) {
  if (response.status === 401) return { word: 'Refused', why: 'The server wants its token.' };
  const { detail } = await response.json().catch(() => ({ detail: `It answers ${response.status}.` }));
  return { word: 'Refused', why: detail };
}
