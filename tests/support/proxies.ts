// nginx and Caddy with the settings of lib/operations, as they stand there but for names and ports; and a client that
// speaks HTTP/2 to them. Settings that are only written down are wrong after a year: here they have to carry
// requests and streams.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type ClientHttp2Session, connect as openHttp2 } from 'node:http2';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { closeAfterTest } from './cleanup.ts';
import { eventually, ROOT, temporaryFolder, within } from './helpers.ts';
import { freePort } from './postgres-cluster.ts';

/** The name that stands in the settings of both proxies. */
export const HOST_NAME = 'shop.example.com';
/** What a test has of a proxy that runs. */
export type RunningProxy = Awaited<ReturnType<typeof startProxy>>;

/** A certificate for that name and for localhost, signed by itself. */
function makeCertificate(folder: string) {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const names = ['-subj', `/CN=${HOST_NAME}`, '-addext', `subjectAltName=DNS:${HOST_NAME},DNS:localhost`];
  // Elliptic, since such a key is made in milliseconds; for two days, since a test doesn't last longer.
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const files = ['-keyout', key, '-out', cert];
  execFileSync('openssl', ['req', '-x509', ...kind, ...names, ...files], { stdio: 'pipe' });
  return { cert, key };
}

/** The settings as they are in the repository. */
const read = (name: string) => readFileSync(join(ROOT, 'lib/operations', name), 'utf8');

/** Both ports of the upstream. */
const toServers = (settings: string, ports: number[]) =>
  settings
    .replace('127.0.0.1:5001', `127.0.0.1:${ports[0]}`)
    .replace('127.0.0.1:5002', `127.0.0.1:${ports[1]}`);

/** What differs from the settings on a real machine. */
type Place = {
  folder: string;
  cert: string;
  key: string;
  /** For TLS. */
  port: number;
  /** For plain HTTP, which is answered with a redirect. */
  plainPort: number;
  /** Ports of the two servers behind it. */
  servers: number[];
};

/** The file holds what stands between the braces of `http`, as one includes it; around it stands what nginx needs. */
function commandOfNginx({ folder, cert, key, port, plainPort, servers }: Place): string[] {
  const settings = toServers(read('nginx.conf'), servers)
    // Ports below 1024 belong to root, and port 80 may be somebody's.
    .replace('listen 80;', `listen 127.0.0.1:${plainPort};`)
    .replace('listen 443 ', `listen 127.0.0.1:${port} `)
    .replace(/\/etc\/\S+fullchain.pem/, cert)
    .replace(/\/etc\/\S+privkey.pem/, key)
    .replace('/var/log/nginx', folder);
  // nginx makes these folders when it starts, each where it was compiled to be unless told.
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const places = paths.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
  // Its process, its log and its file lie in the folder of the test, and go with it.
  const file = join(folder, 'nginx.conf');
  // In the foreground, so that its process is ours to end.
  const head = `daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr warn;`;
  writeFileSync(file, `${head} events {} http { ${places} ${settings} }`);
  return ['/usr/sbin/nginx', '-e', 'stderr', '-p', folder, '-c', file];
}

/** With our certificate, since no authority would sign one for a test. */
function commandOfCaddy({ folder, cert, key, port, servers }: Place): string[] {
  const settings = toServers(read('Caddyfile'), servers).replace(
    `${HOST_NAME} {`,
    // `localhost` too: that name leads here on any machine, and the other one nowhere.
    `https://${HOST_NAME}:${port}, https://localhost:${port} {\n\tbind 127.0.0.1\n\ttls ${cert} ${key}`,
  );
  const file = join(folder, 'Caddyfile');
  // Nothing that reaches beyond the test: no port for its administration, no certificate in the machine's store.
  writeFileSync(file, `{\n\tadmin off\n\tauto_https off\n\tskip_install_trust\n}\n${settings}`);
  return ['/usr/bin/caddy', 'run', '--adapter', 'caddyfile', '--config', file];
}

/** How each of them is started: its program and its arguments. */
export const COMMANDS = { nginx: commandOfNginx, Caddy: commandOfCaddy };

/** Starts one of them before servers on these ports. */
export async function startProxy(name: keyof typeof COMMANDS, servers: number[]) {
  const folder = temporaryFolder();
  // Made anew each time: a certificate in the repository would expire there.
  const { cert, key } = makeCertificate(folder);
  // Both are free, so that two tests, and a proxy of the machine's own, don't meet.
  const [port, plainPort] = [await freePort(), await freePort()];
  const [program, ...args] = COMMANDS[name]({ folder, cert, key, port, plainPort, servers });
  // Caddy keeps things in the user's home unless told.
  const env = { ...process.env, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  const child = spawn(program!, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  process.once('exit', () => child.kill()); // by SIGTERM: nginx takes its workers with it
  // What it said last, for the failure of a start.
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors = (errors + text).slice(-10_000);
  });
  // Our own certificate is the only authority that the client of the test trusts: any other would fail it.
  const ca = readFileSync(cert, 'utf8');
  // Tried until it works: each of them would say in words of its own that it listens.
  const tryIt = () => openSession(port, ca).catch(() => undefined);
  const session = (await eventually(tryIt, (opened) => opened !== undefined, `${name} listens`, 5000).catch(
    (error) => assert.fail(`${error} ${errors}`),
  ))!;
  return {
    port,
    plainPort,
    ca,
    folder,
    said: () => errors,
    url: `https://localhost:${port}`,
    wsUrl: `wss://localhost:${port}/ws`,
    request: (method: string, path: string, headers = {}, body?: unknown) =>
      request(session, method, path, headers, body),
    /** On a connection of its own, so that its end is not the end of the requests. */
    openStream: async (path: string) => {
      const ofItsOwn = await openSession(port, ca);
      closeAfterTest(() => ofItsOwn.destroy());
      return openStream(ofItsOwn, path);
    },
    /** In order; resolves when the process is gone. */
    stop: async () => {
      session.destroy();
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await within(ended, `${name} to end`, 5000);
    },
  };
}

/** A connection of HTTP/2; a proxy that doesn't speak it fails the test. */
async function openSession(port: number, ca: string): Promise<ClientHttp2Session> {
  // Nothing but HTTP/2: there is no falling back to HTTP/1.1.
  const session = openHttp2(`https://localhost:${port}`, { ca });
  session.on('error', () => {});
  await within(once(session, 'connect'), 'a connection of HTTP/2');
  return session;
}

/** One request over HTTP/2. */
async function request(
  session: ClientHttp2Session,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: unknown,
) {
  // The names of headers are lower case in HTTP/2 (RFC 9113 §8.2).
  const type = body === undefined ? {} : { 'content-type': 'application/json' };
  // All requests share one connection, as a browser's do.
  const stream = session.request({ ':method': method, ':path': path, ...type, ...headers });
  stream.end(body === undefined ? undefined : JSON.stringify(body));
  const [answer] = await within(once(stream, 'response'), `the answer to ${method} ${path}`);
  const text = await within(textOf(stream), `the body of ${method} ${path}`);
  return { status: Number(answer[':status']), headers: answer as Record<string, string>, text };
}

/** Server-sent events over HTTP/2: what has come so far, and a way to leave. */
async function openStream(session: ClientHttp2Session, path: string) {
  const stream = session.request({ ':path': path, accept: 'text/event-stream' });
  let text = '';
  stream.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  // To be cut off is what some tests are about.
  stream.on('error', () => {});
  await within(once(stream, 'response'), `the headers of ${path}`);
  return {
    /** Waits for a frame that has this in it. */
    heard: (part: string) =>
      eventually(
        () => text,
        (all) => all.includes(part),
        `${part} came over server-sent events`,
      ),
    close: () => session.destroy(),
  };
}
