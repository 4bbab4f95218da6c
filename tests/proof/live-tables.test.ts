// A LiveTable is the table, on both engines, of customers and of a watched table: whatever is written by whom, cut,
// killed, pruned, made anew or restored. And no row of it ever shows what was never true of that row, or goes back to what
// it was before. A witness in the database itself knows every state that a row ever had.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { WebSocket } from 'ws';
import { LiveTable } from '../../public/changebell.js';
import {
  Application,
  assertIsLater,
  assertWasTrue,
  Copy,
  type Later,
  readAll,
  SETTLE_MS,
} from '../support/copies.ts';
import { del, patch, post, skipWithout, within } from '../support/helpers.ts';
import { openServer } from '../support/open-server.ts';
import { INITDB } from '../support/postgres-cluster.ts';
import {
  type History,
  onPostgres,
  onSqlite,
  openWorld,
  ROWS,
  type Row,
  sharedCluster,
  stopSharedCluster,
  type World,
} from '../support/told-table.ts';

const SEED = Number(process.env.SEED ?? Date.now() % 1e9);
const RUNS = Number(process.env.PROPERTY_RUNS || 1);
after(stopSharedCluster);

type Deed = (row: number) => unknown;
type Step = { does: string; row: number };

// Each story has all of these, in an order of its own: what breaks a copy needs two or three of them together.
const WRITES = 'add rename remove addOutside renameOutside removeOutside rolledBack published'.split(' ');
const COPIES = 'cut resume kill readBehind openLate awayInLoad'.split(' ');
const allOf = (isWatched: boolean, mayRestoreUnder: boolean) => [
  ...[...WRITES, ...COPIES, ...WRITES, 'away', 'awayTwice', 'crash', 'restore'],
  ...(isWatched ? ['makeAnew'] : []),
  ...(mayRestoreUnder ? ['restoreUnder'] : []),
];
const storyOf = (deeds: string[]) => {
  const order = fc.shuffledSubarray([...deeds.keys()], { minLength: deeds.length });
  const rows = fc.array(fc.nat(ROWS - 1), { minLength: deeds.length, maxLength: deeds.length });
  return fc
    .tuple(order, rows)
    .map(([places, chosen]) => places.map((place, i): Step => ({ does: deeds[place]!, row: chosen[i]! })));
};

/** One story: the copies that are in it, and what they must have shown in the end. */
class Story {
  readonly copies: Copy[];
  private readonly world: World;
  private readonly application: Application;
  /** Of a history that was replaced, all that it was. */
  private readonly lost: History[] = [];
  /** By the history in which it was seen. */
  private readonly seen: { of: number; later: Later[] }[] = [];
  private readonly deeds: Record<string, Deed>;
  private isQuiet = false;
  private isOver = false;
  private n = 0;

  constructor(world: World) {
    this.world = world;
    this.copies = [new Copy(world, 'WebSocket'), new Copy(world, 'server-sent events')];
    this.application = new Application(world);
    this.deeds = { ...this.writes(), ...this.ofCopies(), ...this.ofServers() };
  }

  /** No two rows ever have the same. */
  private name(what: string) {
    this.n += 1;
    return `${what} ${process.pid} ${this.n}`;
  }

  private writes(): Record<string, Deed> {
    const { table, sql, isWatched, url, source } = this.world;
    const at = (row: number) => `${url}/${1 + row}`;
    const outside: Record<string, Deed> = {
      addOutside: () => sql(`INSERT INTO ${table} (name) VALUES ('${this.name('added outside')}')`),
      renameOutside: (row) =>
        sql(
          `UPDATE ${table} SET name = '${this.name('outside')}' WHERE id % 3 = ${row % 3} AND id BETWEEN 10 AND 60`,
        ),
      removeOutside: (row) => sql(`DELETE FROM ${table} WHERE id % 40 = ${row % 40} AND id > 1`),
      rolledBack: (row) => sql(`BEGIN; UPDATE ${table} SET name = 'never' WHERE id = ${1 + row}; ROLLBACK`),
      touch: (row) => sql(`UPDATE ${table} SET name = '${this.name('touched')}' WHERE id = ${1 + row}`),
      // What only looks like one of its events.
      published: (row) => {
        const type = `${isWatched ? table : 'customer'}.noted`;
        const data = { id: 1 + row, name: 'never' };
        return post(`${this.world.server().url}/api/events`, { type, source: `${source}/${1 + row}`, data });
      },
    };
    const inside: Record<string, Deed> = {
      add: () => post(url, { name: this.name('added') }),
      rename: (row) => patch(at(row), { name: this.name('renamed') }),
      remove: (row) => del(at(row)),
    };
    const { addOutside, touch, removeOutside } = outside;
    const watched = { add: addOutside!, rename: touch!, remove: removeOutside! };
    return { ...outside, ...(isWatched ? watched : inside) };
  }

  private ofCopies(): Record<string, Deed> {
    const { world, copies } = this;
    const one = (row: number) => copies[row % copies.length]!;
    // More than is kept.
    const burst = () =>
      world.sql(`UPDATE ${world.table} SET name = '${this.name('burst')}' WHERE id > 100 AND id <= 350`);
    const away = (copy: Copy) => copy.missTooMuch(world, burst);
    return {
      cut: () => world.line.cut(),
      resume: (row) => one(row).table.stream.disconnect(),
      away: async (row) => {
        await away(one(row));
        await this.readBehind(one(row));
      },
      // The line breaks while the snapshot is under way.
      awayInLoad: async (row) => {
        await away(one(row));
        await delay(row % 40);
        world.line.cut();
        await this.readBehind(one(row));
      },
      // A newer reset comes while the snapshot is under way.
      awayTwice: async (row) => {
        await away(one(row));
        await away(one(row));
        await this.readBehind(one(row));
      },
      openLate: async (row) => {
        const copy = new Copy(world, row % 2 ? 'WebSocket' : 'server-sent events');
        copies.push(copy);
        await this.readBehind(copy);
      },
      readBehind: (row) => this.readBehind(one(row)),
      kill: (row) =>
        this.look((world) => this.application.die(world, async () => this.deeds.renameOutside!(row))),
    };
  }

  /** Twice: what a snapshot got wrong is seen behind it. */
  private async readBehind(copy: Copy) {
    for (const _ of [1, 2]) await this.look((world) => copy.readBehind(world));
  }

  private async look(read: (world: World) => Promise<Later[]>) {
    const of = this.lost.length;
    const later = await read(this.world);
    if (of === this.lost.length) this.seen.push({ of, later });
  }

  private ofServers(): Record<string, Deed> {
    const { world } = this;
    const restore = async (putBack: () => Promise<void>) => {
      this.lost.push(await world.history());
      await putBack();
    };
    const restoreUnder = async () => {
      // Each has what will be lost, and the server a second to find out: until then it says what was.
      await this.deeds.addOutside!(0);
      const { lastEventId } = await readAll(world);
      for (const { table } of this.copies)
        await within(table.reached(lastEventId), 'what will be lost', SETTLE_MS);
      const told = this.copies.map((copy) => copy.isReset());
      const lost = this.copies.map(({ table }) => table.reached('00000000-999999999')); // who waits for it need not any more
      await restore(world.putBackUnder!);
      await Promise.all(told);
      await within(Promise.all(lost), 'an end to the wait for what is lost', SETTLE_MS);
    };
    // Looked at before anything else can put it right, and behind a few events more.
    const andLook = (deed: () => Promise<void>) => async () => {
      await deed();
      await this.deeds.renameOutside!(0);
      await Promise.all(this.copies.map((copy) => this.readBehind(copy)));
    };
    return {
      crash: andLook(() => world.crash()),
      makeAnew: andLook(() => world.crash(() => world.makeAnew(this.name('anew')))),
      restore: andLook(() => world.crash(() => restore(world.putBack))),
      restoreUnder: andLook(restoreUnder),
    };
  }

  /** While each row is written a few times, one after another: what is loaded is overtaken, and not put right by chance. */
  private async withoutRest() {
    for (let n = 0; !this.isOver; n += 1) {
      const row = (Math.floor(n / 4) * 7) % ROWS;
      if (!this.isQuiet) await Promise.resolve(this.deeds.touch!(row)).catch(() => {});
      await delay(6); // SQLite works in this thread: the copies must have their turn
    }
  }

  async tell(steps: Step[]): Promise<void> {
    const touching = this.withoutRest();
    const underWay: Promise<unknown>[] = [];
    const quiet = async (isQuiet: boolean) => {
      this.isQuiet = isQuiet;
      const results = await Promise.allSettled(underWay.splice(0));
      for (const result of results)
        if (result.status === 'rejected' && result.reason instanceof assert.AssertionError)
          throw result.reason;
    };
    try {
      for (const { does, row } of steps) {
        const isAlone = /restore|makeAnew/.test(does);
        if (isAlone) await quiet(true); // what the lost history was must be known
        const deed = Promise.resolve(this.deeds[does]!(row));
        underWay.push(deed);
        deed.catch(() => {}); // a write of a server that crashes may fail
        if (isAlone || /crash|away/.test(does) || row % 2) await deed.catch(() => {}); // the others go on at once
        this.isQuiet = false;
      }
      await quiet(false);
    } finally {
      this.isOver = true;
      await touching;
    }
  }

  async assertTrue(steps: Step[]): Promise<void> {
    const { world, copies } = this;
    const when = steps.map(({ does, row }) => `${does} ${row}`).join(', ');
    // A position that none of them has passed yet, if it may be.
    await this.deeds.touch!(0);
    await Promise.all(copies.map((copy) => this.look(() => copy.readBehind(world, 1))));
    await this.deeds.addOutside!(0);
    for (const copy of copies) await copy.assertIsTable(world, when);
    await this.application.assertIsTable(world, when);
    const histories = [...this.lost, await world.history()];
    for (const { told } of copies) assertWasTrue(told, histories, when);
    for (const { of, later } of this.seen) assertIsLater(later, histories[of]!, when);
  }

  close(): void {
    for (const { table } of this.copies) table.close();
    this.application.close();
  }
}

const engines = [
  { engine: 'SQLite', skip: false, make: async (_: string) => onSqlite() },
  { engine: 'PostgreSQL', skip: skipWithout(INITDB, 'postgresql'), make: onPostgres },
] as const;
const kinds = [
  { table: 'customers', source: '/api/customers' },
  { table: 'items', source: '/watch/items' },
];

for (const { engine, skip, make } of engines) {
  for (const kind of kinds) {
    // A copy is the same code whatever its table is: three of the four show it, and the soak tells the dearest as well.
    if (RUNS === 1 && engine === 'PostgreSQL' && kind.table === 'items') continue;
    describe(`copies of ${kind.table} on ${engine}`, { skip }, () => {
      let world: World;
      before(async () => {
        world = await openWorld(await make(kind.table), kind);
      });
      after(() => world?.stop());

      test('after any story every copy is the table, and no row ever showed what was not true of it', async () => {
        const deeds = allOf(world.isWatched, 'putBackUnder' in world);
        const tell = async (steps: Step[]) => {
          const story = new Story(world);
          try {
            await story.tell(steps);
            await story.assertTrue(steps);
          } finally {
            story.close();
          }
        };
        const settings = { seed: SEED, numRuns: RUNS, endOnFailure: true };
        const { failed, errorInstance } = await fc.check(fc.asyncProperty(storyOf(deeds), tell), settings);
        if (failed) throw errorInstance;
      });
    });
  }
}

const needsPostgres = { skip: skipWithout(INITDB, 'postgresql') };
test(
  'reached(): a copy over one server has passed what was written over another',
  needsPostgres,
  async () => {
    const DATABASE_URL = await (await sharedCluster()).createStarted('two_servers');
    const servers = [await openServer({ DATABASE_URL }), await openServer({ DATABASE_URL })];
    const [here, there] = servers.map(({ url }) => new LiveTable<Row>(`${url}/api/customers`, { WebSocket }));
    for (let i = 0; i < 16; i += 1) {
      const [writer, copy] = i % 2 ? [servers[0]!, there!] : [servers[1]!, here!];
      const { body, headers } = await post(`${writer.url}/api/customers`, { name: `over another ${i}` });
      await within(copy.reached(headers.get('last-event-id')!), `write ${i}`);
      assert.deepEqual(copy.get(body.id), body, 'it shows the write at the very moment');
      const changed = await patch(`${writer.url}/api/customers/${body.id}`, { name: `changed ${i}` });
      await within(copy.reached(changed.headers.get('last-event-id')!), `change ${i}`);
      assert.deepEqual(copy.get(body.id), changed.body);
    }
    for (const table of [here!, there!]) table.close();
    for (const server of servers) await server.stop();
  },
);
