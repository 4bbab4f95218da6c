// The judge is judged: what an inbox must notice by itself, how fast, and what its failures say.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Frame } from './frames.ts';
import { createInbox } from './inbox.ts';
import { eventually, within } from './patience.ts';

/** A frame as a server might send it; its stamp hangs on its seq, so that the same seq is the same event. */
const frame = (type: string, seq: number, data: unknown = null): Frame => ({
  specversion: '1.0',
  id: `abcdef0${seq % 10}-${seq}`,
  source: '/x',
  type,
  time: '',
  data,
});

/** An inbox to which these have come. */
function inboxOf(isFiltered: boolean, ...frames: Frame[]) {
  // Judged by nobody: such frames no server sends, so no description has them.
  const inbox = createInbox(isFiltered, () => undefined);
  for (const one of frames) inbox.add(one);
  return inbox;
}

/** The message that a wait failed with, at once: in less time than any patience. */
async function failure(wait: Promise<unknown>): Promise<string> {
  const startedAt = performance.now();
  // Not `assert.rejects`: the message is needed, and how long it took.
  const error = await wait.then(
    () => assert.fail('it did not fail'),
    (reason: Error) => reason,
  );
  assert.ok(error instanceof assert.AssertionError, String(error));
  // Far below the patience of three seconds: a wait that ran to its end would pass for a quick one otherwise.
  assert.ok(performance.now() - startedAt < 1000, 'at once');
  assert.match(error.message, /^tests\/support\/inbox\.test\.ts:\d+: /, 'the line of the test comes first');
  return error.message;
}

test('where a position is passed without its event, the wait fails at once', async () => {
  const gap = inboxOf(false, frame('stream.ready', 4), frame('a', 5), frame('b', 7));
  // What had come before the gap was noticed can still be taken.
  for (const _ of [4, 5, 7]) await gap.next();
  assert.match(await failure(gap.nextEvent()), /position 6 was passed without its event: after 5 came b/);
  // A heartbeat tells a position too: what lies below it should have come.
  const beat = inboxOf(false, frame('stream.ready', 4), frame('stream.heartbeat', 5));
  assert.match(await failure(beat.nextEvent()), /position 5 was passed.*stream\.heartbeat/);
});

test('what comes twice, or an earlier position, fails the wait too', async () => {
  // 5 once more, and one that lies before it.
  for (const seq of [5, 4]) {
    const inbox = inboxOf(false, frame('stream.ready', 4), frame('a', 5), frame('a', seq));
    for (const _ of [1, 2, 3]) await inbox.next();
    assert.match(await failure(inbox.next()), new RegExp(`went back: after 5 came a abcdef0${seq}-${seq}`));
  }
});

test('a failure also reaches a wait that has begun before', async () => {
  const inbox = inboxOf(false, frame('stream.ready', 4));
  // The usual case: a test waits, and then the gap comes.
  const waiting = failure(inbox.until((one) => one.type === 'never', 'what never comes'));
  inbox.add(frame('b', 9));
  assert.match(await waiting, /position 5 was passed.*what never comes/);
});

test('a stream with a filter may pass positions, and a reset begins anew', async () => {
  // With a filter nobody can tell a gap from what it hides.
  const filtered = inboxOf(true, frame('stream.ready', 4), frame('a', 9), frame('stream.heartbeat', 20));
  assert.equal((await filtered.nextEvent()).type, 'a');
  // Of another history, or of a later place in this one: what lies between is the snapshot's.
  const reset = inboxOf(false, frame('stream.ready', 4), frame('stream.reset', 90), frame('b', 91));
  assert.equal((await reset.nextEvent()).type, 'b');
});

test('waiting for an event fails at once where the stream is past it', async () => {
  // The stream stands at 7 and goes on from there: 5 and 7 itself will never come.
  const inbox = inboxOf(false, frame('stream.ready', 7));
  assert.match(await failure(inbox.event('abcdef05-5')), /abcdef05-5 will not come: the stream is past it/);
  assert.match(await failure(inbox.event('abcdef07-7')), /will not come/);
});

test('an end of the stream is told with its reason', async () => {
  const inbox = inboxOf(false, frame('stream.ready', 7));
  inbox.end('close 1006');
  await inbox.next();
  assert.match(
    await failure(inbox.nextEvent()),
    /the stream ended \(close 1006\) before an event; 1 frames came/,
  );
});

test('other waits name their line, too, and what came instead', async () => {
  const late = (wait: Promise<unknown>) =>
    assert.rejects(wait, (error: Error) => /^tests\/support\/inbox\.test\.ts:\d+: /.test(error.message));
  // Minus so much that the patience is over at once.
  const nothing = new Promise(() => {});
  await Promise.all([
    late(within(nothing, 'what never comes', -1e9)),
    late(
      eventually(
        () => 7,
        (answer) => answer > 7,
        'seven is more',
        -1e9,
      ),
    ),
  ]);
});
