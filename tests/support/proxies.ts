// nginx and Caddy with the settings of lib/operations, as they stand there but for names and ports; and a client that
// speaks HTTP/2 to them.
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

export const HOST_NAME = 'shop.example.com';
export type RunningProxy = Awaited<ReturnType<typeof startProxy>>;

/** A certificate for that name and for localhost, signed by itself. */
function makeCertificate(folder: string) {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const names = ['-subj', `/CN=${HOST_NAME}`, '-addext', `subjectAltName=DNS:${HOST_NAME},DNS:localhost`];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const files = ['-keyout', key, '-out', cert];
  execFileSync('openssl', ['req', '-x509', ...kind, ...names, ...files], { stdio: 'pipe' });
  return { cert, key };
}

const read = (name: string) => readFileSync(join(ROOT, 'lib/operations', name), 'utf8');

/** Both ports of the upstream. */
const toServers = (settings: string, ports: number[]) =>
  settings
    .replace('127.0.0.1:5001', `127.0.0.1:${ports[0]}`)
    .replace('127.0.0.1:5002', `127.0.0.1:${ports[1]}`);

type Place = {
  folder: string;
  cert: string;
  key: string;
  port: number;
  plainPort: number;
  servers: number[];
};

function commandOfNginx({ folder, cert, key, port, plainPort, servers }: Place): string[] {
  const settings = toServers(read('nginx.conf'), servers)
    .replace('listen 80;', `listen 127.0.0.1:${plainPort};`)
    .replace('listen 443 ', `listen 127.0.0.1:${port} `)
    .replace(/\/etc\/\S+fullchain.pem/, cert)
    .replace(/\/etc\/\S+privkey.pem/, key)
    .replace('/var/log/nginx', folder);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const places = paths.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
  const file = join(folder, 'nginx.conf');
  const head = `daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr warn;`;
  writeFileSync(file, `${head} events {} http { ${places} ${settings} }`);
  return ['/usr/sbin/nginx', '-e', 'stderr', '-p', folder, '-c', file];
}

/** With our certificate, since no authority would sign one for a test. */
function commandOfCaddy({ folder, cert, key, port, servers }: Place): string[] {
  const settings = toServers(read('Caddyfile'), servers).replace(
    `${HOST_NAME} {`,
    `https://${HOST_NAME}:${port}, https://localhost:${port} {\n\tbind 127.0.0.1\n\ttls ${cert} ${key}`,
  );
  const file = join(folder, 'Caddyfile');
  writeFileSync(file, `{\n\tadmin off\n\tauto_https off\n\tskip_install_trust\n}\n${settings}`);
  return ['/usr/bin/caddy', 'run', '--adapter', 'caddyfile', '--config', file];
}

export const COMMANDS = { nginx: commandOfNginx, Caddy: commandOfCaddy };

/** Starts one of them before servers on these ports. */
export async function startProxy(name: keyof typeof COMMANDS, servers: number[]) {
  const folder = temporaryFolder();
  const { cert, key } = makeCertificate(folder);
  const [port, plainPort] = [await freePort(), await freePort()];
  const [program, ...args] = COMMANDS[name]({ folder, cert, key, port, plainPort, servers });
  const env = { ...process.env, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  const child = spawn(program!, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  process.once('exit', () => child.kill()); // by SIGTERM: nginx takes its workers with it
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors = (errors + text).slice(-10_000);
  });
  const ca = readFileSync(cert, 'utf8');
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
    openStream: async (path: string) => {
      const ofItsOwn = await openSession(port, ca);
      closeAfterTest(() => ofItsOwn.destroy());
      return openStream(ofItsOwn, path);
    },
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
  const type = body === undefined ? {} : { 'content-type': 'application/json' };
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
