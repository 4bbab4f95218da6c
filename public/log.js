// The notifications, newest last. Counted on receipt, painted a handful per frame; at most 500 rows stand
// in the document, one line each. Follows the end until the reader scrolls up.
import { button, count, element, make, onPaint, paintSoon, seqOf, show, withModule } from './dom.js';
import { sentence, timeOf } from './sentences.js';

const MAX_ROWS = 500;
const ROWS_A_FRAME = 40; // a few ms of work: a frame belongs to all painters together
const MAX_TYPES = 50; // in the filter: anyone may publish a thousand
const KEPT = 50; // over a reload, and of what was before the page was opened
const MAX_KEPT_LENGTH = 8192; // of one message: what a tab may store is bounded

const region = element('notifications');
const list = element('log');
const filter = element('filter');
const types = new Set();
let items = /** @type {LogItem[]} */ ([]); // the newest 500; the painted ones come first
let evicted = /** @type {HTMLElement[]} */ ([]);
let total = 0;
let fresh = 0; // since the reader scrolled up, or paused
let isFollowing = true;
let top = 0; // where the log was scrolled to last
let isPaused = false;

/** @param {Entry} entry */
export function noteEntry(entry) {
  countEntry(entry);
  add({ entry });
}

/** @param {Entry} entry */
function countEntry({ event: { type } }) {
  total += 1;
  if (types.size <= MAX_TYPES) types.add(type); // one more than are shown tells that there are more
}

/** What happened before goes above all that has come since, with a line between. @param {Entry[]} entries @param {string} bar */
export function addEarlier(entries, bar) {
  if (entries.length === 0) return;
  const newest = entries.slice(-KEPT);
  newest.forEach(countEntry);
  items = [...newest.map((entry) => ({ entry })), { bar }, ...items].slice(-MAX_ROWS);
  paintAnew();
}

/** The newest, for the next time. @returns {Entry[]} */
export function lastEntries() {
  const entries = items.slice(-KEPT).flatMap(({ entry }) => entry ?? []);
  return entries.filter(({ text }) => text.length <= MAX_KEPT_LENGTH);
}

/** A line that says how an outage went. @param {string} bar @param {boolean} isLoss */
export const addBar = (bar, isLoss) => add({ bar, isLoss });

/** @param {LogItem} item */
function add(item) {
  items.push(item);
  const left = items.length > MAX_ROWS ? items.shift() : undefined;
  if (left?.row) evicted.push(left.row);
  if (isPaused) fresh += 1;
  paintSoon();
}

function paint() {
  if (!isPaused) paintRows();
  show('count', count(total));
  show('fresh', isPaused ? `Paused, ${count(fresh)} new` : `${count(fresh)} new ↓`);
  element('fresh').hidden = fresh === 0;
  element('no-notifications').hidden = items.length > 0;
  paintTypes();
}

/** From the first row on. That ends a pause: rows that are gone can't stand still. */
function paintAnew() {
  remove([...list.children]);
  items = items.map(({ row, isPainted, ...item }) => item);
  pause(false);
  follow(true);
}

function paintTypes() {
  for (const type of [...types].slice(filter.length - 1)) {
    const disabled = filter.length > MAX_TYPES;
    filter.add(Object.assign(new Option(disabled ? 'and more types' : type, type), { disabled }));
  }
}

function paintRows() {
  remove(evicted.splice(0));
  const from = items.findIndex((item) => !item.isPainted);
  if (from < 0) return;
  const batch = items.slice(from, from + ROWS_A_FRAME);
  for (const item of batch) paintItem(item);
  list.append(...batch.flatMap((item) => item.row ?? []));
  if (isFollowing) scrollToEnd();
  else fresh += batch.length;
  if (from + batch.length < items.length) paintSoon();
}

/** @param {LogItem} item */
function paintItem(item) {
  const { entry, bar, isLoss } = item;
  item.isPainted = true;
  if (bar) item.row = make('li', { className: isLoss ? 'bar loss' : 'bar', title: bar }, bar);
  else if (entry && [entry.event.type, ''].includes(filter.value)) item.row = entryRow(entry);
}

/** @param {Entry} entry */
function entryRow(entry) {
  const { event, fate } = entry;
  const row = button('', () => withModule('inspector', ({ inspect }) => inspect(entry)));
  row.tabIndex = -1;
  row.append(
    make('i', { className: `cell ${fate}` }),
    make('small', {}, `${seqOf(event.id)}`),
    make('span', {}, sentence(event)),
    make('small', {}, timeOf(event.time)),
  );
  return make('li', {}, row);
}

/** A row that leaves hands its focus to the log. @param {HTMLElement[]} rows */
function remove(rows) {
  const hadFocus = rows.some((row) => row.contains(document.activeElement));
  for (const row of rows) row.remove();
  if (hadFocus) region.focus({ preventScroll: true });
}

/** @param {boolean} isOn */
function follow(isOn) {
  isFollowing = isOn;
  if (isOn && !isPaused) fresh = 0;
  if (isOn) scrollToEnd();
  paintSoon();
}

function scrollToEnd() {
  region.scrollTop = region.scrollHeight;
  top = region.scrollTop;
}

/** @param {boolean} isOn */
function pause(isOn) {
  isPaused = isOn;
  fresh = 0;
  element('pause').ariaPressed = String(isOn);
  if (!isOn) follow(isFollowing);
}

/** With the arrow keys: for Tab the log is one stop. @param {KeyboardEvent} event */
function move(event) {
  const rows = [...list.querySelectorAll('button')];
  const at = rows.indexOf(document.activeElement);
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!step || (at < 0 && event.target !== region)) return;
  event.preventDefault();
  (at < 0 ? rows.at(-1) : rows[at + step])?.focus();
}

region.onkeydown = move;
// A change of size, as at a zoom, moves the end away: the log goes after it.
new ResizeObserver(() => isFollowing && scrollToEnd()).observe(list);
// Only the reader scrolls up.
region.onscroll = () => {
  const isAtEnd = region.scrollHeight - region.scrollTop - region.clientHeight < 40;
  const isUp = region.scrollTop < top - 1;
  top = region.scrollTop;
  if (isAtEnd !== isFollowing) follow(isAtEnd || !isUp);
};
element('fresh').onclick = () => {
  pause(false);
  follow(true);
  region.focus({ preventScroll: true });
};
element('pause').onclick = () => pause(!isPaused);
element('clear').onclick = () => {
  remove([...list.children]);
  [items, evicted, total, fresh] = [[], [], 0, 0];
  paintSoon();
};
filter.onchange = paintAnew;
onPaint(paint);
