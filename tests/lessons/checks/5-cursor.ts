// Lesson 5: a cursor is the last event that a client has seen. It goes on after that one, or is told why it can't.
import assert from 'node:assert/strict';
import type { Page } from '../page.ts';
import type { Program } from '../program.ts';
import { type Checks, listOf, numbersOf } from './check.ts';

const KEPT = 20;

/** Publishes so many changes. @returns their ids */
async function publish(program: Program, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i += 1) ids.push((await program.publish({ message: 'hello' })).event.id);
  return ids;
}

/** What a page was told first, as far as cursors go: `behind` or the reason of a reset. */
const verdictOf = (page: Page): unknown => page.first?.data?.reason ?? page.first?.data?.behind;

/** The same id at another position. */
const moved = (id: string, seq: number): string => id.replace(/-\d+$/, `-${seq}`);

export const cursor: Checks = {
  env: { EVENT_RETENTION: String(KEPT) },
  checks: [
    {
      promise: 'a page that was away is told what it missed',
      async run(program) {
        const ids = await publish(program, 4);
        const ada = await program.open(ids[1]);
        await ada.hears(ids[3]!);
        const told = listOf(numbersOf(ada.told, ids));
        assert.equal(
          told,
          '3, 4',
          `Ada had seen 1 and 2. 3 and 4 came while she was away. She was told: ${told}.`,
        );
        const behind = verdictOf(ada);
        assert.equal(behind, 2, `Ada had missed 2, and her first frame says that she is ${behind} behind.`);
      },
    },
    {
      promise: 'then it hears what follows, each once',
      async run(program) {
        const ids = await publish(program, 3);
        const ada = await program.open(ids[0]);
        ids.push(...(await publish(program, 2)));
        await ada.hears(ids[4]!);
        const told = listOf(numbersOf(ada.told, ids));
        assert.equal(
          told,
          '2, 3, 4, 5',
          `Ada had seen 1, missed 2 and 3, and was there for 4 and 5. She was told: ${told}.`,
        );
      },
    },
    {
      promise: 'a page without a cursor starts at the newest',
      async run(program) {
        const ids = await publish(program, 2);
        const ada = await program.open();
        ids.push(...(await publish(program, 1)));
        await ada.hears(ids[2]!);
        const told = listOf(numbersOf(ada.told, ids));
        assert.equal(
          told,
          '3',
          `Ada is new: 1 and 2 were there before her, 3 came after. She was told: ${told}.`,
        );
      },
    },
    {
      promise: 'who has seen the newest is told nothing, and not sent away',
      async run(program) {
        const ids = await publish(program, 2);
        const verdict = verdictOf(await program.open(ids[1]));
        assert.equal(verdict, 0, `Ada has seen everything: she is 0 behind, and was told: ${verdict}.`);
      },
    },
    {
      promise: 'a cursor of another log is told so',
      async run(program) {
        const [id] = await publish(program, 1);
        const verdict = verdictOf(await program.open(id!.replace(/^[^-]+/, 'abcdef12')));
        assert.equal(
          verdict,
          'unknown-log',
          `Ada comes with the position of 1, and a stamp of another log: she must be told 'unknown-log', and was told: ${verdict}.`,
        );
      },
    },
    {
      promise: 'a cursor beyond the newest is told so',
      async run(program) {
        const [id] = await publish(program, 1);
        const verdict = verdictOf(await program.open(moved(id!, 9999)));
        assert.equal(
          verdict,
          'ahead',
          `Ada comes with position 9999, which is not yet: she must be told 'ahead', and was told: ${verdict}.`,
        );
      },
    },
    {
      promise: 'a cursor older than what is kept is told so, and no other',
      async run(program) {
        const ids = await publish(program, KEPT + 3);
        const { status, text } = await program.ask('GET', '/api/events?limit=1000');
        assert.equal(
          status,
          200,
          `All that is kept was asked for, from the last that is gone: nothing is lost, and the answer was ${status}, 'expired'.`,
        );
        const { events } = JSON.parse(text) as { events: { id: string }[] };
        assert.equal(
          events.length,
          KEPT,
          `${KEPT} events are kept, and a page of them all holds ${events.length}.`,
        );
        const oldest = ids.indexOf(events[0]!.id); // the last that is gone stands before it
        const lost = verdictOf(await program.open(ids[oldest - 2]));
        assert.equal(
          lost,
          'expired',
          `The event after Ada's cursor is no longer kept: she must be told 'expired', and was told: ${lost}.`,
        );
        const whole = verdictOf(await program.open(ids[oldest - 1]));
        assert.equal(
          whole,
          ids.length - oldest,
          `All events after Ada's cursor are kept: she has lost nothing, and was told: ${whole}.`,
        );
      },
    },
  ],
};
