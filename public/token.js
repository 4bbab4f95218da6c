// The form that asks for the server's token. It stands above all else, since nothing works without it, and keeps
// the token for this tab alone: what lay in localStorage, any later visitor of this browser could read.
import { api, auth } from './api.js';
import { element, make, show } from './dom.js';
import { remember } from './memory.js';

const WHY = 'The server wants its token. It is kept for this tab alone.';

/**
 * A link to the page may carry it: `#access_token=…`, the part of a URL that is sent to no server. From there it goes
 * into this tab's memory, and out of the address, which people copy and pass on.
 */
export function takeFromLink() {
  const token = new URLSearchParams(location.hash.slice(1)).get('access_token')?.trim();
  if (!token) return;
  remember('token', token);
  history.replaceState(null, '', location.pathname + location.search);
  auth.token = token;
}

/** Shows it, or says that the one given was wrong. It takes the focus only once: a refusal may come at any time. */
export function ask() {
  const form = element('token') ?? makeForm();
  if (auth.token) show('token-why', 'The server did not take that token.');
  if (!form.hidden) return;
  form.hidden = false;
  element('token-field').focus(); // nothing else on the page works yet
}

function makeForm() {
  const input = make('input', { id: 'token-field', type: 'password', autocomplete: 'off', required: true });
  input.setAttribute('aria-describedby', 'token-why');
  const form = make(
    'form',
    { id: 'token', className: 'line', hidden: true, onsubmit: use },
    make('label', { htmlFor: 'token-field' }, 'API token'),
    input,
    make('button', { className: 'bold' }, 'Use this token'),
    make('p', { id: 'token-why', className: 'hint' }, WHY),
  );
  document.querySelector('main')?.prepend(form);
  return form;
}

/** Tried before it is believed: a wrong one would only close the form and fail elsewhere. @param {SubmitEvent} submit */
async function use(submit) {
  submit.preventDefault();
  auth.token = element('token-field').value.trim();
  const response = await api('/api/events?limit=1').catch(() => undefined);
  if (!response?.ok) return;
  remember('token', auth.token);
  element('token').hidden = true;
  auth.onChange();
}
