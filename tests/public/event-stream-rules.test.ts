// HTML Standard §9.2.6, "Interpreting an event stream": each rule with the bytes that tell it, torn at every place.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEventStream } from '../../public/changebell/wire.js';

const BOM = '\uFEFF';

/** What comes of these bytes, in pieces of so many. */
async function read(text: string, size: number) {
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
      controller.close();
    },
  });
  const messages: string[] = [];
  await readEventStream(body, ({ type, data, lastEventId }) =>
    messages.push(`${type}|${lastEventId}|${data}`),
  );
  return messages;
}

const RULES: [rule: string, text: string, messages: string[]][] = [
  [
    'lines end with LF, CR or CRLF',
    'data:a\rdata:b\r\ndata:c\n\ndata:d\r\rdata:e\r\n\r\n',
    ['a\nb\nc', 'd', 'e'],
  ],
  ['a CR and the LF behind it are one end', 'data:test\r\ndata\ndata:test\r\n\r', ['test\n\ntest']],
  ['CR, LF, CR are two ends', 'data:1\r\n\rdata:2\n\n', ['1', '2']],
  [
    'one space behind the colon is not part of the value',
    'data:a\n\ndata: b\n\ndata:  c\n\n',
    ['a', 'b', ' c'],
  ],
  ['a comment is nothing', ':\n: comment\ndata:1\n:\0\ndata:2\n\n:\n\n', ['1\n2']],
  [
    'an unknown field, or a known one in other letters, is nothing',
    'data:1\n data:2\nData:3\nda-ta:4\ndata_5\n\n',
    ['1'],
  ],
  ['a field without a colon is empty', 'data\n\ndata\ndata\n\ndata:\n\n', ['', '\n', '']],
  ['no data, no message', 'event:a\n\nid:1\n\ndata:x\n\n', ['message|1|x']],
  ['a type is of one message', 'event:a\ndata:1\n\ndata:2\n\nevent\ndata:3\n\n', ['a||1', '2', '3']],
  [
    'an id stays until there is another',
    'id:1\ndata:a\n\ndata:b\n\nid\ndata:c\n\n',
    ['message|1|a', 'message|1|b', 'c'],
  ],
  ['an id with a NUL in it is none', 'id:1\0\ndata:a\n\n', ['a']],
  ['retry is no data', 'retry:1000\ndata:a\n\nretry:x\n\n', ['a']],
  ['colons in a value are part of it', 'data:{"a":1}\n\n', ['{"a":1}']],
  [
    'one byte order mark at the beginning is dropped',
    `${BOM}data:1\n\n${BOM}data:2\n\ndata:3\n\n`,
    ['1', '3'],
  ],
  ['a second one is not', `${BOM}${BOM}data:1\n\ndata:2\n\n`, ['2']],
  ['it is UTF-8', 'data:grüße, 世界 😀\n\n', ['grüße, 世界 😀']],
  ['other line separators are text', 'data:a\u2028b\u0085c\vd\n\n', ['a\u2028b\u0085c\vd']],
  ['NUL is text', 'data:\0\n\n', ['\0']],
  ['what no empty line has ended is dropped', 'data:1\n\ndata:2\n', ['1']],
];

for (const [rule, text, expected] of RULES) {
  test(`event stream: ${rule}`, async () => {
    const messages = expected.map((message) => (/^\w+\|/.test(message) ? message : `message||${message}`));
    for (const size of [1, 2, 3, 7, 1000])
      assert.deepEqual(await read(text, size), messages, `${size} bytes a piece`);
  });
}

test('event stream: bytes that are no UTF-8 are replaced', async () => {
  const body = new Blob([new Uint8Array([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 10, 10])]).stream();
  const messages: string[] = [];
  await readEventStream(body, ({ data }) => messages.push(data));
  assert.deepEqual(messages, ['\uFFFD']);
});
