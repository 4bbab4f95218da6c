// The two forms, and the lines for a terminal. Here is what must be there from the start; what sends, and shows the
// server's answer at its field, is `editor.js`, and is fetched when it is wanted.
import { auth } from './api.js';
import { element, lazily, onPaint, show } from './dom.js';

const undo = element('undo');

/** Beside the heading of the customers. @param {string} text @param {(() => void) | null} [onUndo] */
export function say(text, onUndo = null) {
  show('said', text);
  undo.hidden = onUndo === null;
  undo.onclick = onUndo;
}

/**
 * By the name of a function of `editor.js`; where that can't be fetched, nothing was sent.
 * @param {string} name @param {unknown[]} about @param {(text: string) => void} [tell]
 */
export const edit = (name, about, tell = say) =>
  lazily('editor').then(
    (editor) => editor[name](...about),
    () => tell('No answer came from the server: nothing is changed.'),
  );

/** @param {string} text */
const tellPublisher = (text) => show('message-error', text);

element('add').onsubmit = (/** @type {SubmitEvent} */ submit) => {
  submit.preventDefault();
  edit('addCustomer', [submit.target]);
};
element('publish').onsubmit = (/** @type {SubmitEvent} */ submit) => {
  submit.preventDefault();
  edit('publish', [submit.target, tellPublisher], tellPublisher);
};

onPaint(() => {
  const token = auth.token ? ' -H "Authorization: Bearer $API_TOKEN"' : '';
  show('terminal-line', `curl -N ${location.origin}/api/events -H 'Accept: text/event-stream'${token}`);
});

for (const line of ['curl-line', 'terminal-line']) {
  const copy = element(line).nextElementSibling;
  copy.hidden = !navigator.clipboard; // only on localhost, or over https
  copy.onclick = () => navigator.clipboard.writeText(element(line).textContent);
}
