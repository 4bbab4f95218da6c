// Breaks of the bytes on the wire, and of what clients send.
import { breaksOf, type Mutation } from './mutation.ts';

const frames = breaksOf('lib/stream/frames.ts', 'tests/stream/frames.test.ts');
const webSocket = breaksOf('lib/stream/websocket.ts', 'tests/stream/websocket.test.ts');
const flood = breaksOf('lib/stream/flood.ts', 'tests/stream/websocket.test.ts');

export const WIRE: Mutation[] = [
  frames(
    '126 bytes are announced in 7 bits',
    '  if (length < 126) {',
    '  if (length <= 126) {',
    'the length of a frame stands in 7, 16 or 64 bits',
  ),
  frames(
    '65,535 bytes are announced in 64 bits',
    '  if (length < 65_536) {',
    '  if (length < 65_535) {',
    'the length of a frame stands in 7, 16 or 64 bits',
  ),
  frames(
    'a frame is as long as its text has characters',
    'items.map((item) => Buffer.byteLength(item.json))',
    'items.map((item) => item.json.length)',
    'lengths count bytes of UTF-8',
  ),
  frames(
    'a write ends in the middle of a frame',
    'bytes[0]! & FIN ? bytes.length : PART_BYTES',
    'Math.min(bytes.length, PART_BYTES)',
    'a part ends between two frames',
  ),
  frames(
    'the blocks of an event stream run into each other',
    'json}\\n\\n`);',
    'json}\\n`);',
    'an event of a stream is an id line',
  ),
  flood(
    'the 51st message is let through',
    'const MAX_MESSAGES = 50;',
    'const MAX_MESSAGES = 51;',
    'the 51st message within 10 s closes with 1008',
  ),
  breaksOf('lib/stream/flood.ts', 'tests/stream/flood.test.ts')(
    'all of a flood is worked on',
    'if (this.tooMany > MAX_FRAMES_AFTER_FLOOD) return at;',
    '',
    'of a read that brings ten thousand pings',
  ),
  webSocket(
    'a ping is not answered',
    'this.pong(unansweredPing, false);',
    'void unansweredPing;',
    'a close is answered with its code, and a ping',
  ),
  breaksOf('lib/stream/start.ts', 'tests/stream/event-stream.test.ts')(
    'the query wins over the header of a browser that resumes',
    'parseCursor(lastEventId || inQuery)',
    'parseCursor(inQuery ?? lastEventId)',
    'it resumes by the Last-Event-ID header or by the query',
  ),
];
