// Lesson 4: a change and its event are one transaction, whoever makes it. So there is never one without the other.
import assert from 'node:assert/strict';
import type { Event, Program } from '../program.ts';
import type { Checks } from './check.ts';

/** What came to the log while `change` ran. */
async function eventsOf(program: Program, change: () => unknown): Promise<Event[]> {
  const readAll = async () => (await program.get<{ events: Event[] }>('/api/events?limit=1000')).events;
  const before = await readAll();
  await change();
  return (await readAll()).slice(before.length);
}

export const commit: Checks = {
  checks: [
    {
      promise: 'a customer is saved with its event',
      async run(program) {
        let json = '';
        const events = await eventsOf(program, async () => {
          json = (await program.post('/api/customers', { name: 'Ada' })).text;
        });
        assert.equal(events.length, 1, `One customer was saved, and the log holds ${events.length} events.`);
        const { type, source, data } = events[0]!;
        assert.equal(
          type,
          'customer.created',
          `The event's type is ${type}, and should be customer.created.`,
        );
        assert.match(
          source,
          /^\/api\/customers\/\d+$/,
          `The event's source is ${source}, and should be the customer's path.`,
        );
        assert.deepEqual(
          data,
          JSON.parse(json),
          `The event's data should be the customer as the API shows it: ${json}`,
        );
      },
    },
    {
      promise: 'whoever saves it',
      async run(program) {
        const events = await eventsOf(program, () =>
          program.byHand("INSERT INTO customers (name) VALUES ('Bob')"),
        );
        assert.equal(
          events.length,
          1,
          `Another program inserted Bob, and the log got ${events.length} events: who writes it when it is not our code?`,
        );
      },
    },
    {
      promise: 'what is rolled back was never said',
      async run(program) {
        const sql = "BEGIN; INSERT INTO customers (name) VALUES ('Cyd'); ROLLBACK";
        const events = await eventsOf(program, () => program.byHand(sql));
        assert.equal(events.length, 0, 'Cyd was rolled back, and yet there is an event.');
      },
    },
  ],
};
