// What grows with what: clients, servers, and the work of the one PostgreSQL behind them. It takes three minutes:
//   npx tsx tests/bench/growth.ts
// Processor time and memory are read from /proc, so a busy machine disturbs the figures little; the clients are
// processes of their own that throw away what they read.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { eventually, get, post, range, type Server, startServer } from '../support/helpers.ts';
import { memoryOf } from '../support/many-clients.ts';
import { type Cluster, startCluster } from '../support/postgres-cluster.ts';
import { handshake } from '../support/raw-websocket.ts';
import { stripTypes } from '../support/typescript.ts';

const AT_ONCE = 100; // handshakes under way in one process
const TICKS = Number(execFileSync('getconf', ['CLK_TCK']));
const WARM_UP = 20; // events, until everything is compiled
const EVENTS = 60;
const PAUSE_MS = 100; // one event in a turn of its own, as a person would make them
const TOGETHER_MS = 60_000;
const REST_MS = 3000;

/** Seconds of processor time of this process so far, and of the children that it has seen end. */
function cpuOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS;
  } catch {
    return 0; // it has just ended: its parent has counted it
  }
}

const sum = (numbers: number[]) => numbers.reduce((all, one) => all + one, 0);

/** Of the database: its first process and those that it has made, one for each connection. */
function cpuOfDatabase({ folder }: Cluster): number {
  const [pid = ''] = readFileSync(`${folder}/data/postmaster.pid`, 'utf8').split('\n');
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  return sum([pid, ...children].map(Number).map(cpuOf));
}

/** In a process of its own: opens so many streams, says so, and reads until it is ended. */
async function hold(port: number, count: number): Promise<void> {
  let left = count;
  const open = async () => {
    while (left-- > 0) {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      socket.write(handshake());
      await once(socket, 'data');
      socket.on('data', () => {});
    }
  };
  await Promise.all(range(1, AT_ONCE).map(open));
  console.log('open');
}

async function openClients(server: Server, count: number): Promise<ChildProcess> {
  const args = [...stripTypes, fileURLToPath(import.meta.url), String(server.port), String(count)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
  return child;
}

const pidOf = (server: Server) => server.process.pid!;

async function deliveriesOf(servers: Server[]): Promise<number> {
  const texts = await Promise.all(servers.map(({ url }) => get(`${url}/metrics`)));
  return sum(texts.map(({ text }) => Number(/^changebell_deliveries_total (\d+)$/m.exec(text)![1])));
}

/** Events one by one at the first server, until every client of all has had them. */
async function announce(servers: Server[], clients: number, events: number): Promise<void> {
  const before = await deliveriesOf(servers);
  for (const i of range(1, events)) {
    await post(`${servers[0]!.url}/api/events`, { message: `${i}` });
    await delay(PAUSE_MS);
  }
  const all = before + clients * events;
  await eventually(
    () => deliveriesOf(servers),
    (count) => count >= all,
    'all of it is delivered',
    TOGETHER_MS,
  );
}

/** So many clients on so many servers of one PostgreSQL: a line of what each costs. */
async function measure(cluster: Cluster, count: number, perServer: number): Promise<void> {
  const DATABASE_URL = await cluster.createDatabase(`with_${count}_and_${perServer}`);
  const env = { DATABASE_URL, MAX_CLIENTS: '18000', HEARTBEAT_SECONDS: '60' };
  const servers = await Promise.all(range(1, count).map(() => startServer(env)));
  await announce(servers, 0, WARM_UP);
  const empty = servers.map(memoryOf);
  const holders: ChildProcess[] = [];
  for (const server of servers) holders.push(await openClients(server, perServer));
  await delay(2000); // the garbage of the handshakes
  const kilobytes = servers.map((server, i) => (memoryOf(server) - empty[i]!) / perServer / 1024);
  await announce(servers, count * perServer, WARM_UP);

  const cpu = () => ({ servers: sum(servers.map(pidOf).map(cpuOf)), database: cpuOfDatabase(cluster) });
  const before = cpu();
  await delay(REST_MS);
  const rest = (cpu().database - before.database) / (REST_MS / 1000);
  const start = cpu();
  await announce(servers, count * perServer, EVENTS);
  const used = (cpu().servers - start.servers) / EVENTS / count;
  const behind = (cpu().database - start.database) / EVENTS;
  console.log(
    [
      `${count} servers, ${count * perServer} clients:`,
      `${(sum(kilobytes) / count).toFixed(1)} KB a client,`,
      `${((used / perServer) * 1e6).toFixed(1)} µs of the servers a delivery,`,
      `${(used * 1000).toFixed(1)} ms of each server an event,`,
      `${(behind * 1000).toFixed(2)} ms of PostgreSQL an event, ${(rest * 1000).toFixed(1)} ms a second at rest`,
    ].join(' '),
  );
  for (const holder of holders) holder.kill();
  await Promise.all(servers.map((server) => server.kill9()));
}

const [port, clients] = process.argv.slice(2).map(Number);
if (port !== undefined) await hold(port, clients!);
else {
  const cluster = await startCluster();
  for (const [servers, perServer] of [
    [1, 10],
    [2, 10],
    [4, 10],
    [1, 1000],
    [1, 5000],
    [1, 15_000],
    [4, 5000],
  ] as const)
    await measure(cluster, servers, perServer);
  await cluster.stop();
  process.exit();
}
