// What people write is a plain request, and shows the `curl` line that does the same. The server's errors stand at
// their field. Here the form for a new customer; `rows.js` edits and deletes.
import { api, curlLine } from './api.js';
import { connection } from './connection.js';
import { element, setText, show } from './dom.js';

const NO_ANSWER = 'No answer came: the server may have saved it, or not. This page shows it, if so.';
const undo = element('undo');

/** @param {string} text @param {(() => void) | null} [onUndo] */
export function say(text, onUndo = null) {
  show('said', text);
  undo.hidden = onUndo === null;
  undo.onclick = onUndo;
}

/** While the cable is cut the table can't know. */
export const whenHeard = () => (connection.state === 'live' ? '' : ' This page hears of it when it is back.');

/**
 * Resolves to the answer if it was saved; else it is told why not.
 * @param {string} path @param {string} method @param {any} [body] @param {any} [form] @param {(text: string) => void} [tell]
 */
export async function write(path, method, body, form, tell = say) {
  element('curl').hidden = false;
  show('curl-line', curlLine(path, method, body));
  try {
    const response = await api(path, method, body);
    const answer = response.status === 204 ? {} : await response.json();
    if (!response.ok) tell(answer.errors ? '' : answer.detail);
    if (form) showErrors(form, answer.errors ?? []);
    if (response.ok) return answer;
  } catch {
    tell(NO_ANSWER);
  }
}

/** @param {any} form */
export function fieldsOf(form) {
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

const form = element('add');
form.onsubmit = async (/** @type {SubmitEvent} */ submit) => {
  submit.preventDefault();
  const saved = await write('/api/customers', 'POST', fieldsOf(form), form);
  if (!saved) return;
  say(`Saved as customer ${saved.id}.${whenHeard()}`);
  form.reset();
  element('name').focus();
};
