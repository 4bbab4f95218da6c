// What a token may not see never leaves the hub. Readers with random scopes and random filters read the same log as it
// grows, live and from the past, on every transport; what each has got is the log, filtered by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SignJWT } from 'jose';
import { connect, type Frame, get, isOwn, openEventStream, post, seqOf } from '../support/helpers.ts';
import { openServer } from '../support/open-server.ts';

const SECRET = 'a secret of thirty-two bytes or more';
const API_TOKEN = 'the-token';
const SEED = Number(process.env.SEED ?? Date.now() % 1e9);
const everything = { Authorization: `Bearer ${API_TOKEN}` };
const server = await openServer({ JWT_SECRET: SECRET, API_TOKEN, HEARTBEAT_SECONDS: '1' });
const eventsUrl = `${server.url}/api/events`;

const TYPES = ['room.said', 'room.left', 'rooms', 'room.said.loud', 'secret', 'customer.merged'];
const SOURCES = ['/rooms/42', '/rooms/42/a', '/rooms/42/a/b', '/rooms/421/a', '/rooms/7/a', '/elsewhere'];
const TYPE_PATTERNS = ['*', 'room.*', 'room.said', 'room.said.*', 'secret', 'rooms', 'r*', 'customer.*', ''];
const SOURCE_PATTERNS = [
  '*',
  '/rooms/*',
  '/rooms/42/*',
  '/rooms/42',
  '/rooms/42/a/*',
  '/elsewhere',
  '/rooms/4*',
];

type Claim = { subscribe?: string[]; sources?: string[] };
type Wish = {
  claim: Claim;
  types?: string[];
  sources?: string[];
  reads: 'WebSocket' | 'event stream' | 'pages';
};

const some = (values: string[]) => fc.uniqueArray(fc.constantFrom(...values), { maxLength: 3 });
const atLeastOne = (values: string[]) =>
  fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });
const isFilter = (separator: string) => (item: string) =>
  item !== '' && (!item.includes('*') || item.endsWith(`${separator}*`));
const wishes: fc.Arbitrary<Wish> = fc.record(
  {
    claim: fc.record(
      { subscribe: some(TYPE_PATTERNS), sources: some(SOURCE_PATTERNS) },
      { requiredKeys: [] },
    ),
    types: atLeastOne(TYPE_PATTERNS.filter(isFilter('.'))),
    sources: atLeastOne(SOURCE_PATTERNS.filter(isFilter('/'))),
    reads: fc.constantFrom('WebSocket', 'event stream', 'pages'),
  },
  { requiredKeys: ['claim', 'reads'] },
);
const published = fc.array(
  fc.record({ type: fc.constantFrom(...TYPES), source: fc.constantFrom(...SOURCES) }),
  {
    minLength: 1,
    maxLength: 25,
  },
);

/** As the contract has it, in the plainest way: what is no pattern at all allows nothing. */
function allows(patterns: string[] | undefined, value: string, separator: string): boolean {
  return (patterns ?? []).some((pattern) => {
    if (pattern === '*') return true;
    if (pattern.endsWith(`${separator}*`)) return value.startsWith(pattern.slice(0, -1));
    return pattern === value && !pattern.includes('*');
  });
}

function maySee({ claim, types = ['*'], sources = ['*'] }: Wish, { type, source }: Frame): boolean {
  return (
    allows(claim.subscribe, type, '.') &&
    allows(claim.sources ?? ['*'], source, '/') &&
    allows(types, type, '.') &&
    allows(sources, source, '/')
  );
}

async function open({ claim, types, sources, reads }: Wish, lastEventId: string) {
  const token = await new SignJWT({ changebell: claim })
    .setProtectedHeader({ alg: 'HS256' })
    .setAudience('changebell')
    .setExpirationTime('1m')
    .sign(new TextEncoder().encode(SECRET));
  const query: Record<string, string> = { lastEventId };
  if (types) query.types = types.join();
  if (sources) query.sources = sources.join();
  const headers = { Authorization: `Bearer ${token}` };
  const search = new URLSearchParams(query);
  if (reads === 'pages') return { upTo: (end: string) => readPages(search, headers, end) };
  const stream =
    reads === 'WebSocket'
      ? await connect(server.wsUrl, { query, headers })
      : await openEventStream(`${eventsUrl}?${search}`, headers);
  const upTo = async (end: string) => {
    await stream.until(({ id }) => seqOf(id) >= seqOf(end), 'the end of the log', 2000); // its position tells, where its scope hides the end
    void stream.close();
    return stream.frames.filter((frame) => !isOwn(frame));
  };
  return { upTo };
}

async function readPages(search: URLSearchParams, headers: Record<string, string>, end: string) {
  const all: Frame[] = [];
  search.set('limit', '3');
  for (;;) {
    const { body } = await get(`${eventsUrl}?${search}`, headers);
    all.push(...body.events);
    search.set('lastEventId', body.lastEventId);
    if (!body.more) return all.filter(({ id }) => seqOf(id) <= seqOf(end));
  }
}

const story = [fc.array(wishes, { minLength: 8, maxLength: 20 }), published, published] as const;

test('whatever its scope and its filter, a reader gets the log filtered by hand, and nothing else', async () => {
  const tell = async (readers: Wish[], past: object[], live: object[]) => {
    const { lastEventId: start } = (await get(`${eventsUrl}?from=latest`, everything)).body;
    const { status, text } = await post(eventsUrl, past, everything);
    assert.equal(status, 201, text);
    const streams = await Promise.all(readers.map((wish) => open(wish, start)));
    for (const event of live) await post(eventsUrl, event, everything);
    const log = (await get(`${eventsUrl}?limit=1000&lastEventId=${start}`, everything)).body;
    const got = await Promise.all(streams.map(({ upTo }) => upTo(log.lastEventId)));
    for (const [i, wish] of readers.entries())
      assert.deepEqual(
        got[i],
        log.events.filter((event: Frame) => maySee(wish, event)),
        JSON.stringify(wish),
      );
  };
  await fc.assert(fc.asyncProperty(...story, tell), {
    seed: SEED,
    numRuns: Number(process.env.PROPERTY_RUNS || 4),
    endOnFailure: true,
    includeErrorInReport: true,
  });
});
