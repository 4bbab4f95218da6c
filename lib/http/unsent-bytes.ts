// How much of our memory is held by clients, over all connections: bodies that are coming in, requests that were
// read ahead, answers that nobody takes. Each connection holds little; all of them together would end the process.
import type { Socket } from 'node:net';
import { unavailable } from '../problem.ts';

// Of the process, whatever MAX_CLIENTS is; frames of streams are not in it, since each stream is bounded by itself. So
// many slow readers of pages of a megabyte have room before others are refused, and a machine of 512 MB bears them.
const MAX_BYTES = 128 * 1024 * 1024;
const SMALL_BYTES = 8 * 1024; // such an answer is given in any case: `/healthz` must speak when nothing else does

/** The sum over all connections, and its bound. */
export class UnsentBytes {
  /** Bytes now; it can be above the limit, since some are counted without being asked for. */
  total = 0;
  readonly limit = MAX_BYTES;
  /** Called where something is refused for lack of room. */
  onRefusal = (): void => {};

  get isFull(): boolean {
    return this.total > this.limit;
  }

  /**
   * Nobody else's connection is read any less when it is full: whoever has part in it is not read on already, since one
   * answer is in work there. @param held what the same request holds @throws {Problem} 503 if so many more are too many
   */
  check(bytes: number, held = 0): void {
    if (held + bytes <= SMALL_BYTES || this.total + bytes <= this.limit) return;
    this.onRefusal();
    throw unavailable('Too many answers wait to be taken: try again in a moment.', 5);
  }
}

/** What is left of a write that the kernel took in part: only the handle tells, and Node's own timeouts ask it too. */
export function queuedBytes(socket: Socket): number {
  return (socket as { _handle?: { writeQueueSize?: number } })._handle?.writeQueueSize ?? 0;
}
