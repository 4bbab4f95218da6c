// What goes back: JSON, nothing, or a problem document. Everything that is thrown on the way of a request ends
// in `sendProblem`, so that every error has one form.
import { etagOf, isKnown } from '../etag.ts';
import { Problem } from '../problem.ts';
import type { Answer, Headers } from './answer.ts';
import { type Call, MAX_BODY_BYTES } from './request.ts';

// Time for a client that still sends its body to see the answer. A longer one would keep connections for nothing.
export const LINGER_MS = 500;
const LONG_BYTES = 16 * 1024;
const JSON_TYPE = { 'Content-Type': 'application/json; charset=utf-8' };

/** Answers with a body whose type is in `parts`. @throws {Problem} 503 if too many answers wait already */
export function sendBody(res: Answer, status: number, body: string | Buffer, ...parts: Headers[]): void {
  const length = Buffer.byteLength(body);
  res.reserve(length);
  res.begin(status, ...parts, { 'Content-Length': length });
  // Node keeps three bytes for each character of a text that waits to be taken; of bytes it keeps what there is.
  res.end(typeof body === 'string' && length > LONG_BYTES ? Buffer.from(body) : body);
}

/** Answers with a JSON text. @throws {Problem} 503 as `sendBody` */
export function sendJson(res: Answer, status: number, json: string, ...parts: Headers[]): void {
  sendBody(res, status, json, ...parts, JSON_TYPE);
}

/** Answers with a JSON text and its entity tag, or 304 if the caller has it. @throws {Problem} 400, 412 as `isKnown`, 503 */
export function sendTagged({ req, res }: Call, json: string, headers: Headers = {}): void {
  const etag = etagOf(json);
  const all = { ETag: etag, ...headers };
  if (isKnown(req, etag)) sendEmpty(res, 304, all);
  else sendJson(res, 200, json, all);
}

/** Answers without content. */
export function sendEmpty(res: Answer, status: number, headers: Headers = {}): void {
  res.begin(status, headers).end();
}

/** Answers with the problem document; what isn't a Problem is logged, and shown as a bare 500. */
export function sendProblem(res: Answer, error: unknown): void {
  const { req } = res;
  if (!(error instanceof Problem)) console.error(error);
  // What has begun can't be taken back: a connection that is cut tells the caller that the answer isn't whole.
  if (res.headersSent || res.destroyed || !req.socket.writable) return void res.destroy();
  const problem = error instanceof Problem ? error : new Problem(500, 'Something went wrong on the server.');
  const body = JSON.stringify(problem);
  // A body that is too long to be read would stand before the next request: this connection ends here.
  const { 'content-length': length = 0, 'transfer-encoding': coding } = req.headers;
  const isShort = Number(length) <= MAX_BODY_BYTES && coding === undefined;
  const hasUnreadBody = !req.complete && !isShort;
  // After a 408 the rest of the request may still come, and would be read as the next one.
  const mustClose = hasUnreadBody || problem.status === 408;
  res.common['Cache-Control'] ??= 'no-store'; // it hangs on the path, but a refusal is never kept
  res.begin(problem.status, problem.headers, mustClose ? { Connection: 'close' } : {}, {
    'Content-Type': 'application/problem+json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
  });
  if (!hasUnreadBody) return void res.end(body);
  // Closing at once would reset the connection, and the reset eats the answer: swallow for a moment.
  if (req.method !== 'HEAD') res.write(body);
  req.resume();
  // When the client has sent all, or after that time: whatever comes first.
  const end = () => res.end();
  req.once('end', end);
  setTimeout(end, LINGER_MS).unref();
}
