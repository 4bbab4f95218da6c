// A live copy of a table: a snapshot, then every change after it. At each moment the copy is the table as it
// was at one position of the log, and at rest it is the table as it is.
import { ChangeStream } from './change-stream.js';
import { seqOf } from './waiters.js';
import { WaitingTarget } from './waiting-target.js';
import { getJson } from './wire.js';

/** @typedef {import('./types.js').ChangeEvent} ChangeEvent */
/** @typedef {import('./types.js').Attempt} Attempt */
/**
 * @template Row
 * @typedef {Event & { key: string, row: Row | undefined, before: Row | undefined }} Change `row` is undefined where it was deleted, `before` where it was created
 */
/**
 * @template Row
 * @typedef {object} TableOptions
 * @property {import('./types.js').Token} [token]
 * @property {string | URL} [stream] where the stream is; `/ws` of the same server
 * @property {any} [WebSocket] as for a ChangeStream
 */

/**
 * `new LiveTable('/api/customers')` or `new LiveTable('/api/watch/orders')`: a read-only Map by key, the last part
 * of the `source` of a row's events. Dispatches `change` for each row that became another, and `state`.
 * @template [Row=any]
 * @extends {WaitingTarget<{ change: Change<Row>, state: Event }>}
 */
export class LiveTable extends WaitingTarget {
  /** The stream behind it: its `status`, `detail`, `nextTryAt`, `retry()`, `token`. */
  stream;
  /** When the first snapshot is there. Fails where the server refuses it. @type {Promise<void>} */
  ready;

  #url;
  #name; // of the table: what types and sources of its events begin with
  #rows = /** @type {Map<string, Row>} */ (new Map());
  #resolve = () => {};

  /** @param {string | URL} url @param {TableOptions<Row>} options */
  constructor(url, { stream, token, WebSocket } = {}) {
    super();
    this.#url = new URL(url, globalThis.location?.href);
    this.#name = nameOf(this.#url.pathname);
    this.stream = new ChangeStream(
      stream ?? new URL(this.#url.pathname.replace(/\/api\/.*/, '/ws'), this.#url),
      {
        token,
        WebSocket,
        types: [`${this.#name.type}.*`],
        sources: [`${this.#name.source}/*`],
        load: (attempt) => this.#load(attempt),
        loadsAfter: (event) => this.#isReset(event),
      },
    );
    this.stream.addEventListener('message', ({ data }) => this.#follow(data));
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.stream.addEventListener('state', () => {
        if (this.state === 'refused')
          reject(Object.assign(new Error(this.stream.detail), { status: this.stream.status }));
        if (this.state === 'closed') reject(new Error('the table was closed'));
        this.dispatchEvent(new Event('state'));
      });
    });
    this.ready.catch(() => {}); // who doesn't wait for it need not be told
  }

  get state() {
    return this.stream.state;
  }

  get size() {
    return this.#rows.size;
  }

  /** @param {string | number} key */
  get(key) {
    return this.#rows.get(String(key));
  }

  /** @param {string | number} key */
  has(key) {
    return this.#rows.has(String(key));
  }

  keys() {
    return this.#rows.keys();
  }

  values() {
    return this.#rows.values();
  }

  entries() {
    return this.#rows.entries();
  }

  [Symbol.iterator]() {
    return this.#rows.entries();
  }

  /** @param {(row: Row, key: string, table: LiveTable<Row>) => void} callback */
  forEach(callback) {
    for (const [key, row] of this.#rows) callback(row, key, this);
  }

  /** Resolves when the table shows a write: the `Last-Event-ID` of its answer. @param {string} id */
  reached(id) {
    return this.stream.reached(id);
  }

  close() {
    this.stream.close();
  }

  /** @param {ChangeEvent} event */
  #follow(event) {
    const [key, before] = this.#apply(this.#rows, event) ?? [];
    if (key !== undefined) this.#tell(key, before);
  }

  /** Rows came or went without an event for each, as with a table that was made anew. @param {ChangeEvent} event */
  #isReset({ type }) {
    return type === `${this.#name.type}.reset`;
  }

  /** Anyone may publish an event with such a source, but not with such a type. @param {Map<string, Row>} rows @param {ChangeEvent} event @returns {[key: string, before: Row | undefined] | undefined} */
  #apply(rows, { type, source, data }) {
    const { type: prefix, source: table } = this.#name;
    const change = type.startsWith(`${prefix}.`) && type.slice(prefix.length + 1);
    if (!source.startsWith(`${table}/`) || !/^(created|updated|deleted)$/.test(change || ''))
      return undefined;
    const key = source.slice(table.length + 1);
    const before = rows.get(key);
    if (change === 'deleted') rows.delete(key);
    else rows.set(key, data);
    return [key, before];
  }

  /** @param {string} key @param {Row | undefined} before */
  #tell(key, before) {
    const change = { key, row: this.#rows.get(key), before };
    this.dispatchEvent(Object.assign(new CustomEvent('change', { detail: change }), change));
  }

  // --- a snapshot

  /** All rows, and the one position at which all of them are true. @param {Attempt} attempt */
  async #load(attempt) {
    const rows = /** @type {Map<string, Row>} */ (new Map());
    let position = '';
    this.#url.searchParams.set('limit', '500');
    for (let next = this.#url.href; next; ) {
      const page = await getJson(next, attempt);
      for (const customer of page.customers ?? []) rows.set(String(customer.id), customer);
      // What the parts of a key are, and how bytes are written in it, only the server knows.
      for (const [i, row] of (page.rows ?? []).entries()) rows.set(page.keys[i], row);
      position ||= page.lastEventId;
      if (page.lastEventId !== position)
        position = await this.#catchUp(rows, position, page.lastEventId, attempt);
      next = page.next && new URL(page.next, this.#url).href;
    }
    attempt.signal.throwIfAborted();
    this.#show(rows);
    return position;
  }

  /**
   * A later page is true at a later position: brings the rows that we have up to there. The server must know that
   * position after we have read past it, or the page was of a history that was replaced since.
   * @param {Map<string, Row>} rows
   * @param {string} from
   * @param {string} pageId
   * @param {Attempt} attempt
   */
  async #catchUp(rows, from, pageId, attempt) {
    const url = new URL(this.#url.pathname.replace(/\/api\/.*/, '/api/events?limit=1000'), this.#url);
    url.searchParams.set('types', `${this.#name.type}.*`);
    url.searchParams.set('sources', `${this.#name.source}/*`);
    const read = (/** @type {string} */ lastEventId) => {
      url.searchParams.set('lastEventId', lastEventId);
      return getJson(url.href, attempt);
    };
    for (let position = from; ; ) {
      const { events, lastEventId, more } = await read(position);
      if (events.some((/** @type {ChangeEvent} */ event) => this.#isReset(event)))
        throw new Error('the table was replaced while it was read');
      for (const event of events) this.#apply(rows, event);
      position = lastEventId;
      if (more) continue;
      await read(pageId);
      if (seqOf(position) >= seqOf(pageId)) return position;
    }
  }

  /** Instead of the rows that were shown; who looks on is told what differs. @param {Map<string, Row>} rows */
  #show(rows) {
    const old = this.#rows;
    this.#rows = rows;
    this.#resolve();
    for (const key of new Set([...old.keys(), ...rows.keys()])) {
      const before = old.get(key);
      if (JSON.stringify(before) !== JSON.stringify(rows.get(key))) this.#tell(key, before);
    }
  }
}

/** What the events of this table have as `type` and `source`, as `lib/store/watch.ts` makes it. @param {string} path */
function nameOf(path) {
  const [, table] = /\/api\/watch\/([^/]+)$/.exec(path) ?? [];
  if (table === undefined) return { type: 'customer', source: '/api/customers' };
  const name = decodeURIComponent(table);
  const type = name.toLowerCase().replace(/[^a-z0-9._-]/gu, '_');
  const isPlain = /^[a-z]/.test(type) && !/^(stream|customer)(\.|$)/.test(type);
  const source = encodeURIComponent(name).slice(0, 2000).replace(/%.?$/, '');
  return { type: `${isPlain ? '' : 't_'}${type}`.slice(0, 90), source: `/watch/${source}` };
}
