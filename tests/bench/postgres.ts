// Durable writes per second with 1, 2 and 4 servers on one PostgreSQL that is safe from power cuts. Seconds
// depend on the machine: the ratio to one server is what to look at.
import { Agent, request } from 'node:http';
import { pathToFileURL } from 'node:url';
import { type Server, startServer } from '../support/helpers.ts';
import { startCluster } from '../support/postgres-cluster.ts';

const SECONDS = 3;
const ROUNDS = 3;
const CONNECTIONS = 64;
const BODY = JSON.stringify({ name: 'Ada Lovelace', email: 'ada@example.com' });

function post(url: string, agent: Agent): Promise<void> {
  const headers = { 'Content-Type': 'application/json', 'Content-Length': BODY.length };
  return new Promise((resolve, reject) => {
    const req = request(`${url}/api/customers`, { method: 'POST', agent, headers }, (res) => {
      if (res.statusCode !== 201) reject(new Error(`status ${res.statusCode}`));
      res.resume().on('end', resolve);
    });
    req.on('error', reject).end(BODY);
  });
}

async function throughput(servers: Server[], seconds: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const end = performance.now() + seconds * 1000;
  let count = 0;
  const worker = async (_: unknown, i: number) => {
    for (; performance.now() < end; count += 1) await post(servers[i % servers.length]!.url, agent);
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  agent.destroy();
  return count / seconds;
}

/** Prints a line for each number of servers: the median of some rounds, as a neighbour on the machine disturbs one. */
export async function run(): Promise<void> {
  const cluster = await startCluster(['fsync=on', 'shared_buffers=128MB']);
  const ratios = new Map<number, number[]>([1, 2, 4].map((count) => [count, []]));
  for (let round = 1; round <= ROUNDS; round += 1) {
    let alone = 0;
    for (const [count, all] of ratios) {
      const DATABASE_URL = await cluster.createDatabase(`round_${round}_with_${count}`);
      const starting = Array.from({ length: count }, () => startServer({ DATABASE_URL }));
      const servers = await Promise.all(starting);
      await throughput(servers, 1); // until everything is compiled and planned
      const perSecond = await throughput(servers, SECONDS);
      alone ||= perSecond;
      all.push(perSecond / alone);
      console.log(`round ${round}, servers ${count}: ${perSecond.toFixed(0)} durable writes/s`);
      await Promise.all(servers.map((server) => server.stop()));
    }
  }
  await cluster.stop();
  for (const [count, all] of ratios) {
    const median = all.sort((a, b) => a - b)[Math.floor(all.length / 2)]!;
    console.log(`${count} servers on one PostgreSQL: ${median.toFixed(2)} times the writes of one`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await run();
