// The last 60 positions of the log, and what came of each for either client: filled, hatched, or outlined
// with a question mark. The two rows show the same positions. Then the same in words.
import { connection } from './connection.js';
import { count, element, make, onPaint, show } from './dom.js';
import { WINDOW } from './ledger.js';
import { loop } from './loop.js';
import { server } from './server.js';

const WORDS = { live: 'came live', replayed: 'replayed', missing: 'missing' };
const clients = [
  { ledger: connection.ledger, ...makeRow('') },
  { ledger: loop.ledger, ...makeRow('loop-') },
];

/** @param {string} prefix of the ids of this client's parts */
function makeRow(prefix) {
  const cells = Array.from({ length: WINDOW }, () => make('i', { className: 'cell none' }));
  const legend = Object.entries(WORDS).map(([fate, words]) => {
    const number = make('b', { id: `${prefix}${fate}-count` }, '0');
    return make('span', {}, make('i', { className: `cell ${fate}` }), number, ` ${words}`);
  });
  element(`${prefix}positions`).append(
    make('div', { id: `${prefix}strip`, className: 'strip', ariaHidden: 'true' }, ...cells),
    make('p', { className: 'legend' }, ...legend.flatMap((item) => [item, ' '])),
  );
  return { prefix, cells, missingLegend: legend.at(-1) };
}

onPaint(() => {
  // A young log fills the row from the left; later the newest position stands at its end.
  const last = Math.max(server.head, WINDOW);
  for (const { prefix, ledger, cells, missingLegend } of clients) {
    for (const [index, cell] of cells.entries()) {
      const seq = last - WINDOW + 1 + index;
      const name = `cell ${seq > server.head ? 'none' : ledger.fateOf(seq)}`;
      if (cell.className !== name) cell.className = name; // 120 cells, at each paint
    }
    const missing = ledger.missing();
    for (const [name, number] of Object.entries({ live: ledger.live, replayed: ledger.replayed, missing }))
      show(`${prefix}${name}-count`, count(number));
    missingLegend.classList.toggle('loss', missing > 0);
  }
});
