// JSON over HTTP, one request and its answer, whatever the status. Each answer is held against the program's own description
// on its way, so that every test is a test of that as well.
import { answerFault } from './described.ts';
import { failureAt, placeOf, within } from './patience.ts';

const LOCK_MS = 2000; // what a write may wait for a lock, and be refused only then

// biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of any shape, and fail if it is another.
export type Answer = { status: number; headers: Headers; text: string; body: any };

/** One request; `body` of the answer is parsed if it is JSON of any kind. */
export async function request(method: string, url: string, init: RequestInit = {}): Promise<Answer> {
  return answerTo(method, url, init, placeOf(request));
}

/** `place`: where the test stands, for a failure that names its line. */
async function answerTo(
  method: string,
  url: string,
  init: RequestInit,
  place: { stack?: string },
): Promise<Answer> {
  // A request that nobody waits for any more would keep its connection, and the server could not end.
  const abort = new AbortController();
  const exchange = async () => {
    // A redirect is an answer: what it says is what a test wants to see.
    const response = await fetch(url, { method, redirect: 'manual', signal: abort.signal, ...init });
    return { response, text: await response.text() };
  };
  // Headers and body together: an answer that stops in the middle has not come.
  const { response, text } = await within(exchange(), `the answer to ${method} ${url}`, {
    // Any write may meet a lock, and its refusal is an answer as well.
    takes: LOCK_MS,
    place,
  }).catch((error) => {
    abort.abort();
    throw error;
  });
  // The answer of `fetch` can be read once; a test looks at it as often as it likes.
  const { status, headers } = response;
  const answer = { status, headers, text, body: parseBody(headers, text) };
  const fault = answerFault(method, url, answer);
  if (fault) throw failureAt(place, fault);
  return answer;
}

/** The value where the body is JSON of any kind, else its text. */
export function parseBody(headers: Headers, text: string): unknown {
  // Problems and CloudEvents are JSON by another name.
  const isJson = /^application\/([\w.-]+\+)?json\b/.test(headers.get('content-type') ?? '');
  return isJson && text ? JSON.parse(text) : text;
}

/** A function for one method. A body that is a text goes as it is, so that a test can send what is no JSON. */
function sendJson(method: string) {
  return function send(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    // A test may say another media type: its headers come last.
    const init = {
      headers: { 'Content-Type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    };
    return answerTo(method, url, init, placeOf(send));
  };
}

// As a program would ask. `Answer` has the status: none of these throws because of one.
export const post = sendJson('POST');
export const put = sendJson('PUT');
export const patch = sendJson('PATCH');
// A test's headers stand beside those that `fetch` sends by itself.
export const get = (url: string, headers: Record<string, string> = {}) =>
  answerTo('GET', url, { headers }, placeOf(get));
export const del = (url: string, headers: Record<string, string> = {}) =>
  answerTo('DELETE', url, { headers }, placeOf(del));
