// What people write: a new customer, an edit, a deletion, and the undoing of it. Each is a plain request, and
// shows the `curl` line that does the same. The server's errors stand at their field.
import { api, curlLine } from './api.js';
import { connection } from './connection.js';
import { button, element, make, setText, show } from './dom.js';

const NO_ANSWER = 'No answer came: the server may have saved it, or not. The table will show it if so.';
const undo = element('undo');

/** @param {string} text @param {(() => void) | null} [onUndo] */
function say(text, onUndo = null) {
  show('said', text);
  undo.hidden = onUndo === null;
  undo.onclick = onUndo;
}

/** While the cable is cut the table can't know. */
const whenHeard = () => (connection.state === 'live' ? '' : ' This page hears of it when it is back.');

/** Resolves to the answer if it was saved. @param {string} path @param {string} method @param {any} [body] @param {any} [form] */
async function write(path, method, body, form) {
  element('curl').hidden = false;
  show('curl-line', curlLine(path, method, body));
  try {
    const response = await api(path, method, body);
    const answer = response.status === 204 ? {} : await response.json();
    if (form) showErrors(form, answer.errors ?? []);
    if (response.ok) return answer;
    say(answer.errors ? '' : answer.detail);
  } catch {
    say(NO_ANSWER);
  }
}

/** @param {any} form */
function fieldsOf(form) {
  const [name, email] = form.querySelectorAll('input');
  return { name: name.value, email: email.value.trim() || undefined };
}

/** Each at its field, the focus on the first. @param {any} form @param {any[]} errors */
function showErrors(form, errors) {
  for (const input of [...form.querySelectorAll('input')].reverse()) {
    const error = errors.find(({ pointer }) => pointer === `#/${input.name}`);
    const label = input.name === 'name' ? 'Name' : 'Email';
    setText(input.nextElementSibling, error ? `${label} ${error.detail}.` : '');
    input.ariaInvalid = error ? 'true' : null;
    if (error) input.focus();
  }
}

const form = element('add');
form.onsubmit = async (/** @type {SubmitEvent} */ submit) => {
  submit.preventDefault();
  const saved = await write('/api/customers', 'POST', fieldsOf(form), form);
  if (!saved) return;
  say(`Saved as customer ${saved.id}.${whenHeard()}`);
  form.reset();
  element('name').focus();
};

/** @param {any} row */
export async function removeCustomer(row) {
  const { id } = row.dataset;
  const [, name, email] = [...row.cells].map((cell) => cell.textContent);
  if (!(await write(`/api/customers/${id}`, 'DELETE'))) return;
  say(`${name} is deleted.${whenHeard()}`, async () => {
    const again = await write('/api/customers', 'POST', { name, email: email || undefined });
    if (again) say(`${name} is back, as customer ${again.id}: a number is never used twice.`);
    element('name').focus();
  });
}

/** Turns a row into fields until it is saved or left. @param {any} row @param {() => void} onEdited */
export function editCustomer(row, onEdited) {
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
