// The last 60 positions of the log, and what came of each for either client: filled, hatched, or outlined
// with a question mark. The two rows show the same positions. Then the same in words.
import { connection } from './connection.js';
import { count, element, make, onPaint, show } from './dom.js';
import { WINDOW } from './ledger.js';
import { loop } from './loop.js';
import { server } from './server.js';

const clients = [
  { prefix: '', ledger: connection.ledger, cells: makeCells('strip') },
  { prefix: 'loop-', ledger: loop.ledger, cells: makeCells('loop-strip') },
];

/** @param {string} id */
function makeCells(id) {
  const cells = Array.from({ length: WINDOW }, () => make('i', { className: 'cell none' }));
  element(id).append(...cells);
  return cells;
}

onPaint(() => {
  const last = Math.max(server.head, WINDOW);
  for (const { prefix, ledger, cells } of clients) {
    for (const [index, cell] of cells.entries()) {
      const seq = last - WINDOW + 1 + index;
      const name = `cell ${seq > server.head ? 'none' : ledger.fateOf(seq)}`;
      if (cell.className !== name) cell.className = name;
    }
    const missing = ledger.missing();
    for (const [name, number] of Object.entries({ live: ledger.live, replayed: ledger.replayed, missing }))
      show(`${prefix}${name}-count`, count(number));
    element(`${prefix}missing-legend`).classList.toggle('loss', missing > 0);
  }
});
