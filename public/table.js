// The rows of the customers' table: each stays where it is, so that a flood moves no focus, and a row that
// someone edits is left alone.
import { button, element, make, setText, withModule } from './dom.js';
import { edit } from './forms.js';

const body = element('customers');

/**
 * @param {Map<number, Customer>} customers
 * @param {number[]} ids which of them, in this order
 * @param {() => void} onEdited called when a row may show again what the stream says
 */
export function paintRows(customers, ids, onEdited) {
  const rows = new Map([...body.rows].map((row) => [Number(row.dataset.id), row]));
  const shown = new Set(ids);
  if (ids.length > 0) withModule('editor', () => {}); // before it is wanted: what is typed after *Edit* must find its field
  for (const [id, row] of rows) if (!shown.has(id)) removeRow(row);
  for (const [index, id] of ids.entries()) {
    const row = rows.get(id) ?? customerRow(id, onEdited);
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

/** @param {number} id @param {() => void} onEdited */
function customerRow(id, onEdited) {
  const actions = make(
    'td',
    { className: 'actions' },
    button('Edit', () => edit('editCustomer', [row, onEdited])),
    button('Delete', () => edit('removeCustomer', [row])),
  );
  const row = make('tr', {}, make('th', { scope: 'row' }, `${id}`), make('td', {}), make('td', {}), actions);
  row.dataset.id = id;
  return row;
}

/** @param {any} row @param {Customer} customer */
function fillRow(row, { name, email }) {
  if (row.dataset.isEdited) return; // what someone types is not written over, whatever comes
  const [, nameCell, emailCell, actions] = row.cells;
  for (const [cell, text] of [
    [nameCell, name],
    [emailCell, email ?? ''],
  ]) {
    setText(cell, text);
    cell.title = text; // a long one is shortened
  }
  for (const action of actions.children) action.ariaLabel = `${action.textContent} ${name}`;
}
