// The stage: two clients of one server side by side, level with each other line by line.
import { connection } from './connection.js';
import { customers } from './customers.js';
import { element, make, onPaint, seqOf, setMark, setText, show } from './dom.js';
import { loop } from './loop.js';
import { loopView, pageView } from './view.js';

const SHOWN = 3; // customers of each client; the lists are level with each other
const LONG = 26; // characters of a headline: one with thousands in it is set smaller, and stays one line

const pageList = element('page-roster');
const loopList = element('loop-roster');
for (const list of [pageList, loopList]) {
  list.append(...Array.from({ length: SHOWN }, () => make('li', {}, make('b', {}), make('span', {}))));
}

/** @param {string} id @param {View} view @param {string} lastEventId */
function paintState(id, { state, word, isLossy }, lastEventId) {
  const node = element(id);
  setMark(node.firstElementChild, isLossy ? 'lossy' : state === 'muted' ? 'silent' : state);
  Object.assign(node.dataset, { state, lastEventId, lossy: isLossy, long: word.length > LONG });
  setText(node.lastElementChild, word);
}

/** Of what it knows, and not of where the server says that it stands. @param {string} id @param {{ knownId: string }} ledger */
const showId = (id, { knownId }) => show(id, seqOf(knownId) > 0 ? knownId : '–');

function paintPage() {
  const view = pageView();
  paintState('state', view, connection.lastEventId);
  show('why', view.why);
  show('lab-state', view.word); // the stage may be out of sight there
  showId('last-event-id', connection.ledger);
  // A button that is hidden while it has the focus would lose it to the top of the page.
  const retry = element('retry');
  const isUseless = connection.state !== 'waiting' && connection.state !== 'refused';
  if (isUseless && document.activeElement === retry) element('connection').focus();
  retry.hidden = isUseless;
}

function paintLoop() {
  if (customers.isLoaded && !customers.isLoading()) loop.fill(customers.roster);
  const view = loopView();
  paintState('loop-state', view, loop.ledger.knownId);
  show('loop-why', view.why);
  showId('loop-last-event-id', loop.ledger);
}

/** What the two know of the newest customers: of the same ones, in the same lines, so that one sees who lacks which. */
function paintRosters() {
  const [page, other] = [customers.roster, loop.roster];
  // The page's list is held against the loop's only while it is known to be true, and both stand at one place.
  const areBoth = connection.isCurrent() && loop.state === 'live';
  if (areBoth && loop.ledger.head < connection.ledger.head) return; // still on its way, by some ms
  const isTruth =
    areBoth && loop.isFilled && customers.lost() === 0 && loop.ledger.head === connection.ledger.head;
  const ids = [...new Set([...page.newest(SHOWN), ...other.newest(SHOWN)])].sort((a, b) => b - a);
  for (let i = 0; i < SHOWN; i += 1) {
    const [ours, theirs] = [page, other].map(({ rows }) => rows.get(ids[i] ?? 0)?.name ?? '');
    paintCustomer(pageList.children[i], ours ?? '', '');
    paintCustomer(loopList.children[i], theirs ?? '', isTruth ? difference(ours ?? '', theirs ?? '') : '');
  }
}

/** @param {string} ours @param {string} theirs */
function difference(ours, theirs) {
  if (ours === theirs) return '';
  if (theirs === '') return `never heard of ${ours}`;
  return ours === '' ? 'was deleted long ago' : `is ${ours} now`;
}

/** @param {any} row @param {string} name @param {string} wrong */
function paintCustomer(row, name, wrong) {
  row.className = wrong ? 'wrong' : '';
  setText(row.firstElementChild, name);
  setText(row.lastElementChild, wrong);
}

onPaint(() => {
  paintPage();
  paintLoop();
  paintRosters();
});

element('retry').onclick = () => connection.retry();
