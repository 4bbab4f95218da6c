// Lesson 6: who does not read is not written to. Its events wait in the log, and not in our memory.
import assert from 'node:assert/strict';
import type { Page } from '../page.ts';
import type { Program } from '../program.ts';
import type { Checks } from './check.ts';

const EVENTS = 240;
const BYTES = 60_000; // 14 MB in all: the kernel takes some 4 MB before we see that nobody reads
const MAX_WAITING_BYTES = 1024 * 1024;

/**
 * Publishes large events one by one, each told before the next comes: of several at once the hub hands out one chunk and
 * waits, so that a mark that nobody looks at would not be seen. @returns the id of the last one
 */
async function publishMany(program: Program): Promise<string> {
  const event = { type: 'load', data: 'x'.repeat(BYTES) };
  for (let i = 0; i < EVENTS; i += 1) await program.publish(event);
  return (await program.publish({ message: 'last' })).event.id;
}

/** The most that waits for any client. */
async function mostWaiting(program: Program): Promise<number> {
  const { clients } = await program.get<{ clients: { bufferedBytes: number }[] }>('/api/clients');
  return Math.max(0, ...clients.map(({ bufferedBytes }) => bufferedBytes));
}

type Scene = { ada: Page; bob: Page; last: string; waiting: number };
const scenes = new WeakMap<Program, Promise<Scene>>();

/** Ada stops reading, Bob reads, and 14 MB are published: once for each program, since it takes a while. */
function sceneOf(program: Program): Promise<Scene> {
  const known = scenes.get(program);
  if (known) return known;
  const scene = play(program);
  scenes.set(program, scene);
  return scene;
}

async function play(program: Program): Promise<Scene> {
  const [ada, bob] = [await program.open(), await program.open()];
  ada.stopReading();
  const last = await publishMany(program);
  await bob.hears(last);
  return { ada, bob, last, waiting: await mostWaiting(program) };
}

export const slow: Checks = {
  env: { LAB: '1', HEARTBEAT_SECONDS: '3600' },
  checks: [
    {
      promise: 'one that does not read does not fill the memory',
      async run(program) {
        const { waiting } = await sceneOf(program);
        const megabytes = (waiting / 1e6).toFixed(1);
        const sentence = `Ada does not read, 14 MB were published, and ${megabytes} MB wait for her in our memory: at most 1 MB may.`;
        assert.ok(waiting <= MAX_WAITING_BYTES, sentence);
      },
    },
    {
      promise: 'nor does anyone wait for it',
      async run(program) {
        const { bob } = await sceneOf(program);
        assert.equal(
          bob.told.length,
          EVENTS + 1,
          `Bob reads, and was told ${bob.told.length} of ${EVENTS + 1}.`,
        );
      },
    },
    {
      promise: 'when it reads on, it gets everything, in order',
      async run(program) {
        const { ada, bob, last } = await sceneOf(program);
        ada.readOn();
        await ada.hears(last);
        const sentence = `Ada reads on, and was told ${ada.told.length} of ${EVENTS + 1}.`;
        assert.equal(ada.told.length, EVENTS + 1, sentence);
        assert.deepEqual(ada.told, bob.told, 'Ada was told everything, but in another order than Bob.');
      },
    },
  ],
};
