// JSON over HTTP, one request and its answer, whatever the status. Each answer is held against the program's own description
// on its way, so that every test is a test of that as well.
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { answerFault } from './described.ts';
import { failureAt, placeOf, within } from './patience.ts';

const LOCK_MS = 2000; // what a write may wait for a lock, and be refused only then

// biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of any shape, and fail if it is another.
export type Answer = { status: number; headers: Headers; text: string; body: any };

type Init = { headers?: Record<string, string>; body?: string | Uint8Array };
const agent = new Agent({ keepAlive: true });

/** One request; `body` of the answer is parsed if it is JSON of any kind. */
export async function request(method: string, url: string, init: Init = {}): Promise<Answer> {
  return answerTo(method, url, init, placeOf(request));
}

/** `place`: where the test stands, for a failure that names its line. */
async function answerTo(method: string, url: string, init: Init, place: { stack?: string }): Promise<Answer> {
  const asked = ask(method, url, init);
  // Headers and body together: an answer that stops in the middle has not come.
  const { status, headers, text } = await within(asked.answer, `the answer to ${method} ${url}`, {
    // Any write may meet a lock, and its refusal is an answer as well.
    takes: LOCK_MS,
    place,
  }).catch((error) => {
    // A request that nobody waits for any more would keep its connection, and the server could not end.
    asked.giveUp();
    throw error;
  });
  const answer = { status, headers, text, body: parseBody(headers, text) };
  const fault = answerFault(method, url, answer);
  if (fault) throw failureAt(place, fault);
  return answer;
}

/** By Node's own client and not by `fetch`, which takes twice the processor's time: a run asks ten thousands of times. */
function ask(method: string, url: string, { headers = {}, body }: Init) {
  const sent = httpRequest(url, { method, headers, agent });
  const answer = new Promise<Pick<Answer, 'status' | 'headers' | 'text'>>((resolve, reject) => {
    sent.on('error', reject).on('response', (response) => {
      let text = '';
      const parts = response.setEncoding('utf8').on('error', reject);
      parts.on('data', (part) => {
        text += part;
      });
      parts.on('end', () => resolve({ status: response.statusCode!, headers: headersOf(response), text }));
    });
  });
  sent.end(body);
  return { answer, giveUp: () => sent.destroy() };
}

function headersOf({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers();
  for (let i = 0; i < rawHeaders.length; i += 2) headers.append(rawHeaders[i]!, rawHeaders[i + 1]!);
  return headers;
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
