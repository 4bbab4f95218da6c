import { HttpConnection, postBytes } from './load.ts';
import { changebell, prepare, start } from './servers.ts';

prepare();
const s = await start(changebell);
const C = postBytes('/api/customers', { name: 'Ada Lovelace', email: 'ada@example.com' });
let n = 0;
const end = performance.now() + 4000;
const c0 = s.cpu();
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
  n / 4,
  'per s; per commit',
  n / Number(/commits_total (\d+)/.exec(m)![1]),
  'cpu us',
  ((s.cpu() - c0) / n) * 1e6,
);
await s.remove();
process.exit(0);
