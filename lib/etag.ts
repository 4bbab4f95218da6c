// Entity tags (RFC 9110 §8.8.3): how a caller says which state of a thing it has seen. They are judged in two
// places, by HTTP for reads, and inside the transaction for writes.
import * as crypto from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Problem } from './problem.ts';

// One call, in Node 20.12 and later, costs a third of an object that is made, filled and asked.
const sha256: (data: string | Buffer) => string = crypto.hash
  ? (data) => crypto.hash('sha256', data)
  : (data) => crypto.createHash('sha256').update(data).digest('hex');

/** The entity tag of a JSON text, or a file. A hash: two updates in one millisecond have one `updatedAt`, or one date. */
export function etagOf(content: string | Buffer): string {
  return `"${sha256(content).slice(0, 32)}"`; // SQL in the schema of PostgreSQL agrees
}

/** Entity tags from `If-Match` or `If-None-Match`; `*` stands for any (RFC 9110 §13.1). */
export type EtagList = '*' | string[];

/** What must be true of a thing before it is read or written (RFC 9110 §13.1). */
export type Preconditions = { ifMatch?: EtagList | undefined; ifNoneMatch?: EtagList | undefined };

/** @throws {Problem} 400 if one of them is no list of entity tags */
export function parsePreconditions({ headers }: IncomingMessage): Preconditions {
  return {
    ifMatch: parseEtagList(headers['if-match'], 'If-Match'),
    ifNoneMatch: parseEtagList(headers['if-none-match'], 'If-None-Match'),
  };
}

/**
 * Has the caller this state already? Then a 304 is all that it needs.
 * @throws {Problem} 400 as `parsePreconditions`, 412 if If-Match names another state (RFC 9110 §13.1.1)
 */
export function isKnown(req: IncomingMessage, etag: string): boolean {
  const { ifMatch, ifNoneMatch } = parsePreconditions(req);
  if (ifMatch !== undefined && !matchesStrongly(ifMatch, etag))
    throw new Problem(412, 'What is here is not what If-Match names.');
  return ifNoneMatch !== undefined && matchesWeakly(ifNoneMatch, etag);
}

/** @throws {Problem} 400 if it is neither `*` nor a list of entity tags (RFC 9110 §8.8.3) */
export function parseEtagList(header: string | undefined, field: string): EtagList | undefined {
  if (header === undefined) return undefined;
  if (header.trim() === '*') return '*';
  if (/^[\s,]*$/.test(header)) return []; // RFC 9110 §5.6.1.2: a recipient takes empty elements, and a list of none
  const tags = header.match(/(W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? [];
  const isList = /^[\s,]*(?:W\/)?"[^"\s]*"(?:\s*,[\s,]*(?:W\/)?"[^"\s]*")*[\s,]*$/.test(header);
  if (!isList) throw new Problem(400, `${field} must be * or entity tags in double quotes, such as "abc".`);
  return tags;
}

/** `If-Match` compares strongly: a weak tag never matches (RFC 9110 §13.1.1). */
export function matchesStrongly(list: EtagList, etag: string): boolean {
  return list === '*' || list.includes(etag);
}

/** `If-None-Match` compares weakly (RFC 9110 §13.1.2). */
export function matchesWeakly(list: EtagList, etag: string): boolean {
  return list === '*' || list.some((tag) => tag.replace(/^W\//, '') === etag);
}
