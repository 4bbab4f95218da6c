// Ratios, not seconds: each server runs in turn on the same single core, with the same load, in the
// same run. `npm run bench` prints durable writes per second, and what 200 or 500 listeners change.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';

const SECONDS = Number(process.env.SECONDS ?? 4);
const ROUNDS = Number(process.env.ROUNDS ?? 3);
const CONNECTIONS = 64;
const root = fileURLToPath(new URL('../..', import.meta.url));
const servers = {
  bare: ['tests/bench/bare.ts'],
  changebell: ['server.ts'],
} satisfies Record<string, string[]>;

type Running = { process: ChildProcess; url: string; folder: string };

async function start(args: string[]): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'changebell-bench-'));
  const env = { ...process.env, PORT: '0', DATABASE_URL: join(folder, 'bench.db') };
  const child = spawn('taskset', ['-c', '0', process.execPath, '--import', 'tsx', ...args], {
    cwd: root,
    env,
  });
  child.stderr.pipe(process.stderr);
  let output = '';
  for await (const chunk of child.stdout) {
    output += chunk;
    const url = /http:\/\/localhost:\d+/.exec(output)?.[0];
    if (url) return { process: child, url, folder };
  }
  throw new Error(`${args.join(' ')} ended early: ${output}`);
}

async function stop({ process: child, folder }: Running): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
  rmSync(folder, { recursive: true, force: true });
}

/** Milliseconds that one POST took. */
function post(url: string, agent: Agent): Promise<number> {
  const body = '{"name":"Ada Lovelace","email":"ada@example.com"}';
  const begin = performance.now();
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', 'Content-Length': body.length };
    const req = request(`${url}/api/customers`, { method: 'POST', agent, headers }, (res) => {
      if (res.statusCode !== 201) reject(new Error(`status ${res.statusCode}`));
      res.resume().on('end', () => resolve(performance.now() - begin));
    });
    req.on('error', reject).end(body);
  });
}

async function listeners(
  url: string,
  count: number,
): Promise<{ sockets: WebSocket[]; frames: () => number }> {
  let frames = 0;
  const sockets = Array.from({ length: count }, () => new WebSocket(`${url.replace('http', 'ws')}/ws`));
  for (const socket of sockets) socket.on('message', () => (frames += 1));
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('message', resolve))));
  return { sockets, frames: () => frames };
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  const ticks = Number(execFileSync('getconf', ['CLK_TCK']));
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}

const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

async function throughput(args: string[], clients: number) {
  const server = await start(args);
  const { sockets, frames } = await listeners(server.url, clients);
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const times: number[] = [];
  const cpu = cpuSeconds(server.process.pid!);
  const end = performance.now() + SECONDS * 1000;
  const worker = async () => {
    while (performance.now() < end) times.push(await post(server.url, agent));
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  const used = cpuSeconds(server.process.pid!) - cpu;
  for (const socket of sockets) socket.terminate();
  agent.destroy();
  await stop(server);
  return { perSecond: times.length / SECONDS, median: median(times), perDelivery: (used / frames()) * 1e6 };
}

/** One POST after the other, 20 ms apart: what a single caller waits. */
async function latency(args: string[], clients: number): Promise<number> {
  const server = await start(args);
  const { sockets } = await listeners(server.url, clients);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const times: number[] = [];
  for (let i = 0; i < 100; i += 1) {
    times.push(await post(server.url, agent));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const socket of sockets) socket.terminate();
  agent.destroy();
  await stop(server);
  return median(times);
}

const ratios: number[] = [];
for (let round = 1; round <= ROUNDS; round += 1) {
  const bare = await throughput(servers.bare, 0);
  const ours = await throughput(servers.changebell, 0);
  const heard = await throughput(servers.changebell, 200);
  const [quiet, loud] = [await latency(servers.changebell, 0), await latency(servers.changebell, 500)];
  ratios.push(ours.perSecond / bare.perSecond);
  console.log(
    `round ${round}: bare ${bare.perSecond.toFixed(0)}/s, Changebell ${ours.perSecond.toFixed(0)}/s ` +
      `(ratio ${ratios.at(-1)!.toFixed(2)}), with 200 clients ${heard.perSecond.toFixed(0)}/s at ` +
      `${heard.perDelivery.toFixed(2)} us of CPU per delivery; median of a POST: ${quiet.toFixed(2)} ms alone, ` +
      `${loud.toFixed(2)} ms with 500 clients (ratio ${(loud / quiet).toFixed(2)})`,
  );
}
console.log(
  `durable writes against a bare node:http server, median of ${ROUNDS}: ${median(ratios).toFixed(2)}`,
);
