// Frames as they come over the wire, and their positions. An id is `<stamp>-<seq>`: to a client opaque, to a
// test the position that it stands at.

/** A CloudEvent as it comes over the wire. `data` is whatever was stored. */
export type Frame = {
  specversion: string;
  id: string;
  source: string;
  type: string;
  /** A row over 1 MiB, of which only the key is told. */
  truncated?: boolean;
  time: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into data of any shape, and fails if it is another.
  data: any;
};

/** Is this one of the server's own frames, which are never stored? */
export const isOwn = (frame: Frame) => frame.type.startsWith('stream.');

/** The position that an id stands for. */
export const seqOf = (id: string) => Number(id.slice(id.lastIndexOf('-') + 1));
export const seqsOf = (frames: Frame[]) => frames.map((frame) => seqOf(frame.id));

/** first, first + 1, … last */
export const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);
