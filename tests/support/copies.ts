// Copies of a table as applications have them, and what each of them showed: so that a test can say afterwards whether
// all of it was true, in this order.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { ChangeStream, LiveTable } from '../../public/changebell.js';
import { eventually, get, within } from './helpers.ts';
import { GONE, type History, type Row, type World } from './told-table.ts';

export const SETTLE_MS = 10_000; // what a story may need to come to rest

/** The waits between two tries are another test's; here they would be most of the time. Not while it `isAway`. */
function hasten(stream: ChangeStream, isAway = () => false): void {
  const retry = () => stream.state === 'waiting' && !isAway() && stream.retry(1 + Math.random() * 50);
  stream.addEventListener('state', retry);
}

const stateOf = (row: Row | undefined) => (row ? JSON.stringify(row) : GONE);
const sorted = (rows: Iterable<[string, Row]>) => [...rows].sort(([a], [b]) => Number(a) - Number(b));

export async function readAll(world: World) {
  const rows = new Map<string, Row>();
  let lastEventId = '';
  for (let next: string | null = `${world.url}?limit=500`; next; ) {
    const { body } = await get(new URL(next, world.url).href);
    for (const row of body.customers ?? body.rows) rows.set(String(row.id), row);
    lastEventId = body.lastEventId;
    next = body.next;
  }
  return { rows, lastEventId };
}

/** A LiveTable over a slow line, and whoever follows its `change` events. */
export class Copy {
  readonly table: LiveTable<Row>;
  /** What its events add up to. */
  readonly mirror = new Map<string, Row>();
  /** By key, what each row was said to be, oldest first. */
  readonly told: History = new Map();
  readonly faults: string[] = [];
  private isAway = false;

  constructor(world: World, transport: 'WebSocket' | 'server-sent events') {
    const stream = transport === 'WebSocket' ? {} : { stream: new URL('/api/events', world.slowUrl) };
    this.table = new LiveTable<Row>(world.slowUrl, { WebSocket, ...stream });
    hasten(this.table.stream, () => this.isAway);
    this.table.addEventListener('change', ({ key, row, before }) => {
      const shown = [row, before].map(stateOf);
      const is = [this.table.get(key), this.mirror.get(key)].map(stateOf);
      if (shown.join() !== is.join()) this.faults.push(`${key}: told ${shown}, is ${is}`);
      if (shown[0] === shown[1]) this.faults.push(`${key}: told of no change: ${shown[0]}`);
      if (row) this.mirror.set(key, row);
      else this.mirror.delete(key);
      this.told.set(key, [...(this.told.get(key) ?? []), stateOf(row)]);
    });
  }

  /** Without a connection, but for that of a snapshot which may be under way, until its cursor has expired. */
  async missTooMuch(world: World, write: () => Promise<unknown>) {
    const { stream } = this.table;
    this.isAway = true;
    const leave = () => {
      stream.disconnect(); // again: what is only being opened is no connection yet
      return stream.state;
    };
    await eventually(leave, (state) => state === 'waiting', 'it has lost its connection');
    await write();
    const missed = new URL(`/api/events?limit=1&lastEventId=${stream.lastEventId ?? ''}`, world.url);
    // As a rule it has; where it has not, this resumes, which is as good a story.
    for (let looks = 0; looks < 40 && (await get(missed.href)).status === 200; looks += 1) await delay(10);
    let isTold = false;
    const told = () => {
      isTold = true;
    };
    stream.addEventListener('reset', told, { once: true });
    this.isAway = false;
    stream.retry();
    await eventually(() => isTold || stream.state === 'live', Boolean, 'it is told');
  }

  /** A history that was replaced is told to everyone within a second. */
  isReset() {
    const reset = new Promise((resolve) =>
      this.table.stream.addEventListener('reset', resolve, { once: true }),
    );
    return within(reset, 'a reset', 1000);
  }

  /** It is the table, at the very moment at which it says that it has reached the newest position. */
  async assertIsTable(world: World, when: string) {
    const { table } = this;
    await within(table.ready, `ready: ${table.state} ${table.stream.closeReason}`, SETTLE_MS);
    const { rows, lastEventId } = await readAll(world);
    const instead = () =>
      `${lastEventId} from ${table.stream.lastEventId}, ${table.state} ${table.stream.closeReason}: ${when}`;
    await within(table.reached(lastEventId), 'the newest position', { takes: SETTLE_MS, instead });
    assert.deepEqual(sorted(table), sorted(rows), when);
    assert.deepEqual(sorted(this.mirror), sorted(rows), `what was told: ${when}`);
    assert.deepEqual(this.faults, [], when);
  }

  readBehind(world: World, limit = 500): Promise<Later[]> {
    return readBehind(
      world,
      limit,
      (id) => this.table.reached(id),
      (key) => this.table.get(key),
    );
  }
}

/**
 * Where the table stands is asked beside a copy: as soon as that has passed it, it shows these rows, or later states.
 * @returns where it shows others, what must be no later than what
 */
async function readBehind(
  world: World,
  limit: number,
  reached: (id: string) => Promise<void>,
  rowOf: (key: string) => Row | undefined,
): Promise<Later[]> {
  const { body } = await get(`${world.url}?limit=${limit}`);
  await within(reached(body.lastEventId), 'a position that is passed', SETTLE_MS);
  const rows: Row[] = body.customers ?? body.rows;
  return rows
    .map((row) => ({ key: String(row.id), atLeast: stateOf(row), shows: stateOf(rowOf(String(row.id))) }))
    .filter(({ atLeast, shows }) => atLeast !== shows);
}

/** What a copy shows of a row, and what it must not be behind. */
export type Later = { key: string; atLeast: string; shows: string };

export function assertIsLater(all: Later[], history: History, when: string) {
  for (const { key, atLeast, shows } of all) {
    const states = history.get(key) ?? [];
    const [first, last] = [states.indexOf(atLeast), states.lastIndexOf(shows)];
    assert.ok(first >= 0 && last > first, `passed, but ${key} shows ${shows} for ${atLeast}: ${when}`);
  }
}

/** Each state that was told was true of its row, and later than the one before, in one history after another. */
export function assertWasTrue(told: History, histories: History[], when: string) {
  for (const [key, seen] of told) {
    let [at, past] = [0, 0]; // in which history, and how much of it
    for (const state of seen) {
      for (; at < histories.length; [at, past] = [at + 1, 0]) {
        // At the beginning of a history the row may not be there yet.
        const place = [GONE, ...(histories[at]!.get(key) ?? [])].indexOf(state, past);
        if (place >= 0) {
          past = place + 1;
          break;
        }
      }
      const of = histories.map((history) => history.get(key)?.slice(-8));
      assert.ok(
        at < histories.length,
        `${key} showed ${seen.slice(-8)}, and was ${JSON.stringify(of)}: ${when}`,
      );
    }
  }
}

const FIRST = 400; // so that one page is a snapshot

/**
 * An application that keeps rows and cursor together, as a database would, and takes its time for each event. It may be
 * killed at any moment: what was saved is what it goes on from.
 */
export class Application {
  private readonly world: World;
  private saved: { rows: Map<string, Row>; lastEventId: string | undefined } = {
    rows: new Map(),
    lastEventId: undefined,
  };
  private stream: ChangeStream;
  private isToDie = false;

  constructor(world: World) {
    this.world = world;
    this.stream = this.start();
  }

  private start() {
    const { world, saved } = this;
    const path = new URL('/api/events', world.slowUrl);
    const stream = new ChangeStream(path, {
      lastEventId: saved.lastEventId,
      sources: [`${world.source}/*`],
      load: async ({ signal }) => {
        const body = await (await fetch(`${world.slowUrl}?limit=${FIRST}`, { signal })).json();
        signal.throwIfAborted();
        // To load is work as well; and where the snapshot has the last write, there may be no event any more.
        if (this.isToDie && stream === this.stream) return this.killAndStart();
        saved.rows.clear();
        for (const row of body.customers ?? body.rows) this.put(saved.rows, row);
        return body.lastEventId;
      },
      loadsAfter: ({ type }) => type.endsWith('.reset'),
    });
    stream.addEventListener('message', async ({ data: { type, data } }) => {
      if (this.isToDie && stream === this.stream) return this.killAndStart();
      if (Math.random() < 0.2) await delay(1);
      else await null;
      if (type.endsWith('.deleted')) saved.rows.delete(String(data.id));
      else if (/d$/.test(type) && !type.endsWith('.noted')) this.put(saved.rows, data);
    });
    hasten(stream);
    return stream;
  }

  private put(rows: Map<string, Row>, row: Row) {
    if (row.id <= FIRST) rows.set(String(row.id), row);
  }

  /** In the middle of its next work, which never ends. What was saved by then is what it goes on from. */
  async die(world: World, write: () => Promise<unknown>): Promise<Later[]> {
    this.isToDie = true;
    await write();
    const place = () => (this.isToDie ? `${this.stream.state} at ${this.stream.lastEventId}` : 'killed');
    await eventually(place, (where) => where === 'killed', 'it is killed in its work', SETTLE_MS);
    const { stream, saved } = this;
    const later = await readBehind(
      world,
      FIRST,
      (id) => stream.reached(id),
      (key) => saved.rows.get(key),
    );
    return later.filter(({ key }) => Number(key) <= FIRST); // where rows were deleted the page has others
  }

  private killAndStart(): Promise<never> {
    this.isToDie = false;
    this.saved = { rows: new Map(this.saved.rows), lastEventId: this.stream.lastEventId };
    this.stream.close();
    this.stream = this.start();
    return new Promise(() => {});
  }

  async assertIsTable(world: World, when: string) {
    const { rows, lastEventId } = await readAll(world);
    const instead = () =>
      `${lastEventId} from ${this.stream.lastEventId}, ${this.stream.state} ${this.stream.closeReason}`;
    await within(this.stream.reached(lastEventId), 'the newest position', { takes: SETTLE_MS, instead });
    const first = sorted(rows).filter(([key]) => Number(key) <= FIRST);
    assert.deepEqual(sorted(this.saved.rows), first, `an application that is killed: ${when}`);
  }

  close() {
    this.stream.close();
  }
}
