// What people write: a new customer, an edit, a deletion. Each is a plain request, and shows the `curl`
// line that does the same. The server's errors stand at their field.
import { api, curlLine } from './api.js';
import { button, element, make, setText, show } from './dom.js';

const LATER = 'The table hears of it from the stream.';

/** @param {string} text */
const say = (text) => show('said', text);

/** Resolves to the answer if it was saved. @param {string} path @param {string} method @param {any} [form] */
async function write(path, method, form) {
  const [name, email] = form?.querySelectorAll('input') ?? [];
  const body = form && { name: name.value, email: email.value.trim() || undefined };
  element('curl').hidden = false;
  show('curl-line', curlLine(path, method, body));
  try {
    const response = await api(path, method, body);
    const answer = response.status === 204 ? {} : await response.json();
    if (form) showErrors(form, answer.errors ?? []);
    if (response.ok) return answer;
    say(answer.errors ? '' : answer.detail);
  } catch {
    say('The server does not answer: nothing was saved.');
  }
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
  const saved = await write('/api/customers', 'POST', form);
  if (!saved) return;
  say(`Saved as customer ${saved.id}. ${LATER}`);
  form.reset();
  element('name').focus();
};
element('copy').hidden = !navigator.clipboard; // only on localhost, or over https
element('copy').onclick = () => navigator.clipboard.writeText(element('curl-line').textContent);

/** @param {number} id */
export async function removeCustomer(id) {
  if (await write(`/api/customers/${id}`, 'DELETE')) say(`Customer ${id} is deleted. ${LATER}`);
}

/** Turns a row into fields until it is saved or left. @param {any} row @param {() => void} done */
export function editCustomer(row, done) {
  const { id } = row.dataset;
  const buttons = [...row.cells[3].children];

  const leave = () => {
    delete row.dataset.isEdited;
    row.onkeydown = null;
    row.cells[3].replaceChildren(...buttons);
    done();
    buttons[0].focus();
  };
  const save = async () => {
    if (!(await write(`/api/customers/${id}`, 'PUT', row))) return;
    say(`Saved. ${LATER}`);
    leave();
  };

  row.dataset.isEdited = 'true';
  row.onkeydown = (/** @type {KeyboardEvent} */ { key, target }) => {
    if (key === 'Escape') leave();
    if (key === 'Enter' && target instanceof HTMLInputElement) save();
  };
  for (const [index, name] of ['name', 'email'].entries()) {
    const cell = row.cells[index + 1];
    const error = make('p', { className: 'error', id: `edit-${name}-${id}` });
    const value = cell.textContent;
    const input = make('input', { name, value, autocomplete: 'off', ariaLabel: `${name} of customer ${id}` });
    input.setAttribute('aria-describedby', error.id);
    cell.replaceChildren(input, error);
  }
  row.cells[3].replaceChildren(button('Save', save), button('Cancel', leave));
  row.querySelector('input').select();
}
