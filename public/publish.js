// Any program can notify the clients, and any can listen: a field to publish a message, and the line with
// which a terminal hears what this page hears.
import { api, auth, curlLine } from './api.js';
import { element, onPaint, show } from './dom.js';

const form = element('publish');
form.onsubmit = async (/** @type {SubmitEvent} */ submit) => {
  submit.preventDefault();
  const message = element('message').value;
  const answer = await api('/api/events', 'POST', { message })
    .then((response) => response.json())
    .catch(() => ({ detail: 'No answer came: it may have been published, or not.' }));
  const [error] = answer.errors ?? [];
  show('message-error', error ? `The message ${error.detail}.` : (answer.detail ?? ''));
  element('message').ariaInvalid = error ? 'true' : null;
  if (answer.id) form.reset();
  element('message').focus();
};

onPaint(() => {
  const token = auth.token ? ' -H "Authorization: Bearer $API_TOKEN"' : '';
  show('terminal-line', `curl -N ${location.origin}/api/events -H 'Accept: text/event-stream'${token}`);
});

for (const [copy, line] of [
  ['copy', 'curl-line'],
  ['copy-terminal', 'terminal-line'],
]) {
  const copyButton = element(copy ?? '');
  copyButton.hidden = !navigator.clipboard; // only on localhost, or over https
  copyButton.onclick = () => navigator.clipboard.writeText(element(line ?? '').textContent);
}
show('curl-line', curlLine('/api/customers', 'GET', undefined));
