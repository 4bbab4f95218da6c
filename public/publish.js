// Any program can notify the clients, and any can listen: a field to publish a message, and the line with
// which a terminal hears what this page hears.
import { auth } from './api.js';
import { element, onPaint, show } from './dom.js';
import { write } from './editor.js';

const form = element('publish');
form.onsubmit = async (/** @type {SubmitEvent} */ submit) => {
  submit.preventDefault();
  const body = { message: element('message').value };
  const tell = (/** @type {string} */ text) => show('message-error', text);
  if (await write('/api/events', 'POST', body, form, tell)) form.reset();
  element('message').focus();
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
