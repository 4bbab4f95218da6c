// What a client received, in the order it came, until a test asks for it: so no test has to sleep. It keeps the
// first promise of every stream by itself: each position once, in order. Where one was passed without its event,
// whatever the test waits for fails at once and says so, instead of after the whole patience.
import { frameFault } from './described.ts';
import { type Frame, isOwn, seqOf } from './frames.ts';
import { brief, failureAt, type Place, placeOf, within } from './patience.ts';

export type Inbox = ReturnType<typeof createInbox>;

/**
 * @param isFiltered the stream may pass positions in silence, since its filter hides events
 * @param judge says how a frame is another than the program's own description says
 */
export function createInbox(isFiltered: boolean, judge: typeof frameFault = frameFault) {
  const frames: Frame[] = [];
  // Frames stay after they were taken, so that a failure can say what came.
  let taken = 0;
  let position: number | undefined; // of the last frame
  let fault: string | undefined; // a promise that the stream broke
  let strange: string | undefined; // a frame that the program's own description doesn't know
  let end: string | undefined;
  // One test waits at a time, so one wake is enough.
  let wake = () => {};

  /** Notes the first fault alone: what follows is most often a consequence of it. */
  function add(frame: Frame): void {
    if (!isFiltered) fault ??= gapBefore(frame);
    strange ??= judge(frame);
    position = seqOf(frame.id);
    frames.push(frame);
    wake();
  }

  /** In words: how this frame breaks the order. */
  function gapBefore(frame: Frame): string | undefined {
    if (position === undefined || frame.type === 'stream.reset') return undefined; // here it begins
    // A frame of the server's own tells where the stream stands, and takes no position.
    const expected = isOwn(frame) ? position : position + 1;
    const seq = seqOf(frame.id);
    if (seq === expected) return undefined;
    const named = `${frame.type} ${frame.id}`;
    return seq > expected
      ? `position ${position + 1} was passed without its event: after ${position} came ${named}`
      : `the stream went back: after ${position} came ${named}`;
  }

  async function takeUntil(isWanted: (frame: Frame) => boolean, what: string, place: Place): Promise<Frame> {
    for (;;) {
      // At once, also where the frame that is wanted has come: no test asks for these promises by itself.
      if (strange) throw failureAt(place, strange);
      while (taken >= frames.length) {
        // Only when there is nothing left to take: a test may look at what came before the fault.
        if (fault) throw failureAt(place, `${fault}. It waited for ${what}; ${instead()}`);
        if (end) throw failureAt(place, `the stream ended (${end}) before ${what}; ${instead()}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const frame = frames[taken++]!;
      if (isWanted(frame)) return frame;
    }
  }

  /** In words: the last frames, each with its type, id and data. */
  function instead(): string {
    if (frames.length === 0) return 'no frame came at all';
    // Four are enough to see what went wrong, and fit on a screen.
    const last = frames.slice(-4).map(({ type, id, data }) => `${type} ${id} ${brief(data, 60)}`);
    return `${frames.length} frames came, ${taken} of them were taken; the last: ${last.join(' | ')}`;
  }

  /** `takes`: milliseconds that it takes by its nature. */
  function wait(
    isWanted: (frame: Frame) => boolean,
    what: string,
    takes: number,
    place: Place,
  ): Promise<Frame> {
    return within(takeUntil(isWanted, what, place), what, { takes, instead, place });
  }

  // Its own name is needed: `placeOf` wants the very function that the test has called.
  const inbox = {
    frames,
    add,
    /** No more will come. */
    end(reason: string): void {
      end = reason;
      wake();
    },
    /** The next frame that was not yet taken. */
    next: () => wait(() => true, 'a frame', 0, placeOf(inbox.next)),
    /** Takes frames until one satisfies, and returns that; `what` says in words which. */
    until: (isWanted: (frame: Frame) => boolean, what: string | number = '', takes = 0): Promise<Frame> =>
      wait(
        isWanted,
        what && typeof what === 'string' ? what : `a frame with ${isWanted}`,
        typeof what === 'number' ? what : takes,
        placeOf(inbox.until),
      ),
    /** Takes frames up to the stored event with this id; fails at once where the stream stands at or beyond it. */
    event(id: string, takes = 0): Promise<Frame> {
      const place = placeOf(inbox.event);
      // With a filter positions are passed in silence, so there nothing can be known.
      const isPassed = (at: number | undefined) => !isFiltered && at !== undefined && at >= seqOf(id);
      // Without this a test that asks for the wrong id would wait its whole patience for a sentence that says less.
      const fail = () => failureAt(place, `event ${id} will not come: the stream is past it; ${instead()}`);
      if (taken === frames.length && isPassed(position)) return Promise.reject(fail());
      const isWanted = (frame: Frame) => {
        if (frame.id === id && !isOwn(frame)) return true;
        if (isPassed(seqOf(frame.id))) throw fail();
        return false;
      };
      return wait(isWanted, `event ${id}`, takes, place);
    },
    /** The next stored event, past the server's own frames. */
    nextEvent: () => wait((frame) => !isOwn(frame), 'an event', 0, placeOf(inbox.nextEvent)),
    /** All stored events so far, taken or not. */
    events: () => frames.filter((frame) => !isOwn(frame)),
  };
  return inbox;
}

/** Can this stream leave out events? By its filter, or by a JWT that says what it may read. */
export function isFiltered(url: URL, headers: Record<string, string>): boolean {
  const filters = ['types', 'sources', 'conflate'].some((name) => url.searchParams.has(name));
  // Three parts with dots between them are a JWT; an API token hides nothing.
  const token = headers.Authorization ?? headers.authorization ?? url.searchParams.get('access_token') ?? '';
  return filters || /^[^.]+\.[^.]+\.[^.]+$/.test(token);
}
