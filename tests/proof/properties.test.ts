// Random lives of clients: writes, cuts, resumes at any cursor, filters, silences and retention, in any order.
// The model is the log itself, as one undisturbed client saw it: whatever happened, each stream must be that
// log from its cursor on, without a gap, a repeat or a stranger, and a reset only where the log was cut short.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Database, Statement } from 'better-sqlite3';
import fc from 'fast-check';
import { openDatabase } from '../../lib/store/sqlite.ts';
import {
  type Client,
  connect,
  type EventStream,
  type Frame,
  isOwn,
  openEventStream,
  post,
  type Server,
  seqOf,
  startServer,
} from '../support/helpers.ts';

const OPTIONS = {
  numRuns: Number(process.env.PROPERTY_RUNS || 30),
  ...(process.env.PROPERTY_RUNS ? {} : { interruptAfterTimeLimit: 4000 }), // a silence takes a second
  ...(process.env.SEED ? { seed: Number(process.env.SEED) } : {}),
};
const TYPES = ['order.paid', 'order.shipped', 'ordered', 'alarm'];
const FILTERS = ['', 'order.*', 'alarm,ordered', 'order.paid,nothing.*'];

let server: Server;
let database: Database;
let insert: Statement;
let remove: Statement;
let recorder: Client; // the model: every event there ever was
let beginning: string; // the id of position 0
let pruned = 0;
before(async () => {
  server = await startServer({ HEARTBEAT_SECONDS: '1' });
  database = openDatabase(server.databaseFile, { timeout: 5000 });
  insert = database.prepare('INSERT INTO changebell_events (type) VALUES (?)');
  remove = database.prepare('DELETE FROM changebell_events WHERE seq <= ?');
  recorder = await connect(server.wsUrl);
  beginning = (await recorder.next()).id;
});
after(async () => {
  database.close();
  await server.stop();
});

const idAt = (seq: number) =>
  seq === 0 ? beginning : recorder.events().find((event) => seqOf(event.id) === seq)!.id;

/** What one stream was told from its first frame on, and what it had asked for. */
type Segment = { asked: number | undefined; filter: string; stream: Client | EventStream };
type Life = { filter: string; isWebSocket: boolean; segments: Segment[] };

const cursorOf = ({ segments }: Life) => {
  const frames = segments.flatMap(({ stream }) => stream.frames);
  return frames.at(-1)?.id;
};

async function open(life: Life, id: string | undefined): Promise<void> {
  const query = new URLSearchParams({
    ...(life.filter ? { types: life.filter } : {}),
    ...(id === undefined ? {} : { lastEventId: id }),
  });
  const stream = life.isWebSocket
    ? await connect(`${server.wsUrl}?${query}`)
    : await openEventStream(`${server.url}/api/events?${query}`);
  life.segments.push({ asked: id === undefined ? undefined : seqOf(id), filter: life.filter, stream });
  await stream.next();
}

function cut({ segments }: Life): void {
  const stream = segments.at(-1)?.stream;
  if (stream && 'socket' in stream) stream.socket.terminate();
  else stream?.close();
}

type Step = { act: string; who: number; number: number };
const steps = fc.array(
  fc.record({
    act: fc.constantFrom(
      'write',
      'write',
      'burst',
      'outside',
      'resume',
      'rewind',
      'fresh',
      'prune',
      'overtake',
    ),
    who: fc.nat(4),
    number: fc.nat(1000),
  }),
  { minLength: 5, maxLength: 40 },
);

async function take({ act, number }: Step, life: Life): Promise<void> {
  const type = TYPES[number % TYPES.length]!;
  const write = () => post(`${server.url}/api/events`, { type, data: number });
  const head = seqOf(recorder.frames.at(-1)!.id);
  if (act === 'write') await write();
  if (act === 'burst') await Promise.all(Array.from({ length: 1 + (number % 20) }, write));
  if (act === 'outside') insert.run(type);
  if (act === 'prune') prune(head - (number % 50));
  const stream = life.segments.at(-1)?.stream;
  if (act === 'overtake' && number % 16 === 0 && stream && 'socket' in stream) {
    stream.socket.send('{"lab":"mute","seconds":1}');
    const sent = await Promise.all(Array.from({ length: 1 + (number % 9) }, write));
    const newest = Math.max(...sent.map(({ body }) => seqOf(body.id)));
    await recorder.until((frame) => seqOf(frame.id) >= newest);
    prune(newest - (number % 7)); // what the silent one has not seen is gone, or some of it
  }
  if (act !== 'resume' && act !== 'rewind' && act !== 'fresh') return;
  cut(life);
  if (act === 'fresh') return open(life, undefined);
  return open(life, act === 'resume' ? cursorOf(life) : idAt(Math.max(0, head - (number % 100))));
}

function prune(upTo: number): void {
  if (upTo <= pruned) return;
  remove.run(upTo);
  pruned = upTo;
}

function lets(filter: string, { type }: Frame): boolean {
  const items = filter.split(',');
  return items.some((item) =>
    item.endsWith('.*') ? type.startsWith(item.slice(0, -1)) : item === type || !item,
  );
}

/** Walks along what a stream was told: between two frames the model has nothing that it wanted. */
function check({ asked, filter, stream }: Segment, model: Frame[]): void {
  const first = stream.frames[0]!;
  let position = asked ?? seqOf(first.id);
  assert.match(first.type, /^stream\.(ready|reset)$/);
  for (const frame of stream.frames) {
    const seq = seqOf(frame.id);
    const context = `${frame.type} ${frame.id} after ${position}, asked ${asked}, types=${filter}`;
    if (frame.type === 'stream.reset') {
      assert.ok(frame.data.reason === 'expired' && position < pruned && seq >= position, context);
      position = seq;
      continue;
    }
    const wanted = model.filter((event) => seqOf(event.id) > position && seqOf(event.id) <= seq);
    const left = wanted.filter((event) => lets(filter, event));
    assert.deepEqual(isOwn(frame) ? [] : [frame], left, context);
    position = seq;
  }
}

test('whatever happens to a client, what it is told is the log from its cursor on', () =>
  fc.assert(
    fc.asyncProperty(steps, async (story) => {
      const lives: Life[] = FILTERS.concat('').map((filter, index) => ({
        filter,
        isWebSocket: index % 2 === 0,
        segments: [],
      }));
      await Promise.all(lives.map((life) => open(life, undefined)));
      for (const step of story) await take(step, lives[step.who]!);
      const last: Frame[] = []; // one for each filter
      for (const type of ['alarm', 'order.paid'])
        last.push((await post(`${server.url}/api/events`, { type })).body);
      const told = async ({ filter, segments }: Life) => {
        const { id } = last.findLast((event) => lets(filter, event))!;
        await segments.at(-1)!.stream.until((frame) => seqOf(frame.id) >= seqOf(id));
      };
      await recorder.event(last[1]!.id);
      await Promise.all(lives.map(told));
      const model = recorder.events();
      for (const { segments } of lives) for (const segment of segments) check(segment, model);
      lives.forEach(cut);
    }),
    OPTIONS,
  ));
