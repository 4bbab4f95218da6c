// What a request says: its path, its query, and a bounded body of JSON. Whatever is wrong with one of them
// is a Problem that names it; nothing is guessed.
import type { IncomingMessage } from 'node:http';
import { Problem } from '../problem.ts';
import type { Scope } from '../scope.ts';
import { nextBody } from '../turns.ts';
import type { Answer } from './answer.ts';

/** One request on its way through the house. */
export type Call = {
  req: IncomingMessage;
  res: Answer;
  path: string;
  query: URLSearchParams;
  /** What stands in the path where its route has a place for it, still percent-encoded. */
  params: string[];
  /** What the caller may read and write. */
  scope: Scope;
};

/** Of a body, unless its route says otherwise. */
export const MAX_BODY_BYTES = 64 * 1024;
// One for all requests without a query, which are most: nobody writes to it.
const NO_QUERY = new URLSearchParams();
const NOTHING = Buffer.alloc(0);
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }); // it keeps a byte order mark: see `readJson`

/**
 * Path and query; also of the absolute form (RFC 9112 §3.2.2). The path is still percent-encoded, but every escape in
 * it is good: who decodes it later needs no catch. @throws {Problem} 400 bad escapes
 */
export function parseTarget(req: IncomingMessage): { path: string; query: URLSearchParams } {
  let target = req.url ?? '/';
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target);
  if (absolute) {
    // It counts instead of the Host header, which has to be there all the same: two of them, or none, stay, and are refused.
    const { host } = req.headers;
    const isGood = host === undefined ? req.httpVersion === '1.0' : !host.includes(', ');
    if (isGood) req.headers.host = absolute[1]!;
    target = absolute[2]!.startsWith('/') ? absolute[2]! : `/${absolute[2]}`;
  }
  // By hand and not by `new URL`, which would fold `..` away, and read `//` as the begin of a host: a path counts to
  // the letter.
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const search = mark < 0 ? '' : target.slice(mark + 1);
  if (target.includes('%')) {
    try {
      decodeURIComponent(path);
      decodeURIComponent(search);
    } catch {
      throw new Problem(400, 'The URL has a % that begins no valid UTF-8 escape.');
    }
  }
  return { path, query: search === '' ? NO_QUERY : new URLSearchParams(search) };
}

/** Does the caller ask for a stream rather than a page? If it takes both, the greater weight decides; a stream at a tie. */
export function wantsEventStream({ method, headers: { accept = '' } }: IncomingMessage): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false; // who publishes gets no stream, whatever it would take
  const stream = weightIn(accept, ['text/event-stream']); // by its name: who takes anything gets a page
  return stream > 0 && stream >= weightIn(accept, ['application/json', 'application/*', '*/*']);
}

/**
 * 0 to 1, of the first of these types that is named; 0 where none is, or it is refused (RFC 9110 §12.4.2). Taken apart at
 * its commas: one pattern for the whole header would go over 16 KB of blanks again for each of them.
 * @param types the most specific first (RFC 9110 §12.5.1)
 */
function weightIn(accept: string, types: string[]): number {
  const ranges = accept.split(',').map((range) => range.split(';').map((part) => part.trim().toLowerCase()));
  const named = types.map((type) => ranges.find(([name]) => name === type));
  const [, ...parameters] = named.find((range) => range !== undefined) ?? ['', 'q=0'];
  return Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
}

/**
 * The body, whole: its bytes as text, to recognise a repeat, and its value. What its headers say is judged before any of
 * it is read.
 * @param mediaTypes in lower case
 * @throws {Problem} 415 not JSON by its name, or encoded; 413 too large; 400 not JSON by its content; 503 no room
 */
export async function readJson(
  call: Call,
  { mediaTypes = ['application/json'], maxBytes = MAX_BODY_BYTES } = {},
): Promise<{ text: string; value: unknown }> {
  checkMediaType(call.req, mediaTypes);
  checkEncoding(call.req.headers['content-encoding']);
  const bytes = await readBody(call, maxBytes);
  try {
    const text = utf8.decode(bytes);
    // One byte order mark is skipped, as RFC 8259 §8.1 allows. In `text` it stays: with it the bytes are others.
    return { text, value: JSON.parse(text.replace(/^\ufeff/, '')) };
  } catch (error) {
    // Two errors can come here: of JSON, in words that say where, and of the decoder, whose words help nobody.
    if (error instanceof SyntaxError) throw new Problem(400, `The body is not JSON: ${error.message}.`);
    throw new Problem(400, 'The body is not valid UTF-8.');
  }
}

/** In lower case and without parameters, since media types are compared so. */
export function mediaTypeOf({ headers }: IncomingMessage): string {
  return (headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
}

/** Read as UTF-8, text in another charset would be other text: so a charset that is named must be that one. */
function checkMediaType(req: IncomingMessage, mediaTypes: string[]): void {
  const isOther = /;\s*charset=(?!"?utf-?8"?\s*(;|$))/i.test(req.headers['content-type'] ?? '');
  if (mediaTypes.includes(mediaTypeOf(req)) && !isOther) return;
  throw new Problem(415, `Content-Type must be ${mediaTypes.join(' or ')}, in UTF-8.`, {
    headers: req.method === 'PATCH' ? { 'Accept-Patch': mediaTypes.join(', ') } : {}, // RFC 5789 §2.2
  });
}

/** RFC 9110 §8.4: read as if it were plain, an encoded body would be called bad JSON, which helps nobody. */
function checkEncoding(header: string | undefined): void {
  const isPlain = (coding: string) => /^(identity)?$/i.test(coding.trim());
  if (header === undefined || header.split(',').every(isPlain)) return;
  const headers = { 'Accept-Encoding': 'identity' }; // RFC 9110 §12.5.3
  const given = JSON.stringify(header);
  throw new Problem(415, `Content-Encoding ${given} is not understood here: send it plain.`, { headers });
}

/** In memory, at most `maxBytes`. @throws {Problem} 413, 400 it broke off, 503 no room over all connections */
async function readBody({ req, res }: Call, maxBytes: number): Promise<Buffer> {
  // Where the size is told, a body that is too large is refused before it is read.
  if (Number(req.headers['content-length']) > maxBytes) throw tooLarge(maxBytes);
  if (req.headers.expect && req.httpVersion !== '1.0') res.writeContinue(); // RFC 9110 §10.1.1
  let body: Buffer = NOTHING;
  let size = 0;
  // The request lives until its answer, and so do its listeners: they, and the promise that they settle, hold no body.
  await new Promise<void>((resolve, reject) => {
    req.on('data', (chunk: Buffer) => {
      // Counted as it comes: a body in chunks doesn't tell its size, so only this bounds it.
      if (size + chunk.length > maxBytes) return reject(tooLarge(maxBytes));
      try {
        // Each body is bounded, and a thousand of them at once are not: so all connections share an account.
        res.hold(chunk.length);
        body = append(body, size, chunk);
        size += chunk.length;
      } catch (error) {
        reject(error);
      }
    });
    req.on('end', resolve);
    // The client has left or sent nonsense: no answer may reach it, but a 500 would call it our mistake.
    req.on('error', () => reject(new Problem(400, 'The body was broken off.')));
  });
  // While it waits for its turn it is held, and counted.
  const turn = size > MAX_BODY_BYTES ? nextBody() : undefined;
  if (turn) await turn;
  // Writes that wait have a bound of their own: counted here as well, 32 MiB of them would be refused for no reason.
  res.giveBack(size);
  const whole = body.length === size ? body : body.subarray(0, size);
  body = NOTHING;
  return whole;
}

/**
 * Puts the chunk behind the first `size` bytes; where there is no room, all of it into twice the room. A list of chunks
 * would take two hundred times the memory of its bytes where each chunk is one. A body in one piece is not copied.
 */
function append(body: Buffer, size: number, chunk: Buffer): Buffer {
  if (size === 0) return chunk;
  let larger = body;
  if (size + chunk.length > body.length) {
    larger = Buffer.allocUnsafe(2 * (size + chunk.length));
    body.copy(larger, 0, 0, size);
  }
  chunk.copy(larger, size);
  return larger;
}

function tooLarge(maxBytes: number): Problem {
  return new Problem(413, `The body is larger than ${maxBytes} bytes.`);
}

/**
 * A whole number in the query, from `least` to `most`, both included; `fallback` where it isn't there.
 * @throws {Problem} 400
 */
export function queryInteger(
  query: URLSearchParams,
  name: string,
  fallback: number,
  least: number,
  most: number,
): number {
  const text = queryValue(query, name);
  if (text === null) return fallback;
  // Digits alone: `Number` would read 1e3, 0x10 and a blank as well, which are more likely slips than wishes.
  const value = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new Problem(400, `${name} must be a whole number from ${least} to ${most}.`);
}

/**
 * A parameter that may stand once; null where it isn't there. Which of two counts would be a guess, and whoever stands
 * before us may guess otherwise. @throws {Problem} 400
 */
export function queryValue(query: URLSearchParams, name: string): string | null {
  // Most requests have no query: `getAll` would make a list for each parameter that is asked for.
  if (query.size === 0) return null;
  const values = query.getAll(name);
  if (values.length > 1) throw new Problem(400, `${name} stands more than once in the query.`);
  return values[0] ?? null;
}
