// JSON over HTTP, one request and its answer, whatever the status.
import { answerFault } from './described.ts';
import { failureAt, placeOf, within } from './patience.ts';

const LOCK_MS = 2000; // what a write may wait for a lock, and be refused only then

// biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of any shape, and fail if it is another.
export type Answer = { status: number; headers: Headers; text: string; body: any };

/** One request; `body` of the answer is parsed if it is JSON of any kind. */
export async function request(method: string, url: string, init: RequestInit = {}): Promise<Answer> {
  return answerTo(method, url, init, placeOf(request));
}

async function answerTo(
  method: string,
  url: string,
  init: RequestInit,
  place: { stack?: string },
): Promise<Answer> {
  const abort = new AbortController();
  const exchange = async () => {
    const response = await fetch(url, { method, redirect: 'manual', signal: abort.signal, ...init });
    return { response, text: await response.text() };
  };
  const { response, text } = await within(exchange(), `the answer to ${method} ${url}`, {
    takes: LOCK_MS,
    place,
  }).catch((error) => {
    abort.abort();
    throw error;
  });
  const { status, headers } = response;
  const answer = { status, headers, text, body: parseBody(headers, text) };
  const fault = answerFault(method, url, answer);
  if (fault) throw failureAt(place, fault);
  return answer;
}

/** The value where the body is JSON of any kind, else its text. */
export function parseBody(headers: Headers, text: string): unknown {
  const isJson = /^application\/([\w.-]+\+)?json\b/.test(headers.get('content-type') ?? '');
  return isJson && text ? JSON.parse(text) : text;
}

function sendJson(method: string) {
  return function send(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const init = {
      headers: { 'Content-Type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    };
    return answerTo(method, url, init, placeOf(send));
  };
}

export const post = sendJson('POST');
export const put = sendJson('PUT');
export const patch = sendJson('PATCH');
export const get = (url: string, headers: Record<string, string> = {}) =>
  answerTo('GET', url, { headers }, placeOf(get));
export const del = (url: string, headers: Record<string, string> = {}) =>
  answerTo('DELETE', url, { headers }, placeOf(del));
