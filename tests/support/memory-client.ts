// A client of the hub without a socket: what is written to it stays in memory, and a test reads it as frames. Its
// side takes every byte at once, unless it is stalled.
import { Writable } from 'node:stream';
import { parseFilter } from '../../lib/filter.ts';
import type { Stream } from '../../lib/stream/client.ts';
import { EVENT_STREAM, type Transport } from '../../lib/stream/frames.ts';
import { type Frame, isOwn } from './frames.ts';

export type MemoryStream = ReturnType<typeof memoryStream>;

/** @param types as in `?types=` */
export function memoryStream({
  transport = EVENT_STREAM as Transport,
  types = null as string | null,
  isConflated = false,
} = {}) {
  const parts: Buffer[] = [];
  let isOpen = true;
  let resume: (() => void) | undefined;
  let isStalled = false;
  const out = new Writable({
    highWaterMark: 16 * 1024,
    write(part: Buffer, _encoding, done) {
      parts.push(part);
      if (isStalled) resume = done;
      else done();
    },
  });
  const end = () => {
    isOpen = false;
  };
  const stream: Stream = {
    transport,
    filter: parseFilter(types),
    isConflated,
    out,
    isOpen: () => isOpen,
    unsentBytes: () => out.writableLength,
    close: end,
    expire: end,
    destroy: end,
  };
  const text = () => Buffer.concat(parts).toString();
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
