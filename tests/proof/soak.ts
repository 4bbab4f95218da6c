// The same proofs for as long as you like: `npm run soak -- --minutes 30`. Crashes, clients in waves, a herd,
// and random inputs with new seeds in every round; the first broken promise ends it, with the seed to repeat it.
// `npm run soak -- page worst --minutes 0` runs these parts alone, and once. DATABASE_URL names another database for the crashes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { surviveCrashes } from '../support/chaos.ts';
import { eventually, get, post, ROOT, range, startServer } from '../support/helpers.ts';
import { handlesOf, herd, MEGABYTE, memoryOf, wave } from '../support/many-clients.ts';
import { besideFlooders, besideHerd, quantile } from '../support/neighbours.ts';
import { startCluster } from '../support/postgres-cluster.ts';
import { deaf, head } from '../support/raw-http.ts';
import { stripTypes } from '../support/typescript.ts';
import { besideWorst } from '../support/worst.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string' },
    inputs: { type: 'string', default: '10000' },
  },
});
const end = Date.now() + Number(values.minutes) * 60_000;
let seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));

const server = await startServer({ HEARTBEAT_SECONDS: '1' });
let clients = 0;
let settled: { memory: number; handles: number } | undefined;

/** These test files, with more of what is left to chance; what they print is told only where one of them is red. */
function runTests(files: string[], more: Record<string, string>, ...flags: string[]): void {
  const options = { cwd: ROOT, env: { ...process.env, ...more }, encoding: 'utf8' } as const;
  const { status, stdout } = spawnSync(process.execPath, [...stripTypes, '--test', ...flags, ...files], {
    ...options,
    maxBuffer: 100 * MEGABYTE,
  });
  assert.equal(status, 0, stdout);
}

/** 5,000 clients come and go on one server that lives as long as the soak. */
async function tide(): Promise<string> {
  const publish = () => post(`${server.url}/api/events`, { message: 'to all of them' });
  for (const _ of range(1, 25)) await Promise.all([wave(server, 200), publish()]);
  clients += 5000;
  const now = { memory: memoryOf(server), handles: handlesOf(server) };
  settled ??= now; // the first tide fills caches
  assert.ok(
    now.handles <= settled.handles + 10,
    `${now.handles} handles, ${settled.handles} after the first tide`,
  );
  assert.ok(now.memory <= settled.memory + 100 * MEGABYTE, `memory grew to ${now.memory} bytes`);
  assert.equal(server.output.stderr, '');
  return `${clients} clients so far, ${Math.round(now.memory / MEGABYTE)} MB, ${now.handles} handles`;
}

function inputs(): string {
  const files = ['proof/fuzz', 'proof/properties', 'http/bounds'].map((name) => `tests/${name}.test.ts`);
  runTests(files, { SEED: String(seed), FUZZ_RUNS: values.inputs, PROPERTY_RUNS: '200', BODIES_MB: '0' });
  return `${Math.ceil(3.25 * Number(values.inputs))} inputs, 200 lives`; // one of the four tests has a quarter of the runs
}

/** A hundred stalled clients that miss 2 GB in all cost the server what they cost it when they miss 500 MB. */
function stalled(): string {
  runTests(['tests/proof/many-clients.test.ts'], { BATCH: '2000' }, '--test-name-pattern=stalled');
  return '20,000 events of 1 KB were missed by a hundred';
}

/** A row that is more than PostgreSQL can hold as JSON, and takes gigabytes while it is tried. */
function rows(): string {
  runTests(['tests/store/postgres-writers.test.ts'], { ROW_MB: '280' }, '--test-name-pattern=over 1 MiB');
  return 'a row of 280 MB was told by its key';
}

/** Copies of tables on both databases, through cuts, crashes and restored backups. */
function copies(): string {
  runTests(['tests/proof/live-tables.test.ts'], { SEED: String(seed), PROPERTY_RUNS: '10' });
  return '40 stories of copies';
}

/** What learners write instead of the lessons' lines is met by a sentence of its own; each rung is tried on all promises. */
function workshop(): string {
  const files = ['mistakes.soak', 'desk.soak', 'lessons.test', 'ladder.test'].map(
    (name) => `tests/lessons/${name}.ts`,
  );
  runTests(files, { LADDER: 'all' });
  return 'each likely mistake in a lesson has its sentence, each rung keeps all that is below it';
}

/** The page: bursts of 20,000, and each of its states looked at by all rules in each size and colour. */
function page(): string {
  const files = ['load', 'states', 'stage'].map((name) => `tests/public/page-${name}.test.ts`);
  runTests(files, { BURST: '20000', LOOKS: 'all' }, '--test-concurrency=1');
  return 'the page under bursts of 20,000, and its looks';
}

/** Answers that nobody takes are cut off after 30 s without a byte; who takes a little now and then is not. */
async function unread(): Promise<string> {
  const page = head('GET /api/events?limit=1000').repeat(60);
  for (const data of range(1, 12))
    await post(`${server.url}/api/events`, { data: String(data).repeat(30_000) });
  const count = async () =>
    Number(/\{reason="unread"\} (\d+)/.exec((await get(`${server.url}/metrics`)).text)![1]);
  const before = await count();
  const slow = deaf(server.port, page);
  const silent = range(1, 10).map(() => deaf(server.port, page));
  const sips = setInterval(() => slow.read(), 200);
  await eventually(count, (now) => now >= before + 10, 'ten are cut off', 60_000);
  clearInterval(sips);
  assert.equal(await count(), before + 10, 'who takes a little is not cut off');
  for (const socket of [slow, ...silent]) socket.destroy();
  return '10 silent readers were cut off';
}

/** Whoever does his worst, on either database: 99 of 100 requests of somebody else take less than 50 ms. */
async function worst(): Promise<string> {
  const cluster = await startCluster();
  const databases: Record<string, Record<string, string>> = {
    SQLite: {},
    PostgreSQL: { DATABASE_URL: await cluster.createDatabase('worst') },
  };
  const lines: string[] = [];
  for (const [name, env] of Object.entries(databases)) {
    for (const [what, wait] of await besideWorst(env)) {
      lines.push(`${name}, one ${what}: ${wait.toFixed(1)} ms`);
      assert.ok(wait < 50, lines.join('\n'));
    }
  }
  await cluster.stop();
  return lines.join('\n');
}

/** Twenty that flood with pings don't double what somebody else waits. */
async function flooders(): Promise<string> {
  const { usual, slow } = await besideFlooders(20);
  const line = `nine of ten events within ${slow.toFixed(1)} ms, alone within ${usual.toFixed(1)} ms`;
  assert.ok(slow < 2 * usual, line);
  return line;
}

/** A herd from all over the log: those at the head hear all as soon as ever, and it is done as soon as one from one place. */
async function beside(): Promise<string> {
  const herd = { clients: 2000, events: 100_000 };
  const { posts, after, herdMs } = await besideHerd(herd);
  const [post, late, worst] = [quantile(posts, 0.75), quantile(after, 0.75), quantile(after, 0.99)];
  assert.ok(late < 0.4 * post, `${late} ms after the answer, which took ${post} ms`);
  assert.ok(worst < 200, `one of a hundred came ${worst} ms after its answer`);
  const { herdMs: togetherMs } = await besideHerd({ ...herd, isSpread: false });
  assert.ok(herdMs < 2 * togetherMs, `a herd of ${herdMs} ms, and of ${togetherMs} ms from one place`);
  return `live events ${Math.round(worst)} ms after their answer at p99, beside a herd of ${Math.round(herdMs)} ms (${Math.round(togetherMs)} ms from one place)`;
}

const parts: Record<string, () => Promise<string> | string> = {
  crashes: async () =>
    JSON.stringify(
      await surviveCrashes({
        databaseUrl: process.env.DATABASE_URL,
        seed,
        crashes: 8,
        writers: 10,
        subscribers: 20,
      }),
    ),
  tide,
  unread,
  stalled,
  rows,
  worst,
  flooders,
  beside,
  herd: async () => `2,000 clients in ${Math.round(await herd(2000))} ms`,
  inputs,
  copies,
  workshop,
  page,
};

const unknown = positionals.filter((name) => !(name in parts));
assert.deepEqual(unknown, [], `the parts are ${Object.keys(parts).join(', ')}`);
const chosen = Object.entries(parts).filter(
  ([name]) => positionals.length === 0 || positionals.includes(name),
);

do {
  for (const [name, part] of chosen) {
    const startedAt = performance.now();
    try {
      const told = await part();
      const seconds = Math.round((performance.now() - startedAt) / 1000);
      console.log(`${new Date().toISOString()} seed ${seed} ${name}, ${seconds} s: ${told}`);
    } catch (error) {
      console.error(`${name} failed; again with: npm run soak -- ${name} --seed ${seed}`);
      throw error;
    }
  }
  seed++;
} while (Date.now() < end);
assert.equal((await server.stop()).code, 0);
