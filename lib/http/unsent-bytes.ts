// How much of our memory is held by clients, over all connections: bodies that are coming in, requests that were
// read ahead, answers that nobody takes. Each connection holds little; all of them together would end the process.
import { Problem } from '../problem.ts';

// Of the process, whatever MAX_CLIENTS is; frames of streams are not in it, since each stream is bounded by itself. So
// many slow readers of pages of a megabyte have room before others are refused, and a machine of 512 MB bears them.
const MAX_BYTES = 128 * 1024 * 1024;
const SMALL_BYTES = 8 * 1024; // such an answer is given in any case: `/healthz` must speak when nothing else does

/** Where the bytes of one answer, and of the body before it, are counted. */
export interface Account {
  /** Counts bytes until the answer is taken. @throws {Problem} 503 if there are too many already */
  reserve(bytes: number): void;
  /** The same for bytes that must go out: the answer to a write tells what was done. */
  count(bytes: number): void;
  /** Gives bytes back before the answer: a body that has become an order is counted where orders wait. */
  giveBack(bytes: number): void;
}

/** The sum over all connections, and its bound. */
export class UnsentBytes {
  /** Bytes now; it can be above the limit, since some are counted without being asked for. */
  total = 0;
  readonly limit = MAX_BYTES;
  /** Called where something is refused for lack of room. */
  onRefusal = (): void => {};

  isFull(): boolean {
    return this.total > this.limit;
  }

  /** @throws {Problem} 503 if so many more bytes are too many */
  check(bytes: number): void {
    if (bytes <= SMALL_BYTES || this.total + bytes <= this.limit) return;
    this.onRefusal();
    throw new Problem(503, 'Too many answers wait to be taken: try again in a moment.', {
      headers: { 'Retry-After': '5' },
    });
  }

  add(bytes: number): void {
    this.total += bytes;
  }

  subtract(bytes: number): void {
    this.total -= bytes;
  }
}
