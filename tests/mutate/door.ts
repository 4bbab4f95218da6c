// Breaks of what stands at the door: who may come in, what is asked, and how it is answered.
import { breaksOf, type Mutation } from './mutation.ts';

const access = breaksOf('lib/http/access.ts', 'tests/http/origin.test.ts');
const token = breaksOf('lib/http/access.ts', 'tests/http/access.test.ts');
const config = breaksOf('lib/config.ts', 'tests/config.test.ts');
const resource = breaksOf('lib/resource.ts', 'tests/api/customers-api.test.ts');
const rows = breaksOf('lib/api/resource-api.ts', 'tests/api/customers-api.test.ts');
const events = breaksOf('lib/api/events-api.ts', 'tests/api/events-api.test.ts');
const http = (file: string) => breaksOf(file, 'tests/http/http.test.ts');
const tokens = (file: string) => breaksOf(file, 'tests/http/tokens.test.ts');
const publishing = (file: string) => breaksOf(file, 'tests/api/publish-api.test.ts');

export const DOOR: Mutation[] = [
  access(
    'an Origin may begin like ours',
    'new URL(own).host === originHost',
    'originHost.startsWith(new URL(own).host.slice(0, 12))',
    'an Origin that only begins, or ends, like ours',
  ),
  access(
    'a Host may end like ours',
    "if (this.hosts.has(name.replace(/\\.$/, '').toLowerCase())) return;",
    'if ([...this.hosts].some((ours) => name.endsWith(ours))) return;',
    'a Host that only begins, or ends, like ours',
  ),
  token('the scheme of a token does not matter', '/^Bearer +', '/^\\w+ +', 'a wrong token is a 401'),
  config(
    'the heartbeat is counted in milliseconds',
    'heartbeatMs: 1000 * readInteger',
    'heartbeatMs: readInteger',
    'heartbeats are given in seconds',
  ),
  config(
    'an empty variable is a bad one',
    '  const text = env[variable];\n  if (!text) return fallback;\n  const isInRange',
    '  const text = env[variable];\n  if (text === undefined) return fallback;\n  const isInRange',
    'without a variable everything has its default',
  ),
  resource(
    'what is unknown is let through',
    'const problem = field ?',
    'const problem = !field ? undefined : field ?',
    'every bad field is named, unknown ones too',
  ),
  rows(
    'a page of customers forgets what follows',
    'const next = hasMore ?',
    'const next = !hasMore ?',
    'pages follow each other by next',
  ),
  events(
    'a catch-up gives up after a thousand events that its filter hides',
    'reads === MAX_READS',
    'reads > 0',
    'a filter may hide thousands of events',
  ),
  events(
    'a page whose end a filter hides says that nothing follows',
    'page.more = seq < head.seq;',
    'page.more = seq < head.seq && page.events.length > 0;',
    'a search in vain ends at a bound',
  ),
  breaksOf('lib/http/response.ts', 'tests/http/response.test.ts')(
    'what went wrong in the server is told to whoever asks',
    "'Something went wrong on the server.'",
    'String(error)',
    'an error of ours is a bare 500 to the caller',
  ),
  breaksOf('lib/http/listen.ts', 'tests/http/start.test.ts')(
    'a herd finds as little room as Node asks for',
    'server.listen(port, host, HERD)',
    'server.listen(port, host)',
    'a herd that comes while the server is busy',
  ),
  breaksOf('lib/http/listen.ts', 'tests/http/protocol.test.ts')(
    'of two Host headers the first one counts',
    'joinDuplicateHeaders: true',
    'joinDuplicateHeaders: false',
    'a request has one Host header',
  ),
  http('lib/http/static-files.ts')(
    'a page is sent again although the browser has it',
    'if (isKnown(req, etag))',
    'if (isKnown(req, etag) && !etag)',
    'the page is HTML with a strict policy, and is not sent again',
  ),
  http('lib/http/request.ts')(
    'a body may be one byte too large',
    'if (size + chunk.length > maxBytes) return reject(tooLarge(maxBytes));',
    '',
    'a chunked body that grows too large',
  ),
  http('lib/app.ts')(
    'a method that a path does not take is not found',
    'throw new Problem(405,',
    'throw new Problem(404,',
    'a known path with another method is a 405',
  ),
  tokens('lib/http/tokens.ts')(
    'a JWT needs no end',
    "requiredClaims: ['exp']",
    'requiredClaims: []',
    'a token that is forged, stale, misdirected or endless',
  ),
  tokens('lib/scope.ts')(
    'a claim that names no types allows all of them',
    'this.types = texts(claim.subscribe);',
    "this.types = claim.subscribe === undefined ? ['*'] : texts(claim.subscribe);",
    'what a claim does not name is not allowed',
  ),
  tokens('lib/scope.ts')(
    'what one may not see is let through by the filter',
    'this.maySee(event) && filter.matches(event)',
    'filter.matches(event)',
    'what it may not see never reaches a reader',
  ),
  tokens('lib/scope.ts')(
    'who may see a single row never hears that its table was made anew',
    '!this.sources.some(isWithin)',
    'true',
    'who may see each change of a table hears that it must be loaded again',
  ),
  publishing('lib/cloud-event.ts')(
    "the sender's id is lost",
    '...others, originid: id }',
    '...others }',
    'a CloudEvent in structured mode keeps its attributes',
  ),
  publishing('lib/new-event.ts')(
    'anybody may publish what triggers write',
    'return isReserved(value) ?',
    'return isReserved(value) && false ?',
    'what triggers write nobody can publish',
  ),
  breaksOf('lib/http/refusals.ts', 'tests/http/bounds.test.ts')(
    'a flood of refusals floods the log',
    'if (number > MAX_LINES) return;',
    '',
    'a flood of refusals is ten lines in the log',
  ),
];
