// Lesson 4: a change and its event are one transaction, whoever makes it. So there is never one without the other.
// Another program comes first: our own looks after its changes, and takes one back that has no event.
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
        const events = await eventsOf(program, () =>
          program.byHand("INSERT INTO customers (name) VALUES ('Ada')"),
        );
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
        const customer = await program.get<unknown>(source);
        assert.deepEqual(
          data,
          customer,
          `The event's data should be the customer as the API shows it: ${JSON.stringify(customer)}`,
        );
      },
    },
    {
      promise: 'whoever saves it',
      async run(program) {
        let status = 0;
        const events = await eventsOf(program, async () => {
          ({ status } = await program.post('/api/customers', { name: 'Bob' }));
        });
        assert.equal(
          status,
          201,
          `Bob was added over HTTP, and the answer was ${status || 'nothing'}: without its event a change is taken back.`,
        );
        assert.equal(
          events.length,
          1,
          `Bob was added over HTTP, and the log got ${events.length} events: the trigger should write one, and nobody else.`,
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
