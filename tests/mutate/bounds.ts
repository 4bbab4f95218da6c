// Breaks of what holds the door against those who do their worst.
import { breaksOf, type Mutation } from './mutation.ts';

const pipelined = breaksOf('lib/http/connection.ts', 'tests/http/bounds.test.ts');
const together = breaksOf('lib/http/connection.ts', 'tests/http/pipelined-writes.test.ts');
const unsent = breaksOf('lib/http/unsent-bytes.ts', 'tests/http/unsent-bytes.test.ts');
const filter = breaksOf('lib/filter.ts', 'tests/filter.test.ts');

export const BOUNDS: Mutation[] = [
  pipelined(
    'what is pipelined behind a request is begun at once',
    'this.answer?.req.complete === true',
    'false',
    'a request that is pipelined behind a write begins after its answer',
  ),
  together(
    'whatever is pipelined behind a write is let in beside it',
    ' && this.ahead.isNext(headOf(req))',
    '',
    'pipelined requests that differ are done one after the other',
  ),
  breaksOf('lib/store/group-commit.ts', 'tests/http/pipelined-writes.test.ts')(
    'a batch that found the database locked loses its place to those behind it',
    '[...notTried, ...this.waiting, ...locked]',
    '[...this.waiting, ...notTried, ...locked]',
    'pipelined writes that are alike wait for one commit together',
  ),
  breaksOf('lib/turns.ts', 'tests/http/bounds.test.ts')(
    'a turn of long work has no end',
    'endsAt = performance.now() + TURN_MS;\n      while',
    'endsAt = performance.now() + 1000;\n      while',
    'writes have their turns between searches of the log',
  ),
  breaksOf('lib/app.ts', 'tests/http/bounds.test.ts')(
    'a write stands behind all pages that were asked for before it',
    'isRead ? nextRead() : nextWrite()',
    'nextRead()',
    'a write does not wait for the pages',
  ),
  breaksOf('lib/http/request.ts', 'tests/http/bounds.test.ts')(
    'all long bodies that have come are parsed at once',
    'size > MAX_BODY_BYTES ? nextBody() : undefined',
    'undefined',
    'long bodies that come at once are parsed one after the other',
  ),
  breaksOf('lib/api/events-api.ts', 'tests/api/events-api.test.ts')(
    'who has found half a page looks for more, and holds it meanwhile',
    '> ENOUGH_BYTES',
    '> READ_BYTES',
    'who has found half a page behind a filter is answered',
  ),
  breaksOf('lib/places.ts', 'tests/places.test.ts')(
    'who has left the line takes a place with him',
    'this.line.delete(begin);',
    '',
    'who came first has the next place',
  ),
  breaksOf('lib/api/waiting.ts', 'tests/api/waiting.test.ts')(
    'who is woken shares a read that began before',
    '[this.heard, eventId(after), ...rest]',
    '[eventId(after), ...rest]',
    'a read that began before a commit is not shared',
  ),
  breaksOf('lib/shared.ts', 'tests/api/waiting.test.ts')(
    'what was made once is given to all who ask later',
    '.finally(() => this.underWay.delete(key))',
    '',
    'a read that began before a commit is not shared',
  ),
  breaksOf('lib/http/connections.ts', 'tests/http/bounds.test.ts')(
    'who was idle last makes room first',
    'of this.idle)',
    'of [...this.idle].reverse())',
    'above MAX_CONNECTIONS the longest idle goes first',
  ),
  unsent(
    'answers wait in memory without a bound',
    'this.total + bytes <= this.limit',
    'this.total >= 0',
    '128 MiB may wait',
  ),
  unsent('a full house answers not even /healthz', 'bytes <= SMALL_BYTES || ', '', '128 MiB may wait'),
  breaksOf('lib/http/access.ts', 'tests/http/access.test.ts')(
    'an image of a foreign page makes us work',
    "mode === 'no-cors' ||",
    "mode === 'nobody' ||",
    'what a foreign page embeds is refused before any work',
  ),
  filter(
    'a filter may be as long as its URL',
    'items.length > MAX_ITEMS',
    'items.length < 0',
    'a hundred items are a filter, and one more is a 400',
  ),
  filter(
    'a long filter is gone through from one end to the other',
    'hasPrefix(plain, separator, prefixes);',
    'items.some((item) => isPrefix(item) && plain.startsWith(item.slice(0, -1)));',
    'a list of a hundred items costs an event',
  ),
  breaksOf('lib/http/refusals.ts', 'tests/http/tokens.test.ts')(
    'a key set that is away is no reason to say anything',
    "if (error instanceof KeysAway) return 'keys';",
    '',
    'a key set that is away is a 503, and ten lines in the log',
  ),
  breaksOf('lib/stream/client.ts', 'tests/stream/hub.test.ts')(
    'who passes hidden events is told of the place where it began',
    'if (bytes.length > 0) this.send(bytes);\n    this.cursor = cursor;',
    'if (bytes.length > 0) this.send(bytes);\n    if (bytes.length > 0 || cursor.seq % 256 !== 0) this.cursor = cursor;',
    'a client hears where it stands at each heartbeat',
  ),
];
