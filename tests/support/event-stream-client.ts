// A stream of server-sent events over `fetch`, taken apart by hand: so that a test sees every byte of it.
import { closeAfterTest } from './cleanup.ts';
import { createInbox, isFiltered } from './inbox.ts';
import { within } from './patience.ts';

export type EventStream = Awaited<ReturnType<typeof openEventStream>>;

/**
 * Opens a stream and collects its frames; `blocks` are its pieces between empty lines, `text()` all of it as it
 * came. It ends with the test that opened it.
 */
export async function openEventStream(url: string, headers: Record<string, string> = {}) {
  const abort = new AbortController();
  closeAfterTest(() => abort.abort());
  const response = await within(
    fetch(url, { headers: { Accept: 'text/event-stream', ...headers }, signal: abort.signal }),
    'the headers of the event stream',
  );
  const inbox = createInbox(isFiltered(new URL(url), headers));
  const blocks: string[] = [];
  let text = '';

  async function readAll(): Promise<void> {
    let rest = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body!) {
      const part = decoder.decode(chunk as Uint8Array, { stream: true });
      text += part;
      const pieces = (rest + part).split('\n\n');
      rest = pieces.pop()!;
      for (const block of pieces) takeBlock(block);
    }
  }

  function takeBlock(block: string): void {
    blocks.push(block);
    const data = block.split('\n').filter((line) => line.startsWith('data:'));
    if (data.length > 0) inbox.add(JSON.parse(data.map((line) => line.replace(/^data: ?/, '')).join('\n')));
  }

  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
  const closed = isStream
    ? readAll().then(
        () => inbox.end('end of the response'),
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
