// What people write is a plain request, as anyone could send it. The server's errors stand at their field. What is
// saved comes back over the stream alone: nothing here touches the table.
import { api, auth } from './api.js';
import { connection } from './connection.js';
import { button, element, make, setText, show } from './dom.js';
import { say } from './forms.js';
import { shortened } from './sentences.js';
import { noteHead } from './server.js';

const NO_ANSWER = 'No answer came: the server may have saved it, or not. This page shows it, if so.';
const MAX_SHOWN = 40; // of a name: it stands on the line of the heading

/** @param {any} form */
export async function addCustomer(form) {
  const saved = await write('/api/customers', 'POST', fieldsOf(form), form);
  if (!saved) return;
  say(`Saved as customer ${saved.id}.${whenHeard()}`);
  form.reset();
  element('name').focus(); // for the next
}

/** @param {any} form @param {(text: string) => void} tell */
export async function publish(form, tell) {
  const body = { message: element('message').value };
  if (await write('/api/events', 'POST', body, form, tell)) form.reset();
  element('message').focus();
}

/** Turns a row into fields until it is saved or left. @param {any} row @param {() => void} onEdited */
export function editCustomer(row, onEdited) {
  if (row.dataset.isEdited) return; // pressed twice
  const { id } = row.dataset;
  const buttons = [...row.cells[3].children]; // the same ones come back: the focus can go where it came from

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
    // A row of a table can be no form. On a button Enter already presses that button.
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

/** While the cable is cut the table can't know. */
const whenHeard = () => (connection.state === 'live' ? '' : ' This page hears of it when it is back.');

/**
 * Resolves to the answer if it was saved; else it is told why not.
 * @param {string} path @param {string} method @param {any} [body] @param {any} [form] @param {(text: string) => void} [tell]
 */
async function write(path, method, body, form, tell = say) {
  try {
    const response = await save(path, method, body);
    const answer = response.status === 204 ? {} : await response.json();
    // Where fields are at fault each says so itself, and an older sentence must not stand beside them.
    if (!response.ok) tell(answer.errors ? '' : answer.detail);
    if (form) showErrors(form, answer.errors ?? []);
    if (response.ok) return answer;
  } catch {
    // The request may have arrived, and only its answer not: to say that nothing was saved could be wrong.
    tell(NO_ANSWER);
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
    const label = input.name.replace(/^./, (/** @type {string} */ first) => first.toUpperCase());
    setText(input.nextElementSibling, error ? `${label} ${error.detail}.` : '');
    input.ariaInvalid = error ? 'true' : null;
    if (error) input.focus();
  }
}

/**
 * A write by hand: the line that does the same from a terminal is there before the answer, which may not come.
 * @param {string} path @param {string} method @param {unknown} [body] @returns {Promise<Response>}
 */
export async function save(path, method, body) {
  show('curl-line', curlLine(path, method, body));
  document.documentElement.classList.add('has-written');
  const response = await api(path, method, body);
  noteHead(response.headers.get('Last-Event-ID') ?? '0'); // who is cut off has missed it from now on
  return response;
}

/** The same from a shell, without the token. @param {string} path @param {string} method @param {unknown} body */
function curlLine(path, method, body) {
  const parts = [method === 'POST' ? 'curl' : `curl -X ${method}`, location.origin + path];
  if (auth.token) parts.push('-H "Authorization: Bearer $API_TOKEN"');
  if (body) parts.push("-H 'Content-Type: application/json' -d", quoted(JSON.stringify(body)));
  return parts.join(' ');
}

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;
