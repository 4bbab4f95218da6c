// The customers of the page, kept current by the stream alone: a snapshot once, then every event after it.
// What the form gets back is not shown here; while the stream is cut, this table stands still.
// It is no `LiveTable`: that has a connection of its own and always resumes. So it would stay right where this
// page's own connection is cut, or has lost something, and here one shall see what that does to a table.
import { api, reasonOf } from './api.js';
import { connection } from './connection.js';
import { count, element, onPaint, paintSoon, seqOf, show } from './dom.js';
import { Roster } from './roster.js';
import { paintRows } from './table.js';

const MAX_ROWS = 100; // the newest, and they come first: one sees what was just added
const MAX_PAGES = 100; // 50,000 customers: the page says that there are more
const RETRY_MS = 2000;
const NO_CUSTOMERS = new Error('This server keeps no customers.');

class Customers {
  roster = new Roster();
  isLoaded = false; // is there a snapshot at all?
  isOff = false; // this server keeps no customers
  #meanwhile = /** @type {ChangeEvent[] | undefined} */ (undefined); // came while a snapshot was loaded
  #snapshotSeq = 0;
  #lostBefore = 0;
  #isCut = false; // are there more than we asked for?
  #problem = '';

  /** Changes that never came since the snapshot: then the table may be wrong. */
  lost() {
    return connection.ledger.missing() - this.#lostBefore;
  }

  isLoading() {
    return this.#meanwhile !== undefined;
  }

  /** A snapshot; then what came meanwhile. If two are under way, the newer one counts. */
  async load() {
    const changes = /** @type {ChangeEvent[]} */ ([]);
    this.#meanwhile = changes;
    try {
      const { rows, id, next } = await readPages();
      if (this.#meanwhile !== changes) return; // asked again meanwhile: that answer is newer
      connection.ledger.know(id);
      [this.roster.rows, this.#snapshotSeq, this.#isCut, this.#problem] = [
        rows,
        seqOf(id),
        next !== null,
        '',
      ];
      [this.#meanwhile, this.isLoaded, this.#lostBefore] = [undefined, true, connection.ledger.missing()];
      for (const event of changes) this.apply(event);
    } catch (error) {
      this.isOff = error === NO_CUSTOMERS;
      this.#problem = `The customers could not be loaded. ${reasonOf(error)}`;
      if (!this.isOff) setTimeout(() => this.#meanwhile === changes && this.load(), RETRY_MS);
    }
    repaint();
  }

  /** @param {ChangeEvent} event */
  apply(event) {
    if (this.#meanwhile) return void this.#meanwhile.push(event);
    // What the snapshot holds already must not be taken back to what it was before.
    if (seqOf(event.id) > this.#snapshotSeq && this.roster.apply(event)) isStale = true;
  }

  paint() {
    const lost = this.lost();
    const doubt = lost > 0 ? `${count(lost, 'change')} never came: this table may be wrong.` : '';
    show('customers-note', this.#problem || doubt);
    element('load-afresh').hidden = !doubt;
    document.documentElement.classList.toggle('without-customers', this.isOff);
    const { rows } = this.roster;
    // Who is cut off, or has lost something, can't know that there are none.
    const areNone = rows.size === 0 && this.isLoaded && connection.isCurrent() && !doubt;
    element('no-customers').hidden = !areNone;
    if (!isStale) return; // else a flood of messages would sort thousands of ids in each frame
    isStale = false;
    paintRows(rows, this.roster.newest(MAX_ROWS), repaint);
    const newest = rows.size > MAX_ROWS ? `the newest ${MAX_ROWS} of ` : '';
    show('customer-count', this.isLoaded ? newest + count(rows.size) + (this.#isCut ? ' and more' : '') : '');
  }
}

/** All customers, and the position of the first page, from which to go on. */
async function readPages() {
  const rows = /** @type {Map<number, Customer>} */ (new Map());
  let first = '';
  let next = '/api/customers?limit=500';
  for (let page = 0; next && page < MAX_PAGES; page += 1) {
    const response = await api(next);
    const answer = await response.json();
    if (response.status === 404) throw NO_CUSTOMERS;
    if (!response.ok) throw new Error(answer.detail);
    for (const customer of answer.customers) rows.set(customer.id, customer);
    first ||= answer.lastEventId;
    next = answer.next;
  }
  return { rows, id: first, next };
}

let isStale = true;
function repaint() {
  isStale = true;
  paintSoon();
}

export const customers = new Customers();
element('load-afresh').onclick = () => customers.load();
onPaint(() => customers.paint());
