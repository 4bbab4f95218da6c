// *Try it*: a request to this very server, and the curl line that makes the same.
import { make } from '../dom.js';
import { follow, pre } from './parts.js';

/** @typedef {import('./parts.js').Json} Json */
/** @typedef {{ method: string, path: string, parameters: Json[], operation: Json }} Asked */

let forms = 0;

/** Nothing for what fetch can't show: a handshake. @param {Json} openapi @param {Asked} asked */
export function tryIt(openapi, asked) {
  const { method, path, parameters, operation } = asked;
  if (operation.responses[101]) return [];
  const fields = parameters.map((parameter) => ({
    parameter,
    ...field(labelOf(parameter), parameter.schema),
  }));
  const [type = '', media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const body = type === '' ? undefined : field('Body', undefined, JSON.stringify(bodyOf(openapi, media)));
  const needsToken = (operation.security ?? openapi.security).length > 0;
  const token = needsToken ? field('Token', undefined) : undefined;
  const line = pre('');
  const answer = pre('');
  answer.hidden = true;
  answer.setAttribute('role', 'status');
  const all = [...fields, body, token].filter((one) => one !== undefined);

  const request = () => {
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
    if (token?.input.value) headers.Authorization = `Bearer ${token.input.value}`;
    const search = query.size > 0 ? `?${query}` : '';
    return { method: method.toUpperCase(), url: url + search, headers, body: body?.input.value };
  };
  const show = () => {
    line.textContent = curlOf(request());
  };
  const send = async () => {
    answer.hidden = false;
    answer.textContent = '…';
    answer.textContent = await answerTo(request()).catch((error) => `No answer: ${error.message}`);
  };
  const form = make('form', { className: 'try', method: 'dialog', oninput: show, onsubmit: send });
  form.append(...all.map(({ label }) => label), make('button', { textContent: 'Send' }));
  show();
  return [make('h3', { textContent: 'Try it' }), form, line, answer];
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

/** @param {Json} openapi @param {any} media */
function bodyOf(openapi, media) {
  const [first] = Object.values(media.examples ?? {});
  return first ? first.value : (follow(openapi, media.schema).examples?.[0] ?? {});
}

/** As a shell of POSIX takes it. @param {{method: string, url: string, headers: Record<string, string>, body?: string}} request */
export function curlOf({ method, url, headers, body }) {
  const quote = (/** @type {string} */ text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const lines = Object.entries(headers).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`);
  const data = body ? [`--data-raw ${quote(body)}`] : [];
  return ['curl -i', ...(method === 'GET' ? [] : [`-X ${method}`]), quote(url), ...lines, ...data].join(' ');
}

/** Status, headers and body as text. @param {{method: string, url: string, headers: Record<string, string>, body?: string}} request */
async function answerTo({ method, url, headers, body }) {
  const response = await fetch(url, { method, headers, ...(body ? { body } : {}), cache: 'no-store' });
  const fields = [...response.headers].map(([name, value]) => `${name}: ${value}`);
  const text = await response.text();
  return [`${response.status} ${response.statusText}`, ...fields, '', pretty(text)].join('\n');
}

/** @param {string} text */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
