// The settings for nginx and for Caddy, as they stand in lib/operations, before two servers on one PostgreSQL: TLS,
// HTTP/2, the token, streams that pass at once, and clients that move on when their server ends.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  type Client,
  connect,
  eventually,
  get,
  range,
  type Server,
  seqOf,
  seqsOf,
  skipWithout,
  startServer,
} from '../support/helpers.ts';
import { type Cluster, INITDB, startCluster } from '../support/postgres-cluster.ts';
import { HOST_NAME, type RunningProxy, startProxy } from '../support/proxies.ts';

const API_TOKEN = 'a-token-for-the-test';
const bearer = { authorization: `Bearer ${API_TOKEN}` };
const WRITES_BURST = 100; // what nginx.conf lets through at once from one address

for (const [name, file, debianPackage] of [
  ['nginx', '/usr/sbin/nginx', 'nginx-light'],
  ['Caddy', '/usr/bin/caddy', 'caddy'],
] as const) {
  const skip =
    skipWithout(INITDB, 'postgresql') ||
    skipWithout(file, debianPackage) ||
    skipWithout('/usr/bin/openssl', 'openssl');

  describe(`behind ${name}, with the settings that are given,`, { skip }, () => {
    let cluster: Cluster;
    let servers: Server[];
    let proxy: RunningProxy;
    before(async () => {
      cluster = await startCluster();
      const DATABASE_URL = await cluster.createDatabase('shop');
      const env = { DATABASE_URL, ALLOWED_HOSTS: HOST_NAME, API_TOKEN };
      servers = await Promise.all([startServer(env), startServer(env)]);
      proxy = await startProxy(
        name,
        servers.map((server) => server.port),
      );
    });
    after(async () => {
      await proxy?.stop();
      await Promise.all(servers?.map((server) => server.stop()) ?? []);
      await cluster?.stop();
    });

    const open = (query: Record<string, string> = {}) =>
      connect(proxy.wsUrl, { query, headers: { ...bearer, Origin: proxy.url }, options: { ca: proxy.ca } });
    const save = async (body: object) => {
      const { status, text } = await proxy.request('POST', '/api/customers', bearer, body);
      assert.equal(status, 201, text + proxy.said());
      return JSON.parse(text);
    };

    test('HTTP/2 has what HTTP/1.1 has, the name of the host is let in, and another is not', async () => {
      const named = await proxy.request('GET', '/api/customers', { ...bearer, ':authority': HOST_NAME });
      assert.equal(named.status, 200, named.text);
      assert.match(named.headers['strict-transport-security'] ?? '', /max-age=/);
      const foreign = await proxy.request('GET', '/api/customers', {
        ...bearer,
        ':authority': 'evil.example',
      });
      assert.doesNotMatch(foreign.text, /"customers"/);
      const page = await proxy.request('GET', '/');
      assert.match(page.headers['content-type'] ?? '', /^text\/html/);
    });

    test('without the token nothing of the API is to be had, and the health check is', async () => {
      for (const path of ['/api/customers', '/metrics', '/api/events?access_token=wrong'])
        assert.equal((await proxy.request('GET', path)).status, 401, path);
      assert.equal((await proxy.request('GET', '/healthz')).status, 200);
    });

    test('streams of both kinds pass at once, on both servers, and a client that leaves is gone', async () => {
      const sockets = await Promise.all(range(1, 4).map(() => open()));
      const streams = await Promise.all(
        range(1, 2).map(() => proxy.openStream(`/api/events?access_token=${API_TOKEN}`)),
      );
      for (const socket of sockets) assert.equal((await socket.next()).type, 'stream.ready');
      for (const stream of streams) await stream.heard('stream.ready');
      const clients = () =>
        Promise.all(servers.map(async ({ url }) => (await get(`${url}/healthz`)).body.clients));
      for (const count of await clients()) assert.ok(count > 0, 'both servers have clients');
      const customer = await save({ name: 'Ada' });
      for (const socket of sockets) assert.deepEqual((await socket.nextEvent()).data, customer);
      for (const stream of streams) await stream.heard(`"source":"/api/customers/${customer.id}"`);
      for (const stream of streams) stream.close();
      for (const socket of sockets) await socket.close();
      await eventually(clients, (counts) => counts.every((count) => count === 0), 'all are gone', 2000);
    });

    test('a client whose server ends goes on at the other one, and writes go on at once', async () => {
      const sockets = await Promise.all(range(1, 4).map(() => open()));
      const readies = await Promise.all(sockets.map((socket) => socket.next()));
      const from = seqOf(readies[0]!.id);
      await servers[0]!.kill9();
      const isCut = ({ socket }: Client) => socket.readyState === socket.CLOSED;
      await eventually(
        () => sockets.filter(isCut).length,
        (count) => count > 0,
        'some are cut off',
      );
      for (const i of range(1, 10)) await save({ name: `c${i}` });
      for (const client of sockets) {
        const heard = client.events();
        const goesOn = isCut(client) ? await open({ lastEventId: client.frames.at(-1)!.id }) : client;
        await goesOn.until((frame) => seqOf(frame.id) === from + 10 && frame.type === 'customer.created');
        const all = goesOn === client ? client.events() : [...heard, ...goesOn.events()];
        assert.deepEqual(seqsOf(all), range(from + 1, from + 10));
        await goesOn.close();
      }
    });

    if (name === 'nginx') {
      test('plain HTTP leads to HTTPS, and to nothing else but the proof of the name', async () => {
        const url = `http://localhost:${proxy.plainPort}/api/customers?limit=1`;
        const { status, headers } = await fetch(url, { redirect: 'manual', headers: bearer });
        assert.deepEqual([status, headers.get('location')], [301, 'https://localhost/api/customers?limit=1']);
        const proof = `http://localhost:${proxy.plainPort}/.well-known/acme-challenge/none`;
        assert.equal((await fetch(proof, { redirect: 'manual' })).status, 404);
      });

      test('one address may make so many writes at once and no more, and its streams are let in all the same', async () => {
        const answers = await Promise.all(
          range(1, 2 * WRITES_BURST).map((i) =>
            proxy.request('POST', '/api/events', bearer, { message: `${i}` }),
          ),
        );
        const refused = answers.filter(({ status }) => status === 429).length;
        // The tests before have used up a part of what the address may do at once.
        assert.ok(
          refused > 0 && refused < 1.5 * WRITES_BURST,
          `${refused} of ${answers.length} were refused`,
        );
        assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([201, 429]));
        for (const _ of range(1, 3)) await (await open()).close();
        const log = readFileSync(join(proxy.folder, 'changebell.log'), 'utf8');
        assert.match(log, /GET \/api\/events 200/);
        assert.doesNotMatch(log, /access_token|a-token/, 'a token stands in the log');
      });
    }
  });
}
