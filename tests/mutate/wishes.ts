// Breaks of what a reader may see, and of how it may ask for it.
import { breaksOf, type Mutation } from './mutation.ts';

const scope = breaksOf('lib/scope.ts', 'tests/http/tokens.test.ts');
const filter = breaksOf('lib/filter.ts', 'tests/filter.test.ts');
const pages = breaksOf('lib/api/events-api.ts', 'tests/api/events-api.test.ts');
const behind = breaksOf('lib/stream/behind.ts', 'tests/stream/behind.test.ts');

export const WISHES: Mutation[] = [
  scope(
    'a text in a claim is taken for a list',
    'if (!Array.isArray(value)) return [];',
    'if (!Array.isArray(value)) return typeof value === "string" ? [value] : [];',
    'what a claim does not name is not allowed',
  ),
  scope(
    'any value that counts as true lets write',
    'claim.write === true',
    'Boolean(claim.write)',
    'what a claim does not name is not allowed',
  ),
  scope(
    'the types of a token say which events, and its sources nothing',
    'if (!covers(this.sources, event.source) && !this.sources.some(isWithin)) return false;',
    '',
    'what it may not see never reaches a reader',
  ),
  scope(
    'who may see the three changes of a table never hears that it must be loaded again',
    'table !== undefined && this.seesChanges(event.type.slice(0, -6))',
    'false',
    'who may see each change of a table',
  ),
  breaksOf('lib/stream/start.ts', 'tests/http/tokens.test.ts')(
    'what a reader may not see is counted as behind',
    'isLimited ? await countBehind(store, start, head, scope) : all',
    'all',
    'what it may not see never reaches a reader',
  ),
  behind(
    'a herd is counted for one after the other',
    'at.seq >= start && at.seq < end.seq',
    'waiter === first',
    'the log is read once for all who come back together',
  ),
  behind(
    'who was away for a moment waits for those who were away for long',
    'n % 2 === 0 ? oldest! : nearest(waiters)',
    'oldest!',
    'who was away for a moment is not kept waiting',
  ),
  behind(
    'nobody else has a turn while a herd is counted for',
    '    await nextSlice();\n',
    '',
    'everybody else has turns while a herd of many scopes',
  ),
  filter(
    'the sources are not looked at',
    'parseList(sources, SOURCES)',
    'parseList(null, SOURCES)',
    'a source is the whole of it, and a prefix ends with a slash',
  ),
  breaksOf('lib/stream/conflation.ts', 'tests/stream/websocket.test.ts')(
    'it is handed what it has looked at, without a look at what waits behind it',
    'return this.end.seq >= this.upTo.seq ||',
    'return true ||',
    'conflate=source: of what waits for a client',
  ),
  breaksOf('lib/stream/conflation.ts', 'tests/stream/websocket.test.ts')(
    'nothing is replaced, though the client asked for it',
    'this.newest.get(event.source) === event.seq',
    'this.newest.has(event.source)',
    'conflate=source: of what waits for a client',
  ),
  pages(
    'what was read with a token may be kept for everybody',
    "call.req.headers.authorization === undefined ? 'public' : 'private'",
    "'public'",
    'a page that ends below the head may be kept by caches',
  ),
];
