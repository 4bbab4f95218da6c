// `npm run bench` measures every row and prints the tables of the README; `npm run bench -- writes` runs
// one row. Ratios are what counts: all servers of a row run in the same session, on the same single core.
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { quantile } from './load.ts';
import {
  answer,
  fanout,
  herd,
  idle,
  latency,
  lists,
  notified,
  type Options,
  type Round,
  stalled,
  steady,
  writes,
} from './rows.ts';
import { prepare } from './servers.ts';

type Row = { title: string; measure: (options: Options) => Promise<Round> };

const rows: Record<string, Row> = {
  writes: { title: 'Durable writes, 64 keep-alive connections', measure: writes },
  lists: { title: 'Published events, 64 keep-alive connections', measure: lists },
  notified: { title: 'Durable writes while 200 clients listen', measure: notified },
  fanout: { title: 'A notification, by how many come in one turn of the event loop', measure: fanout },
  idle: { title: 'An idle WebSocket, of 10,000', measure: idle },
  stalled: { title: 'Memory beside one stalled client, 200,000 notifications of 1 KB', measure: stalled },
  herd: { title: '2,000 clients resume after a restart, 1,000 events each', measure: herd },
  latency: { title: 'From a POST to the last of 1,000 clients, 50 POSTs a second', measure: latency },
  steady: { title: '1,000 clients, at a steady rate of POSTs', measure: steady },
  answer: { title: 'The answer to a POST', measure: answer },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
  },
});
const names = positionals.length > 0 ? positionals : Object.keys(rows);
const unknown = names.find((name) => !(name in rows));
if (unknown !== undefined) {
  console.error(`There is no row ${unknown}: take one of ${Object.keys(rows).join(', ')}.`);
  process.exit(1);
}

prepare();
console.log(`Node ${process.version}, ${cpus()[0]?.model}, Linux ${release()}; one core for each server.`);
for (const name of names) {
  const { title, measure } = rows[name]!;
  const rounds: Round[] = [];
  for (let i = 0; i < Number(values.rounds); i += 1)
    rounds.push(await measure({ seconds: Number(values.seconds) }));
  console.log(`\n**${title}** (median of ${rounds.length}, least to most)\n\n${table(rounds)}`);
}
process.exit(0);

function table(rounds: Round[]): string {
  const first = rounds[0]!;
  const columns = Object.keys(Object.values(first)[0]!);
  const lines = Object.keys(first).map((line) => {
    const cells = columns.map((column) => spread(rounds.map((round) => round[line]![column]!)));
    return `| ${[line, ...cells].join(' | ')} |`;
  });
  return [`| | ${columns.join(' | ')} |`, `| --- |${' ---: |'.repeat(columns.length)}`, ...lines].join('\n');
}

function spread(values: number[]): string {
  const median = show(quantile(values, 0.5));
  if (values.length === 1) return median;
  return `${median} (${show(Math.min(...values))} to ${show(Math.max(...values))})`;
}

/** Three digits that mean something. */
function show(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en-US');
  return value.toPrecision(3).replace(/e\+2$/, '00');
}
