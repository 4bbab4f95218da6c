// What a caller knows already, or wants to be sure of, before a thing is read or written (RFC 9110 §13).
import type { IncomingMessage } from 'node:http';
import { type EtagList, matchesStrongly, matchesWeakly, parseEtagList } from '../etag.ts';
import { Problem } from '../problem.ts';

/** What must be true of a thing before it is read or written (RFC 9110 §13.1). */
export type Preconditions = { ifMatch: EtagList | undefined; ifNoneMatch: EtagList | undefined };

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

/** @throws {Problem} 400 if one of them is no list of entity tags */
export function parsePreconditions({ headers }: IncomingMessage): Preconditions {
  return {
    ifMatch: parseEtagList(headers['if-match'], 'If-Match'),
    ifNoneMatch: parseEtagList(headers['if-none-match'], 'If-None-Match'),
  };
}
