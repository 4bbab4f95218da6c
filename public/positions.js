// The last 60 positions of the log, and what came of each: filled, hatched, or an outline with a
// question mark. Then the same in words, for whoever can't see the strip.
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
  show('strip-from', count(Math.max(1, first)));
  show('strip-to', count(ledger.head));
  show('live-count', count(ledger.live));
  show('replayed-count', count(ledger.replayed));
  show('missing-count', count(ledger.missing()));
  element('missing-legend').className = ledger.missing() > 0 ? 'loss' : '';
});
