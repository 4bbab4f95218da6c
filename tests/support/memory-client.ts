// A client of the hub without a socket: what is written to it stays in memory, and a test reads it as frames. Its side
// takes every byte at once, unless it is stalled. For tests of the hub alone, where a real socket would bring a process, a
// kernel's buffers, and a reader that can't be stopped between two bytes.
import { Writable } from 'node:stream';
import { parseFilter } from '../../lib/filter.ts';
import { kindOf } from '../../lib/stream/chunks.ts';
import type { Stream } from '../../lib/stream/client.ts';
import { EVENT_STREAM, type Transport } from '../../lib/stream/frames.ts';
import { type Frame, isOwn } from './frames.ts';

/** What a test has of such a client: the hub's side of it, and its own. */
export type MemoryStream = ReturnType<typeof memoryStream>;

/**
 * Makes one, to be added to a hub.
 * @param types as in `?types=`
 * @param isConflated as with `?conflate=source`
 */
export function memoryStream({
  transport = EVENT_STREAM as Transport,
  types = null as string | null,
  isConflated = false,
} = {}) {
  const parts: Buffer[] = [];
  let isOpen = true;
  let resume: (() => void) | undefined;
  let isStalled = false;
  // A real stream of Node: back-pressure and 'drain' are those of a socket.
  const out = new Writable({
    // As a socket's own.
    highWaterMark: 16 * 1024,
    write(part: Buffer, _encoding, done) {
      parts.push(part);
      // Not calling back is what a full socket does: what follows waits in the stream.
      if (isStalled) resume = done;
      else done();
    },
  });
  // However it ends, a test sees only that it has ended.
  const end = () => {
    isOpen = false;
  };
  const stream: Stream = {
    kind: kindOf(transport, parseFilter(types), isConflated),
    out,
    isOpen: () => isOpen,
    // All that is unsent is in the stream: there is no kernel behind it.
    unsentBytes: () => out.writableLength,
    end,
  };
  out.once('close', end);
  const text = () => Buffer.concat(parts).toString();
  // As a client of server-sent events would find them: one line of data for each.
  const frames = () => [...text().matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!) as Frame);
  return {
    stream,
    /** The bytes as text, and as frames where the transport is that of server-sent events. */
    text,
    frames,
    events: () => frames().filter((frame) => !isOwn(frame)),
    isOpen: () => isOpen,
    /** The connection is gone. */
    shut: end,
    /** From now on its side takes nothing, until `drain`. */
    stall(): void {
      isStalled = true;
    },
    drain(): void {
      isStalled = false;
      resume?.();
      resume = undefined;
    },
  };
}
