// The last 60 positions of the log, and what came of each: filled, hatched, or outlined with a question
// mark. Then the same in words.
import { ledger } from './connection.js';
import { count, element, make, onPaint, show } from './dom.js';
import { WINDOW } from './ledger.js';

const cells = Array.from({ length: WINDOW }, () => make('i', { className: 'cell' }));
element('strip').append(...cells);

onPaint(() => {
  const first = ledger.head - WINDOW + 1;
  for (const [index, cell] of cells.entries()) {
    const name = `cell ${first + index < 1 ? 'none' : ledger.fateOf(first + index)}`;
    if (cell.className !== name) cell.className = name;
  }
  const { head, live, replayed } = ledger;
  const missing = ledger.missing();
  const numbers = { first: Math.max(1, first), head, live, replayed, missing };
  for (const [name, number] of Object.entries(numbers)) show(`${name}-count`, count(number));
  element('missing-legend').className = missing > 0 ? 'loss' : '';
});
