// Who is dead, and who is only slow: judged by counting bytes and heartbeats alone, without a connection or a
// clock, so that a day of silence takes no time here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Liveness } from '../../lib/stream/liveness.ts';

const KIB = 1024;

/** How many heartbeats pass, up to and with the one at which it is given up; at most 20. */
function beatsUntil(isOver: () => boolean): number {
  for (let beats = 1; beats <= 20; beats += 1) if (isOver()) return beats;
  return Number.POSITIVE_INFINITY;
}

test('a client that answers nothing is dead at the third heartbeat: two went unanswered', () => {
  const liveness = new Liveness();
  assert.equal(
    beatsUntil(() => liveness.countSilentBeat()),
    3,
  );
});

test('any sign of life begins the count anew', () => {
  const liveness = new Liveness();
  for (let beats = 0; beats < 100; beats += 1) {
    assert.equal(liveness.countSilentBeat(), false, `after ${beats} heartbeats`);
    if (beats % 2 === 1) liveness.heard();
  }
});

test('one that has much to read still is given ten heartbeats, since it cannot answer before', () => {
  const liveness = new Liveness();
  liveness.sent(16 * KIB + 1);
  assert.equal(
    beatsUntil(() => liveness.countSilentBeat()),
    11,
  );
});

test('16 KiB are read in no time: they give nobody more patience', () => {
  const liveness = new Liveness();
  liveness.sent(16 * KIB);
  assert.equal(
    beatsUntil(() => liveness.countSilentBeat()),
    3,
  );
});

test('a pong tells what was read: from then on silence is silence', () => {
  const liveness = new Liveness();
  liveness.sent(100 * KIB);
  liveness.heard(liveness.pingPayload());
  assert.equal(
    beatsUntil(() => liveness.countSilentBeat()),
    3,
  );
});

test('a pong that claims more than was ever sent, or is no number, tells nothing', () => {
  for (const pong of [String(200 * KIB), 'hello', '-1', '', 'Infinity']) {
    const liveness = new Liveness();
    liveness.sent(100 * KIB);
    liveness.heard(pong);
    assert.equal(
      beatsUntil(() => liveness.countSilentBeat()),
      11,
      JSON.stringify(pong),
    );
  }
});

test('a ping is due every 64 KiB, and says how many bytes stand before it', () => {
  const liveness = new Liveness();
  liveness.sent(64 * KIB - 1);
  assert.equal(liveness.isPingDue(), false);
  liveness.sent(1);
  assert.equal(liveness.isPingDue(), true);
  assert.equal(liveness.pingPayload(), String(64 * KIB));
  assert.equal(liveness.isPingDue(), false);
  liveness.sent(64 * KIB);
  assert.equal(liveness.isPingDue(), true);
  assert.equal(liveness.pingPayload(), String(128 * KIB));
});

test('a client that lags and takes no byte is stuck at the eleventh heartbeat, whatever it sends', () => {
  const liveness = new Liveness();
  liveness.sent(500 * KIB);
  liveness.countStuckBeat(400 * KIB); // it has taken 100 so far
  const isStuck = () => {
    liveness.heard('still there');
    return liveness.countStuckBeat(400 * KIB);
  };
  assert.equal(beatsUntil(isStuck), 10);
});

test('one byte taken begins that count anew', () => {
  const liveness = new Liveness();
  liveness.sent(500 * KIB);
  let unsent = 400 * KIB;
  for (let beats = 0; beats < 100; beats += 1) {
    assert.equal(liveness.countStuckBeat(unsent), false, `after ${beats} heartbeats`);
    if (beats % 10 === 9) unsent -= 1;
  }
});

test('a client that has drained starts with all the patience there is', () => {
  const liveness = new Liveness();
  for (let beats = 0; beats < 2; beats += 1) liveness.countSilentBeat();
  for (let beats = 0; beats < 10; beats += 1) liveness.countStuckBeat(0);
  liveness.drained();
  assert.equal(liveness.countSilentBeat(), false);
  assert.equal(liveness.countStuckBeat(0), false);
});
