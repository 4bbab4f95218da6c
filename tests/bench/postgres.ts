// Durable writes per second with 1, 2 and 4 servers on one PostgreSQL that is safe from power cuts. Seconds
// depend on the machine: the ratio to one server is what to look at.
import { Agent, request } from 'node:http';
import { pathToFileURL } from 'node:url';
import { type Server, startServer } from '../helpers.ts';
import { startCluster } from '../postgres-cluster.ts';

const SECONDS = 4;
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

async function throughput(servers: Server[]): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const end = performance.now() + SECONDS * 1000;
  let count = 0;
  const worker = async (_: unknown, i: number) => {
    for (; performance.now() < end; count += 1) await post(servers[i % servers.length]!.url, agent);
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  agent.destroy();
  return count / SECONDS;
}

/** Prints a line for each number of servers. */
export async function run(): Promise<void> {
  const cluster = await startCluster(['fsync=on', 'shared_buffers=128MB']);
  let alone = 0;
  for (const count of [1, 2, 4]) {
    const url = await cluster.createDatabase(`with_${count}`);
    const servers = await Promise.all(
      Array.from({ length: count }, () => startServer({ DATABASE_URL: url })),
    );
    await throughput(servers); // until everything is compiled and planned
    const perSecond = await throughput(servers);
    if (count === 1) alone = perSecond;
    const ratio = (perSecond / alone).toFixed(2);
    console.log(
      `${count} servers on one PostgreSQL: ${perSecond.toFixed(0)} durable writes/s, ratio ${ratio}`,
    );
    await Promise.all(servers.map((server) => server.stop()));
  }
  await cluster.stop();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await run();
