// kill -9 in the middle of everything. What was acknowledged is on disk, once; a client that was cut off
// goes on from its last id with the restarted server, as if nothing had happened.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, type Frame, get, isOwn, post, range, seqOf, seqsOf, startServer } from './helpers.ts';

type Customer = { id: number; name: string };

test('kill -9 under load: every acknowledged write is there once, and a client resumes without gap or repeat', async () => {
  let server = await startServer();
  const databaseFile = server.databaseFile;
  const acknowledged: string[] = [];
  const seen: Frame[] = [];
  let serial = 0;

  for (let round = 1; round <= 3; round++) {
    const { url, wsUrl } = server;
    const lastEventId = seen.at(-1)?.id;
    const client = await connect(wsUrl, { query: lastEventId ? { lastEventId } : {} });
    assert.equal((await client.next()).type, 'stream.ready');

    const writers = range(1, 8).map(async () => {
      for (;;) {
        const name = `customer ${++serial}`;
        const answer = await post(`${url}/api/customers`, { name }).catch(() => undefined);
        if (!answer) return; // the server is gone: this one may be there or not
        assert.equal(answer.status, 201, answer.text);
        acknowledged.push(name);
      }
    });
    const enough = acknowledged.length + 150;
    while (acknowledged.length < enough) await client.nextEvent();
    await server.kill9();
    await Promise.all([...writers, client.closed]);
    seen.push(...client.events());
    server = await startServer({ DATABASE_URL: databaseFile });
  }

  const stored: Customer[] = [];
  for (let next: string | null = '/api/customers?limit=500'; next; ) {
    const { body } = await get(server.url + next);
    stored.push(...body.customers);
    next = body.next;
  }
  const names = stored.map((customer) => customer.name);
  assert.equal(new Set(names).size, names.length, 'nothing is there twice');
  const missing = new Set(acknowledged);
  for (const name of names) missing.delete(name);
  assert.deepEqual([...missing], [], 'nothing that was acknowledged is lost');

  const client = await connect(server.wsUrl, { query: { lastEventId: seen.at(-1)!.id } });
  const { body: last } = await post(`${server.url}/api/events`, { message: 'the end' });
  await client.until((frame) => frame.id === last.id && !isOwn(frame));
  seen.push(...client.events());
  assert.deepEqual(seqsOf(seen), range(1, seqOf(last.id)), 'no gap and no repeat');
  const announced = seen.filter((event) => event.type === 'customer.created').map((event) => event.data);
  assert.deepEqual(
    announced,
    stored,
    'a change without an event, or an event without its change, does not exist',
  );
  await client.close();
  await server.stop();
});
