// A live copy of a table: a snapshot, then every change after it. At each moment the copy is the table as it
// was at one position of the log, and at rest it is the table as it is.
import { ChangeStream } from './change-stream.js';
import { seqOf } from './waiters.js';
import { WaitingTarget } from './waiting-target.js';
import { getJson, withQuery } from './wire.js';

const CHANGES = ['created', 'updated', 'deleted'];

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
  #type = 'customer'; // what the types of its events begin with: of a watched table a page says it
  #source;
  #rows = /** @type {Map<string, Row>} */ (new Map());
  #resolve = () => {};

  /** @param {string | URL} url @param {TableOptions<Row>} options */
  constructor(url, { stream, token, WebSocket } = {}) {
    super();
    this.#url = new URL(url, globalThis.location?.href);
    this.#source = sourceOf(this.#url.pathname);
    this.stream = new ChangeStream(stream ?? this.#beside('/ws'), {
      sources: [`${this.#source}/*`],
      token,
      WebSocket,
      // One row tells whether it may see all of them.
      check: (attempt) => getJson(withQuery(this.#url, { limit: 1 }), attempt),
      load: (attempt) => this.#load(attempt),
      loadsAfter: (event) => this.#isReset(event),
    });
    this.stream.addEventListener('message', ({ data }) => this.#apply(this.#rows, data));
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

  /** Rows came or went without an event for each, as with a table that was made anew. @param {ChangeEvent} event */
  #isReset({ type }) {
    return type === `${this.#type}.reset`;
  }

  /** Anyone may publish an event with such a source, but not with such a type. @param {Map<string, Row>} rows @param {ChangeEvent} event */
  #apply(rows, { type, source, data }) {
    const change = CHANGES.find((one) => type === `${this.#type}.${one}`);
    if (!change || !source.startsWith(`${this.#source}/`)) return;
    const key = source.slice(this.#source.length + 1);
    const before = rows.get(key);
    if (change === 'deleted') rows.delete(key);
    else rows.set(key, data);
    if (rows === this.#rows) this.#tell(key, before);
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
    for (let next = withQuery(this.#url, { limit: 500 }); next; ) {
      const page = await getJson(next, attempt);
      for (const customer of page.customers ?? []) rows.set(String(customer.id), customer);
      // What the parts of a key are, and how bytes are written in it, only the server knows.
      for (const [i, row] of (page.rows ?? []).entries()) rows.set(page.keys[i], row);
      this.#type = page.type ?? this.#type;
      position ||= page.lastEventId;
      if (page.lastEventId !== position)
        position = await this.#catchUp(rows, position, page.lastEventId, attempt);
      // The server doesn't know under which path a proxy shows it.
      next = page.next && new URL(page.next.replace(/[^?]*/, ''), this.#url);
    }
    attempt.signal.throwIfAborted();
    this.#show(rows);
    return position;
  }

  /** Another path of the same server. @param {string} path */
  #beside(path) {
    return new URL(this.#url.pathname.replace(/(.*)\/api\/.*/, `$1${path}`), this.#url);
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
    const read = (/** @type {string} */ lastEventId) =>
      getJson(
        withQuery(this.#beside('/api/events'), { sources: `${this.#source}/*`, limit: 1000, lastEventId }),
        attempt,
      );
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
      if (this.state === 'closed') return; // by a listener
      const before = old.get(key);
      if (JSON.stringify(before) !== JSON.stringify(rows.get(key))) this.#tell(key, before);
    }
  }
}

/** What the sources of its events begin with, as `lib/store/watch.ts` makes it. @param {string} path */
function sourceOf(path) {
  const [, table] = /\/api\/watch\/([^/]+)$/.exec(path) ?? [];
  if (table === undefined) return '/api/customers';
  const name = encodeURIComponent(decodeURIComponent(table)).replaceAll('*', '%2A');
  return `/watch/${name.slice(0, 2000).replace(/%.?$/, '')}`;
}
