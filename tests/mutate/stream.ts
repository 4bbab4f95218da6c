// Breaks of what leads from the log to a client.
import { breaksOf, type Mutation } from './mutation.ts';

const hub = breaksOf('lib/stream/hub.ts', 'tests/stream/hub.test.ts');
const hubOutside = breaksOf('lib/stream/hub.ts', 'tests/stream/websocket.test.ts');
const start = breaksOf('lib/stream/start.ts', 'tests/stream/websocket.test.ts');
const client = breaksOf('lib/stream/client.ts', 'tests/stream/client.test.ts');
const liveness = breaksOf('lib/stream/liveness.ts', 'tests/stream/liveness.test.ts');
const heartbeats = breaksOf('lib/stream/heartbeats.ts', 'tests/stream/heartbeats.test.ts');
const rounds = breaksOf('lib/stream/rounds.ts', 'tests/stream/rounds.test.ts');
const chunks = breaksOf('lib/stream/chunks.ts', 'tests/stream/chunks.test.ts');

export const STREAM: Mutation[] = [
  hub(
    'no fan-out: when the head moves nobody is given a turn',
    'for (const client of this.clients) this.enqueue(client);',
    '',
    'an event reaches everyone who is there',
  ),
  breaksOf('lib/stream/head.ts', 'tests/stream/hub.test.ts')(
    'a failed read of the head is not tried again',
    '    if (!position) {\n      this.isStale = true;\n',
    '    if (!position) {\n      this.isReadable = true;\n',
    'a read that fails is tried again',
  ),
  start(
    'a cursor that cannot be continued is taken for a good one',
    'if (cursor && reset) return',
    'if (time && reset) return',
    'a cursor that cannot be continued gets stream.reset',
  ),
  start(
    '`behind` is one too many',
    'head.seq - start.seq);',
    'head.seq - start.seq + 1);',
    'a client that resumes after event 2',
  ),
  hubOutside(
    'one client too many is let in',
    'this.clients.size >= this.maxClients',
    'this.clients.size > this.maxClients',
    'too many clients are refused',
  ),
  breaksOf('lib/stream/client.ts', 'tests/stream/websocket.test.ts')(
    'a muted client is served on',
    'this.isMuted = true;',
    '',
    'lab: a muted client gets no frame',
  ),
  breaksOf('lib/stream/hub.ts', 'tests/stream/event-stream.test.ts')(
    'who has left stays in the Set',
    'if (this.clients.delete(client))',
    'if (this.clients.has(client))',
    'a client that goes away is taken off the list',
  ),
  client(
    'a timer runs for all the time that a token has left',
    'Math.min(left, LOOK_MS)',
    'left',
    'a stream ends with its token by the clock',
  ),
  client(
    'a full socket is written to without end',
    'if (out.writableLength > HIGH_WATER_BYTES) this.waitForDrain();',
    '',
    'up to 256 KiB may wait for it',
  ),
  client(
    'a socket is full one byte too late',
    'const HIGH_WATER_BYTES = 256 * 1024;',
    'const HIGH_WATER_BYTES = 256 * 1024 + 1;',
    'up to 256 KiB may wait for it',
  ),
  client(
    'the cursor stays where it was when the filter hid everything',
    'if (bytes.length > 0) this.send(bytes);\n    this.cursor = cursor;',
    'if (bytes.length > 0) this.send(bytes);\n    if (bytes.length > 0) this.cursor = cursor;',
    'its cursor is the end of what was delivered',
  ),
  client(
    'all frames of the server have the same source',
    'this.ownFrames += 1;',
    '',
    'an own frame has the place where it stands as its id',
  ),
  liveness(
    'a silent connection is given one heartbeat more',
    'const SILENT_BEATS = 2;',
    'const SILENT_BEATS = 3;',
    'a client that answers nothing is dead at the third heartbeat',
  ),
  liveness(
    'a pong may claim what was never sent',
    ' && bytes <= this.sentBytes',
    '',
    'a pong that claims more than was ever sent',
  ),
  liveness(
    'whoever takes nothing is never stuck',
    'if (taken > this.takenBytes) this.stuckBeats = 0;',
    'if (taken >= this.takenBytes) this.stuckBeats = 0;',
    'a client that lags and takes no byte is stuck',
  ),
  heartbeats(
    'a heartbeat stays due after it was sent',
    'client.liveness.isHeartbeatDue = false;',
    '',
    'a heartbeat that is due is sent once',
  ),
  heartbeats(
    'nobody is told that the number of clients has changed',
    '      this.countedAt = performance.now();\n      this.beat();',
    '      this.countedAt = performance.now();',
    'a change of the number of clients is told at once',
  ),
  heartbeats(
    'a muted client is taken for a dead one',
    'if (client.isMuted) return;',
    '',
    'who is behind, who is muted and who has no pings',
  ),
  rounds(
    'a herd is served before those at the head',
    '(isLive ? this.live : this.zoneOf(client)).push(client);',
    '(isLive ? this.zoneOf(client) : this.live).push(client);',
    'those at the head come first',
  ),
  rounds(
    'a client is served as often as it was added',
    'if (client.queue !== name) continue;',
    '',
    'a client stands in the queue once',
  ),
  rounds(
    'a busy head starves those who are behind',
    'while (taken < atMost && (served === 0 || performance.now() < sliceEnd))',
    'while (taken < atMost && performance.now() < sliceEnd)',
    'however busy those at the head are',
  ),
  rounds(
    'those who are behind have their turns from all over the log',
    'Math.floor(client.readTo.seq / ZONE_EVENTS)',
    '0',
    'those who stand near each other in the log',
  ),
  rounds(
    'each place of the log costs a round of the loop',
    'if (clients.length > 0) return;',
    'if (clients.length > 0) return;\n      return void this.behind.delete(this.zone);',
    'those who stand far from each other share a slice',
  ),
  rounds(
    'a zone in which there is always somebody keeps its turn',
    ' || performance.now() > this.zoneEnd',
    '',
    'where there is always somebody who wants more',
  ),
  chunks(
    'chunks end one position beyond a multiple of 256',
    'boundary - start.seq;',
    'boundary + 1 - start.seq;',
    'far from the head it ends at a multiple of 256',
  ),
  chunks(
    'the old end of the log is handed out as the new one',
    'return chunk.endsBelowHead || chunk.end.seq === head.seq ? chunk : undefined;',
    'return chunk;',
    'a chunk that ended at the head is not handed out',
  ),
  chunks(
    'a cursor of another history finds what was read for this one',
    'if (!chunk || chunk.start.stamp !== cursor.stamp) return undefined;',
    'if (!chunk) return undefined;',
    'a cursor of another history finds nothing',
  ),
  chunks(
    'the frames of a chunk are made anew for each client',
    'const known = chunk.filtered.get(kind.key);\n    if (known) return known;',
    'chunk.encoded.clear();',
    'the bytes of a chunk are made once',
  ),
  breaksOf('lib/stream/chunks.ts', 'tests/stream/websocket.test.ts')(
    'a filter hides nothing',
    'events.map((event) => filter.matches(event))',
    'events.map((event) => filter.matches(event) || true)',
    'types keeps only what it names',
  ),
  breaksOf('lib/stream/chunks.ts', 'tests/stream/websocket.test.ts')(
    'the first event after a cursor is left out',
    'const isWanted = events.map((event) => filter.matches(event));',
    'const isWanted = events.map((event, i) => (i > 0 || events.length === 1) && filter.matches(event));',
    'a client that resumes after event 2',
  ),
];
