// A stream of server-sent events over `fetch`, taken apart by hand: so that a test sees every byte of it.
import { closeAfterTest } from './cleanup.ts';
import { createInbox, isFiltered } from './inbox.ts';
import { within } from './patience.ts';

/** What a test has of an open stream. */
export type EventStream = Awaited<ReturnType<typeof openEventStream>>;

/**
 * Opens a stream and collects its frames; `blocks` are its pieces between empty lines, `text()` all of it as it
 * came. It ends with the test that opened it.
 */
export async function openEventStream(url: string, headers: Record<string, string> = {}) {
  // A response that never ends is left by taking its request back.
  const abort = new AbortController();
  closeAfterTest(() => abort.abort());
  const response = await within(
    fetch(url, { headers: { Accept: 'text/event-stream', ...headers }, signal: abort.signal }),
    'the headers of the event stream',
  );
  // It watches by itself that each position comes once, in order.
  const inbox = createInbox(isFiltered(new URL(url), headers));
  const blocks: string[] = [];
  let text = '';

  /** Blocks end with an empty line; a piece of the body ends anywhere. */
  async function readAll(): Promise<void> {
    // What no empty line has ended yet.
    let rest = '';
    // One for the whole body: a character may be cut in two by the pieces.
    const decoder = new TextDecoder();
    for await (const chunk of response.body!) {
      const part = decoder.decode(chunk as Uint8Array, { stream: true });
      text += part;
      const pieces = (rest + part).split('\n\n');
      rest = pieces.pop()!;
      for (const block of pieces) takeBlock(block);
    }
  }

  /** A block without data is no frame: `retry: 2000`, or a comment. Several data lines are one text (HTML §9.2.6). */
  function takeBlock(block: string): void {
    // Also those without data: a test may ask for the first line of a stream.
    blocks.push(block);
    const data = block.split('\n').filter((line) => line.startsWith('data:'));
    if (data.length > 0) inbox.add(JSON.parse(data.map((line) => line.replace(/^data: ?/, '')).join('\n')));
  }

  // A refusal is left unread, so that a test can look at its body.
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
  const closed = isStream
    ? readAll().then(
        () => inbox.end('end of the response'),
        // Whatever ends it, a test that still waits is told so at once.
        (error) => inbox.end(String(error)),
      )
    : Promise.resolve();
  return {
    ...inbox,
    response,
    status: response.status,
    blocks,
    text: () => text,
    closed,
    close: () => abort.abort(),
  };
}
