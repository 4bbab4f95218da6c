// Clients that nobody here wrote: Python's websockets, curl, the `eventsource` package, and the CloudEvents SDK,
// which must accept every frame. Each comes late or is cut off, and goes on from its last id by its own means.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { CloudEvent, HTTP } from 'cloudevents';
import { EventSource } from 'eventsource';
import {
  connect,
  eventually,
  type Frame,
  isOwn,
  openEventStream,
  post,
  range,
  type Server,
  skipWithout,
  startServer,
  within,
} from '../support/helpers.ts';

const PYTHON_WEBSOCKETS = '/usr/lib/python3/dist-packages/websockets/__init__.py';

let server: Server;
let events: string;
before(async () => {
  server = await startServer({ HEARTBEAT_SECONDS: '1' });
  events = `${server.url}/api/events`;
});
after(() => server.stop());

const publish = async (data: unknown) => (await post(events, { type: 'real', data })).body as Frame;
const stored = (frames: Frame[]) => frames.filter((frame) => !isOwn(frame));

/** Starts a program and returns what it prints, line by line. */
function run(command: string, args: string[]): { child: ChildProcess; lines: () => string[] } {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  after(() => child.kill('SIGKILL'));
  return { child, lines: () => text.split('\n').filter((line) => line !== '') };
}

const PYTHON = `
import asyncio, json, sys, websockets
async def main():
    url, last, count = sys.argv[1], None, 0
    while True:
        async with websockets.connect(url + (f'?lastEventId={last}' if last else ''), subprotocols=['cloudevents.json']) as ws:
            assert ws.subprotocol == 'cloudevents.json'
            async for text in ws:
                event = json.loads(text)
                last = event['id']
                print(text, flush=True)
                count += not event['type'].startswith('stream.')
                if event.get('data') == 'the end': return
                if count == 10: break
        count += 1
asyncio.run(main())
`;

test('Python websockets gets every event once, over two connections, and closes in order', {
  skip: skipWithout(PYTHON_WEBSOCKETS, 'python3-websockets'),
}, async () => {
  const { child, lines } = run('/usr/bin/python3', ['-c', PYTHON, server.wsUrl]);
  const ended = once(child, 'close');
  await eventually(lines, (all) => all.length > 0, 'stream.ready');
  const sent: Frame[] = [];
  for (const data of [...range(1, 30), 'x'.repeat(60_000), 'Ünï 🔔', 'the end'])
    sent.push(await publish(data));
  assert.deepEqual(await within(ended, 'the end of the program'), [0, null]);
  assert.deepEqual(stored(lines().map((line) => JSON.parse(line))), sent);
});

test('curl -N shows the stream, and catches up with a header', {
  skip: skipWithout('/usr/bin/curl', 'curl'),
}, async () => {
  const before = await publish('before');
  const missed = await publish('missed');
  const { child, lines } = run('curl', [
    '-sN',
    events,
    '-H',
    'Accept: text/event-stream',
    '-H',
    `Last-Event-ID: ${before.id}`,
  ]);
  await eventually(lines, (all) => all.includes(`id: ${missed.id}`), 'the event that was missed');
  assert.equal(lines()[0], 'retry: 2000');
  const live = await publish('live');
  await eventually(lines, (all) => all.includes(`data: ${JSON.stringify(live)}`), 'the live event');
  child.kill();
});

test('the eventsource package comes back by itself after kill -9, and has everything once', async () => {
  const first = await startServer();
  const frames: Frame[] = [];
  const source = new EventSource(`${first.url}/api/events`);
  source.onmessage = ({ data, lastEventId }) => frames.push({ ...JSON.parse(data), id: lastEventId });
  await eventually(
    () => frames,
    (all) => all.length > 0,
    'the first frame',
  );
  const sent = [(await post(`${first.url}/api/events`, { data: 'before' })).body];
  await eventually(
    () => stored(frames),
    (all) => all.length === 1,
    'the first event',
  );
  await first.kill9();
  const second = await startServer({ PORT: String(first.port), DATABASE_URL: first.databaseFile });
  sent.push((await post(`${second.url}/api/events`, { data: 'after' })).body);
  await eventually(
    () => stored(frames),
    (all) => all.length >= 2,
    'the event after the restart',
  );
  assert.deepEqual(stored(frames), sent);
  source.close();
  await second.stop();
});

test('the CloudEvents SDK accepts every frame, event and answer', async () => {
  const socket = await connect(server.wsUrl, { query: { lastEventId: 'abcdef01-1' } });
  const stream = await openEventStream(events);
  const { body: customer } = await post(`${server.url}/api/customers`, { name: 'Ada' });
  const answer = await publish({ deep: [1, null, 'ä'] });
  for (const client of [socket, stream]) {
    await client.event(answer.id);
    await client.until((frame) => frame.type === 'stream.heartbeat');
  }
  const frames = [...socket.frames, ...stream.frames, answer];
  assert.ok(frames.some((frame) => frame.data?.id === customer.id));
  for (const frame of frames) {
    const headers = { 'content-type': 'application/cloudevents+json' };
    const event = HTTP.toEvent({ headers, body: JSON.stringify(frame) }) as CloudEvent;
    assert.ok(new CloudEvent(event, true).validate());
    assert.deepEqual([event.id, event.type, event.data], [frame.id, frame.type, frame.data]);
  }
  await socket.close();
  stream.close();
});
