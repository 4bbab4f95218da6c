// The proxy settings of lib/store/nginx.conf, as they stand there, with Debian's nginx before two servers on one
// PostgreSQL: WebSocket and server-sent events pass at once, and a client moves on when its server ends.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  connect,
  eventually,
  get,
  openEventStream,
  post,
  ROOT,
  range,
  seqOf,
  seqsOf,
  skipWithout,
  startServer,
  temporaryFolder,
} from '../support/helpers.ts';
import { freePort, INITDB, startCluster } from '../support/postgres-cluster.ts';

const skip = skipWithout(INITDB, 'postgresql') || skipWithout('/usr/sbin/nginx', 'nginx-light');

/** Those settings, with ports that are free here. */
async function startNginx(ports: number[]) {
  const settings = readFileSync(join(ROOT, 'lib/store/nginx.conf'), 'utf8');
  const folder = temporaryFolder();
  const port = await freePort();
  const mapped = settings!
    .replace('127.0.0.1:5001', `127.0.0.1:${ports[0]}`)
    .replace('127.0.0.1:5002', `127.0.0.1:${ports[1]}`)
    .replace('listen 80;', `listen 127.0.0.1:${port};`);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr warn;
    events {} http { access_log off; ${paths.join(' ')} ${mapped} }`,
  );
  const nginx = spawn('/usr/sbin/nginx', ['-e', 'stderr', '-p', folder, '-c', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  process.once('exit', () => nginx.kill('SIGKILL'));
  let errors = '';
  nginx.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text;
  });
  const stop = async () => {
    const ended = once(nginx, 'exit');
    nginx.kill('SIGTERM');
    await ended;
  };
  const answers = () =>
    get(`http://localhost:${port}/healthz`).then(
      ({ status }) => status,
      () => 0,
    );
  await eventually(answers, (status) => status === 200, 'nginx answers').catch((error) =>
    assert.fail(`${error} ${errors}`),
  );
  return { port, stop };
}

test('behind nginx with the settings that are given, streams pass at once and clients move between two servers', {
  skip,
}, async () => {
  const cluster = await startCluster();
  const DATABASE_URL = await cluster.createDatabase('shop');
  const env = { DATABASE_URL, ALLOWED_HOSTS: 'shop.example.com' };
  const servers = await Promise.all([startServer(env), startServer(env)]);
  const nginx = await startNginx(servers.map((server) => server.port));
  const url = `http://localhost:${nginx.port}`;
  const ws = `ws://localhost:${nginx.port}/ws`;

  const sockets = await Promise.all(range(1, 4).map(() => connect(ws, { headers: { Origin: url } })));
  const streams = await Promise.all(range(1, 2).map(() => openEventStream(`${url}/api/events`)));
  const clients = [...sockets, ...streams];
  for (const client of clients) assert.equal((await client.next()).type, 'stream.ready');
  const counts = await Promise.all(servers.map((server) => get(`${server.url}/healthz`)));
  for (const { body } of counts) assert.ok(body.clients > 0, 'both servers have clients');
  const { body } = await post(`${url}/api/customers`, { name: 'Ada' });
  for (const client of clients) assert.deepEqual((await client.nextEvent()).data, body);
  const named = await get(`${url}/healthz`, { Host: 'shop.example.com' });
  assert.equal(named.status, 200);

  await servers[0]!.kill9();
  await eventually(
    () => sockets.filter(({ socket }) => socket.readyState === 3).length,
    (count) => count > 0,
    'some are cut off',
  );
  const made = await Promise.all(range(1, 10).map((i) => post(`${url}/api/customers`, { name: `c${i}` })));
  assert.deepEqual(
    made.map(({ status }) => status),
    Array(10).fill(201),
    'the other server answers',
  );
  for (const { socket, frames, events } of sockets) {
    const heard = events();
    const resumed =
      socket.readyState === 3 ? await connect(ws, { query: { lastEventId: frames.at(-1)!.id } }) : undefined;
    const rest = resumed ?? { until: async () => {}, events: () => [], socket };
    if (resumed) await resumed.until((frame) => seqOf(frame.id) >= 11 && frame.type === 'customer.created');
    else
      await eventually(
        () => events().length,
        (count) => count === 11,
        'all events came',
      );
    assert.deepEqual(seqsOf(resumed ? [...heard, ...rest.events()] : events()), range(1, 11));
    rest.socket.close();
  }
  for (const stream of streams) stream.close();
  await servers[1]!.stop();
  await nginx.stop();
  await cluster.stop();
});
