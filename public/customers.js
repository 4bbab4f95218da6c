// The customers, kept current by the stream alone: a snapshot once, then every event after it. What the
// form gets back is not shown here; while the stream is cut, this table stands still.
import { api } from './api.js';
import { ledger } from './connection.js';
import { button, count, element, make, onPaint, paintSoon, seqOf, setText, show } from './dom.js';
import { editCustomer, removeCustomer } from './editor.js';

const MAX_ROWS = 100; // the newest, and they come first: one sees what was just added
const MAX_PAGES = 100;
const RETRY_MS = 2000;

const body = element('customers');
let customers = /** @type {Map<number, Customer>} */ (new Map());
let meanwhile = /** @type {ChangeEvent[] | undefined} */ (undefined); // came while a snapshot was loaded
let snapshotSeq = 0;
let missingBefore = 0;
let isStale = true;
let isCut = false;
let problem = '';

/** A snapshot; then what came meanwhile. If two are under way, the newer one counts. */
export async function load() {
  const changes = /** @type {ChangeEvent[]} */ ([]);
  meanwhile = changes;
  try {
    const { rows, seq, next } = await readPages();
    if (meanwhile !== changes) return;
    meanwhile = undefined;
    [customers, snapshotSeq, isCut, problem, missingBefore] = [rows, seq, !!next, '', ledger.missing()];
    for (const event of changes) apply(event);
  } catch (error) {
    problem = `The customers could not be loaded: ${/** @type {Error} */ (error).message}`;
    setTimeout(() => meanwhile === changes && load(), RETRY_MS);
  }
  repaint();
}

/** All customers, and the position of the first page, from which to go on. */
async function readPages() {
  const rows = /** @type {typeof customers} */ (new Map());
  let first = '';
  let next = '/api/customers?limit=500';
  for (let page = 0; next && page < MAX_PAGES; page += 1) {
    const response = await api(next);
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail);
    for (const customer of answer.customers) rows.set(customer.id, customer);
    first ||= answer.lastEventId;
    next = answer.next;
  }
  return { rows, seq: seqOf(first), next };
}

/** Anyone may publish such an event: its data may be anything. @param {ChangeEvent} event */
export function apply(event) {
  const { id, type, data } = event;
  if (!type.startsWith('customer.') || !Number.isInteger(data?.id)) return;
  if (meanwhile) return void meanwhile.push(event);
  if (seqOf(id) <= snapshotSeq) return;
  if (type === 'customer.deleted') customers.delete(data.id);
  else customers.set(data.id, data);
  isStale = true;
}

function repaint() {
  isStale = true;
  paintSoon();
}

function paint() {
  const missing = ledger.missing() - missingBefore;
  const doubt = missing > 0 ? `${count(missing, 'change')} never came: this table may be wrong.` : '';
  show('customers-note', problem || doubt);
  element('load-afresh').hidden = !doubt;
  if (!isStale) return;
  isStale = false;
  paintRows([...customers.keys()].sort((a, b) => b - a).slice(0, MAX_ROWS));
  element('no-customers').hidden = customers.size > 0 || meanwhile !== undefined;
  const newest = customers.size > MAX_ROWS ? `the newest ${MAX_ROWS} of ` : '';
  show('customer-count', newest + count(customers.size) + (isCut ? ' and more' : ''));
}

/** Rows are kept where they are, and so is the focus. @param {number[]} ids */
function paintRows(ids) {
  const rows = new Map([...body.rows].map((row) => [Number(row.dataset.id), row]));
  const shown = new Set(ids);
  for (const [id, row] of rows) if (!shown.has(id)) removeRow(row);
  for (const [index, id] of ids.entries()) {
    const row = rows.get(id) ?? customerRow(id);
    fillRow(row, /** @type {Customer} */ (customers.get(id)));
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
  }
}

/** The focus goes to the row that takes its place. @param {any} row */
function removeRow(row) {
  const heir = (row.nextElementSibling ?? row.previousElementSibling)?.querySelector('button:last-of-type');
  if (row.contains(document.activeElement)) (heir ?? element('name')).focus();
  row.remove();
}

/** @param {number} id */
function customerRow(id) {
  const edit = button('Edit', () => editCustomer(row, repaint));
  const actions = make('td', { className: 'actions' }, edit);
  actions.append(button('Delete', () => removeCustomer(id)));
  const row = make('tr', {}, make('th', { scope: 'row' }, `${id}`), make('td', {}), make('td', {}), actions);
  row.dataset.id = id;
  return row;
}

/** Left alone while someone edits it. @param {any} row @param {Customer} customer */
function fillRow(row, { name, email }) {
  if (row.dataset.isEdited) return;
  const [, nameCell, emailCell, actions] = row.cells;
  setText(nameCell, String(name));
  setText(emailCell, email ?? '');
  for (const action of actions.children) action.ariaLabel = `${action.textContent} ${name}`;
}

element('load-afresh').onclick = load;
onPaint(paint);
