// What can be done with a row of the customers' table: it is edited in place, or deleted, and the deletion undone.
// Fetched once there is a row, before anyone asks for it: what is typed after *Edit* must find its field.
import { button, element, make } from './dom.js';
import { fieldsOf, say, whenHeard, write } from './editor.js';
import { shortened } from './sentences.js';

const MAX_SHOWN = 40; // of a name: it stands on the line of the heading

/** Turns a row into fields until it is saved or left. @param {any} row @param {() => void} onEdited */
export function editCustomer(row, onEdited) {
  if (row.dataset.isEdited) return; // pressed twice
  const { id } = row.dataset;
  const buttons = [...row.cells[3].children];

  const leave = () => {
    delete row.dataset.isEdited;
    row.onkeydown = null;
    row.cells[3].replaceChildren(...buttons);
    onEdited();
    buttons[0].focus();
  };
  const save = async () => {
    if (!(await write(`/api/customers/${id}`, 'PUT', fieldsOf(row), row))) return;
    say(`Saved.${whenHeard()}`);
    leave();
  };

  row.dataset.isEdited = 'true';
  row.onkeydown = (/** @type {KeyboardEvent} */ { key, target }) => {
    if (key === 'Escape') leave();
    if (key === 'Enter' && target instanceof HTMLInputElement) save();
  };
  for (const [index, name] of ['name', 'email'].entries()) editCell(row.cells[index + 1], name, id);
  row.cells[3].replaceChildren(button('Save', save), button('Cancel', leave));
  row.querySelector('input').select();
}

/** @param {any} cell @param {string} name of the field @param {string} id of the customer */
function editCell(cell, name, id) {
  const error = make('p', { className: 'error', id: `edit-${name}-${id}` });
  const value = cell.textContent;
  const input = make('input', { name, value, autocomplete: 'off', ariaLabel: `${name} of customer ${id}` });
  input.setAttribute('aria-describedby', error.id);
  cell.replaceChildren(input, error);
}

/** Undone by a new one with the same data: a number that was used can't come back. @param {any} row */
export async function removeCustomer(row) {
  const { id } = row.dataset;
  const [, name, email] = [...row.cells].map((cell) => cell.textContent);
  const shown = shortened(name, MAX_SHOWN);
  if (!(await write(`/api/customers/${id}`, 'DELETE'))) return;
  say(`${shown} is deleted.${whenHeard()}`, async () => {
    const again = await write('/api/customers', 'POST', { name, email: email || undefined });
    if (again) say(`${shown} is back, as customer ${again.id}: a number is never used twice.`);
    element('name').focus();
  });
}
