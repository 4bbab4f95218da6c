// The demo page: a table of customers that the stream alone keeps current, and a log of what came.
// Events are collected and painted once per animation frame, with at most 500 rows kept: a page that
// appends and scrolls for each event freezes under a few thousand.
import { ChangeStream } from './changebell.js';

const MAX_ROWS = 500;
const TOKEN_KEY = 'changebell-token';

/** @typedef {{ id: number, name: string, email: string | null }} Customer */
/** @typedef {import('./changebell.js').ChangeEvent} ChangeEvent */

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);

/** @type {Map<number, Customer>} */
const customers = new Map();
/** @type {ChangeEvent[]} */
let unpainted = [];
let isPaintDue = false;
let areCustomersStale = false;
let isSummaryDue = false;
let clients = 0;
/** @type {ChangeStream | undefined} */
let stream;

/** @param {string} path @param {RequestInit} [init] */
async function api(path, init = {}) {
  const token = sessionStorage.getItem(TOKEN_KEY);
  const headers = {
    ...(init.body ? { 'Content-Type': 'application/json' } : {}),
    ...(token ? { Authorization: `Bearer ${token}` } : {}),
  };
  const response = await fetch(path, { ...init, headers });
  if (response.status === 401) {
    element('token').hidden = false;
    element('token-field').focus();
  }
  return response;
}

/** Loads every page of customers, then follows the stream from where the first page was true. */
async function start() {
  stream?.close();
  try {
    const fresh = new Map();
    let lastEventId;
    for (let next = '/api/customers?limit=500'; next; ) {
      const response = await api(next);
      if (!response.ok) throw new Error(`The server refuses: ${(await response.json()).detail}`);
      const page = await response.json();
      lastEventId ??= page.lastEventId; // the first: what changed since is repeated by the stream
      for (const customer of page.customers) fresh.set(customer.id, customer);
      next = page.next;
    }
    customers.clear();
    for (const [id, customer] of fresh) customers.set(id, customer);
    areCustomersStale = true;
    schedulePaint();
    follow(lastEventId);
  } catch (error) {
    element('state').textContent = error instanceof TypeError ? 'The server does not answer.' : String(error);
    if (element('token').hidden) setTimeout(start, 2000);
  }
}

/** @param {string} lastEventId */
function follow(lastEventId) {
  const token = sessionStorage.getItem(TOKEN_KEY);
  const url = new URL('/ws', location.href).href.replace(/^http/, 'ws');
  const current = new ChangeStream(url, { lastEventId, ...(token ? { token } : {}) });
  stream = current;
  current.addEventListener('message', (event) => receive(/** @type {MessageEvent} */ (event).data));
  current.addEventListener('reset', start);
  current.addEventListener('state', schedulePaint);
  current.addEventListener('heartbeat', (event) => {
    clients = /** @type {any} */ (event).detail.clients;
    schedulePaint();
  });
}

/** @param {ChangeEvent} event */
function receive(event) {
  if (event.type === 'customer.deleted') customers.delete(event.data.id);
  else if (event.type.startsWith('customer.')) customers.set(event.data.id, event.data);
  areCustomersStale ||= event.type.startsWith('customer.');
  unpainted.push(event);
  if (unpainted.length > MAX_ROWS) unpainted.shift();
  schedulePaint();
}

function schedulePaint() {
  if (isPaintDue) return;
  isPaintDue = true;
  requestAnimationFrame(paint);
}

function paint() {
  isPaintDue = false;
  paintState();
  if (areCustomersStale) paintCustomers();
  areCustomersStale = false;
  if (unpainted.length > 0) paintLog();
}

function paintState() {
  if (!stream) return;
  const words = {
    connecting: `Connecting…${stream.tries > 0 ? `, try ${stream.tries + 1}` : ''}`,
    'catching-up': 'Catching up',
    live: 'Live',
    waiting: `Waiting to reconnect (${stream.closeReason})`,
    closed: 'Closed',
  };
  const state = element('state');
  state.textContent = words[stream.state];
  state.dataset.state = stream.state;
  state.dataset.lastEventId = stream.lastEventId ?? '';
  element('position').textContent = stream.lastEventId ? `at ${stream.lastEventId}` : '';
  element('clients').textContent = clients === 1 ? '1 client' : clients > 1 ? `${clients} clients` : '';
  element('retry').hidden = stream.state !== 'waiting';
}

/** Rows are kept where they are, so that the focus stays on the button that has it. */
function paintCustomers() {
  const body = element('customers');
  const sorted = [...customers.values()].sort((a, b) => a.id - b.id);
  const rows = new Map([...body.rows].map((row) => [Number(row.dataset.id), row]));
  for (const [id, row] of rows) if (!customers.has(id)) row.remove();
  for (const [index, customer] of sorted.entries()) {
    const row = rows.get(customer.id) ?? customerRow(customer.id);
    row.cells[1].textContent = customer.name;
    row.cells[2].textContent = customer.email ?? '';
    row.cells[3].firstChild.setAttribute('aria-label', `Delete ${customer.name}`);
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
  }
  element('empty').hidden = customers.size > 0;
}

/** @param {number} id @returns {any} */
function customerRow(id) {
  const row = document.createElement('tr');
  row.dataset.id = String(id);
  for (const text of [String(id), '', '', '']) row.insertCell().textContent = text;
  const remove = document.createElement('button');
  remove.type = 'button';
  remove.textContent = 'Delete';
  remove.addEventListener('click', () => api(`/api/customers/${id}`, { method: 'DELETE' }));
  row.cells[3]?.replaceChildren(remove);
  return row;
}

function paintLog() {
  const log = element('log');
  const pane = element('notifications');
  const isAtEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40;
  log.append(...unpainted.map(logRow));
  summarise(unpainted.length, unpainted[unpainted.length - 1]);
  unpainted = [];
  while (log.children.length > MAX_ROWS) log.firstChild.remove();
  if (isAtEnd) pane.scrollTop = pane.scrollHeight;
}

/** One line for screen readers, at most once a second. @param {number} count @param {ChangeEvent | undefined} last */
function summarise(count, last) {
  if (isSummaryDue || !last) return;
  isSummaryDue = true;
  element('summary').textContent =
    count === 1 ? sentence(last) : `${count} notifications, the last: ${sentence(last)}`;
  setTimeout(() => {
    isSummaryDue = false;
  }, 1000);
}

/** @param {ChangeEvent} event */
function logRow(event) {
  const row = document.createElement('li');
  const text = document.createElement('span');
  text.textContent = sentence(event);
  const small = document.createElement('small');
  small.textContent = `${event.id} · ${new Date(event.time).toLocaleTimeString()}`;
  row.append(text, small);
  return row;
}

/** @param {ChangeEvent} event */
function sentence({ type, data }) {
  const verb = /** @type {Record<string, string>} */ ({
    'customer.created': 'was added',
    'customer.updated': 'was changed',
    'customer.deleted': 'was deleted',
  })[type];
  if (verb) return `${data.name} ${verb}`;
  if (type === 'notification' && typeof data?.message === 'string') return data.message;
  return `${type}: ${JSON.stringify(data)}`;
}

/** @param {SubmitEvent} submit */
async function addCustomer(submit) {
  submit.preventDefault();
  const name = element('name').value;
  const email = element('email').value.trim() || null;
  for (const id of ['name-error', 'email-error', 'form-error']) element(id).textContent = '';
  try {
    const response = await api('/api/customers', { method: 'POST', body: JSON.stringify({ name, email }) });
    if (!response.ok) return showErrors(await response.json());
    element('add').reset();
    element('name').focus();
  } catch {
    element('form-error').textContent = 'The server does not answer: nothing was saved.';
  }
}

/** @param {{ detail: string, errors?: { pointer: string, detail: string }[] }} problem */
function showErrors({ detail, errors }) {
  if (!errors) element('form-error').textContent = detail;
  for (const error of errors ?? []) {
    const field = error.pointer.slice(2);
    element(`${field}-error`).textContent = `${field === 'name' ? 'Name' : 'Email'} ${error.detail}.`;
    element(field).focus();
  }
}

element('add').addEventListener('submit', addCustomer);
element('retry').addEventListener('click', () => stream?.retry());
element('token').addEventListener('submit', (/** @type {SubmitEvent} */ submit) => {
  submit.preventDefault();
  sessionStorage.setItem(TOKEN_KEY, element('token-field').value);
  element('token').hidden = true;
  start();
});
start();
