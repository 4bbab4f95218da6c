// *Try it*: a request to this very server, and the curl line that makes the same. An answer is shown as it comes, so that
// a stream can be tried as well.
import { make } from '../dom.js';
import { follow, pre } from './parts.js';

/** @typedef {import('./parts.js').Json} Json */
/** @typedef {{ method: string, path: string, parameters: Json[], operation: Json }} Asked */
/** @typedef {{ method: string, url: string, headers: Record<string, string>, body?: string | undefined }} Sent */

const MOST_SHOWN = 20_000; // characters: a stream has no end

let forms = 0;

/** Nothing for what fetch can't show: a handshake. @param {Json} openapi @param {Asked} asked */
export function tryIt(openapi, asked) {
  if (asked.operation.responses[101]) return [];
  const inputs = inputsOf(openapi, asked);
  const line = pre('');
  const answer = pre('');
  answer.hidden = true;
  answer.setAttribute('role', 'status');
  const show = () => {
    line.textContent = curlOf(requestOf(asked, inputs));
  };
  const send = sender(answer, () => requestOf(asked, inputs));
  const { fields, accept, body, token } = inputs;
  const all = [...fields, accept, body, token].flatMap((one) => one?.label ?? []);
  const form = make('form', { className: 'try', method: 'dialog', oninput: show, onsubmit: send });
  form.append(...all, make('button', { textContent: 'Send' }));
  show();
  return [make('h3', { textContent: 'Try it' }), form, line, answer];
}

/** What can be filled in. @param {Json} openapi @param {Asked} asked */
function inputsOf(openapi, { parameters, operation }) {
  const fields = parameters.map((parameter) => ({
    parameter,
    ...field(labelOf(parameter), parameter.schema),
  }));
  const [type = '', media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const body = type === '' ? undefined : field('Body', undefined, JSON.stringify(bodyOf(openapi, media)));
  const types = Object.keys(follow(openapi, operation.responses[200])?.content ?? {});
  const accept = types.length > 1 ? choice('Accept (header)', types) : undefined;
  const needsToken = (operation.security ?? openapi.security).length > 0;
  const token = needsToken ? field('Token', undefined) : undefined;
  return { fields, type, body, types, accept, token };
}

/** As it is filled in now. @param {Asked} asked @param {ReturnType<typeof inputsOf>} inputs @returns {Sent} */
function requestOf({ method, path }, { fields, type, body, types, accept, token }) {
  const query = new URLSearchParams();
  const headers = /** @type {Record<string, string>} */ (type === '' ? {} : { 'Content-Type': type });
  let url = new URL(`.${path}`, new URL('./', location.href)).href
    .replaceAll('%7B', '{')
    .replaceAll('%7D', '}');
  for (const { parameter, input } of fields) {
    if (parameter.in === 'path')
      url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value || '1'));
    else if (input.value === '') continue;
    else if (parameter.in === 'query') query.set(parameter.name, input.value);
    else headers[parameter.name] = input.value;
  }
  if (accept && accept.input.value !== types[0]) headers.Accept = accept.input.value;
  if (token?.input.value) headers.Authorization = `Bearer ${token.input.value}`;
  const search = query.size > 0 ? `?${query}` : '';
  return { method: method.toUpperCase(), url: url + search, headers, body: body?.input.value };
}

/** Sends, and shows what comes; not what still comes of the request before. @param {HTMLElement} answer @param {() => Sent} request */
function sender(answer, request) {
  let asking = new AbortController();
  return async () => {
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    const tell = (/** @type {string} */ text) => {
      if (!signal.aborted) answer.textContent = text;
    };
    answer.hidden = false;
    tell('…');
    await answerTo(request(), signal, tell).catch((error) => tell(`No answer: ${error.message}`));
  };
}

/** @param {Json} parameter */
const labelOf = ({ name, in: place }) => (place === 'path' ? name : `${name} (${place})`);

/** @param {string} name @param {Json | undefined} schema */
function field(name, schema, text = '') {
  const id = `try-${++forms}`;
  const placeholder = schema?.default === undefined ? '' : String(schema.default);
  const isText = name === 'Body';
  const input = make(isText ? 'textarea' : 'input', { id, value: text, placeholder, autocomplete: 'off' });
  return { input, label: make('label', { htmlFor: id }, name, input) };
}

/** @param {string} name @param {string[]} values */
function choice(name, values) {
  const id = `try-${++forms}`;
  const input = make('select', { id }, ...values.map((value) => make('option', { textContent: value })));
  return { input, label: make('label', { htmlFor: id }, name, input) };
}

/** @param {Json} openapi @param {any} media */
function bodyOf(openapi, media) {
  const [first] = Object.values(media.examples ?? {});
  return first ? first.value : (follow(openapi, media.schema).examples?.[0] ?? {});
}

/** As a shell of POSIX takes it. @param {Sent} request */
export function curlOf({ method, url, headers, body }) {
  const quote = (/** @type {string} */ text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const lines = Object.entries(headers).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`);
  const data = body ? [`--data-raw ${quote(body)}`] : [];
  const isStream = headers.Accept === 'text/event-stream';
  return [
    isStream ? 'curl -iN' : 'curl -i',
    ...(method === 'GET' ? [] : [`-X ${method}`]),
    quote(url),
    ...lines,
    ...data,
  ].join(' ');
}

/**
 * Status, headers and body as text, again with each piece that comes.
 * @param {Sent} request
 * @param {AbortSignal} signal
 * @param {(text: string) => void} tell
 */
async function answerTo({ method, url, headers, body }, signal, tell) {
  const response = await fetch(url, {
    method,
    headers,
    ...(body ? { body } : {}),
    cache: 'no-store',
    signal,
  });
  const fields = [...response.headers].map(([name, value]) => `${name}: ${value}`);
  const head = [`${response.status} ${response.statusText}`, ...fields, '', ''].join('\n');
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    text = (text + part.value).slice(-MOST_SHOWN);
    tell(head + text);
  }
  tell(head + pretty(text));
}

/** @param {string} text */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
