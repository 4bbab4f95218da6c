import { HttpConnection, postBytes } from './load.ts';
import { changebell, prepare, start } from './servers.ts';

prepare();
const s = await start(changebell);
const C = postBytes('/api/customers', { name: 'Ada Lovelace', email: 'ada@example.com' });
let n = 0;
const end = performance.now() + 3000;
await Promise.all(
  Array.from({ length: 64 }, async () => {
    const c = new HttpConnection(s.port);
    while (performance.now() < end) {
      await c.post(C);
      n++;
    }
    c.close();
  }),
);
const m = await (await fetch(`http://localhost:${s.port}/metrics`)).text();
console.log(
  n / 3,
  'per s; per commit',
  n / Number(/commits_total (\d+)/.exec(m)![1]),
  'ms per commit',
  3000 / Number(/commits_total (\d+)/.exec(m)![1]),
);
await s.remove();
process.exit(0);
