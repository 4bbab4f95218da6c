// What a request says: its path, its query, and a bounded body of JSON. Whatever is wrong with one of them
// is a Problem that names it; nothing is guessed.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Problem } from '../problem.ts';

/** One request on its way through the house. */
export type Call = {
  req: IncomingMessage;
  res: ServerResponse;
  path: string;
  query: URLSearchParams;
  /** The id in the path, where the route has one. */
  id: number;
};

export const MAX_BODY_BYTES = 64 * 1024;
const NO_QUERY = new URLSearchParams();
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Path and query; also of the absolute form (RFC 9112 §3.2.2). @throws {Problem} 400 bad escapes */
export function parseTarget(req: IncomingMessage): { path: string; query: URLSearchParams } {
  let target = req.url ?? '/';
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target);
  if (absolute) {
    req.headers.host = absolute[1]!; // it counts instead of the Host header
    target = absolute[2]!.startsWith('/') ? absolute[2]! : `/${absolute[2]}`;
  }
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

/** A body: the bytes as text, to recognise a repeat, and the value. */
export type JsonBody = { text: string; value: unknown };

/** @throws {Problem} 415 not JSON by its name, 413 over 64 KiB, 400 not JSON by its content */
export async function readJson({ req, res }: Call, mediaTypes = ['application/json']): Promise<JsonBody> {
  checkMediaType(req.headers['content-type'], mediaTypes);
  const bytes = await readBody(req, res);
  try {
    const text = utf8.decode(bytes);
    return { text, value: JSON.parse(text) };
  } catch (error) {
    const isText = error instanceof SyntaxError;
    throw new Problem(
      400,
      isText ? `The body is not JSON: ${error.message}.` : 'The body is not valid UTF-8.',
    );
  }
}

function checkMediaType(header: string | undefined, mediaTypes: string[]): void {
  if (header === 'application/json') return;
  const [type = '', ...parameters] = (header ?? '')
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  const isUtf8 = parameters.every(
    (parameter) => !/^charset=/.test(parameter) || /^charset="?utf-8"?$/.test(parameter),
  );
  if (mediaTypes.includes(type) && isUtf8) return;
  throw new Problem(415, `Content-Type must be ${mediaTypes.join(' or ')}, in UTF-8.`);
}

function readBody(req: IncomingMessage, res: ServerResponse): Promise<Buffer> {
  if (Number(req.headers['content-length']) > MAX_BODY_BYTES) return Promise.reject(tooLarge());
  if (req.headers.expect) res.writeContinue();
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    req.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) reject(tooLarge());
      else chunks.push(chunk);
    });
    req.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    req.on('error', () => reject(new Problem(400, 'The body was broken off.')));
  });
}

function tooLarge(): Problem {
  return new Problem(413, `The body is larger than ${MAX_BODY_BYTES} bytes.`);
}

/** A whole number in the query. @throws {Problem} 400 */
export function queryInteger(
  query: URLSearchParams,
  name: string,
  fallback: number,
  least: number,
  most: number,
): number {
  const text = queryValue(query, name);
  if (text === null) return fallback;
  const value = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new Problem(400, `${name} must be a whole number from ${least} to ${most}.`);
}

/** A parameter that may stand once. @throws {Problem} 400 */
export function queryValue(query: URLSearchParams, name: string): string | null {
  if (query.size === 0) return null;
  const values = query.getAll(name);
  if (values.length > 1) throw new Problem(400, `${name} stands more than once in the query.`);
  return values[0] ?? null;
}
