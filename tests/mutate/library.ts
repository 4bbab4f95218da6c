// Breaks of the client library: what an application builds on.
import { breaksOf, type Mutation } from './mutation.ts';

const cursor = (file: string) =>
  breaksOf(`public/changebell/${file}`, 'tests/public/changebell-cursor.test.ts');
const table = breaksOf('public/changebell/live-table.js', 'tests/public/live-table.test.ts');

/** Real servers and databases: it takes its time. */
const world = (file: string) => (breaks: string, find: string, put: string) =>
  breaksOf(`public/changebell/${file}`, 'tests/proof/live-tables.test.ts', 120)(
    breaks,
    find,
    put,
    'after any story every copy is the table',
  );

const wire = breaksOf('public/changebell/wire.js', 'tests/public/changebell-connection.test.ts');

export const LIBRARY: Mutation[] = [
  wire(
    'a handshake that fails without a close is waited for',
    'socket.onerror = socket.onclose = () => {',
    'socket.onerror = () => {};\n  socket.onclose = () => {',
    'a handshake that fails with an error alone is asked about',
  ),
  breaksOf('public/changebell/link.js', 'tests/public/changebell-connection.test.ts')(
    'a server that asks for years of rest is asked at once',
    'Math.min(wantedMs, LONGEST_TIMER_MS)',
    'wantedMs',
    'a server that asks for years of rest',
  ),
  breaksOf('public/changebell/link.js', 'tests/public/changebell-connection.test.ts')(
    'two tokens that were refused are two in a row, whatever lay between',
    'status === 401 ? this.#refusedTokens + 1 : 0;',
    'this.#refusedTokens + Number(status === 401);',
    'a token that has expired while the server was away',
  ),
  breaksOf('public/changebell/link.js', 'tests/public/changebell-connection.test.ts')(
    'a token that is set during a try waits for its end',
    "if (this.state === 'refused' || this.state === 'connecting') this.connect();",
    "if (this.state === 'refused') this.connect();",
    'a token that is set during a try',
  ),
  wire(
    'of a stream that was closed while it connected, it is asked why',
    'if (!signal.aborted) void whyRefused',
    'void whyRefused',
    'a stream that is closed while it connects asks nothing more',
  ),
  cursor('change-stream.js')(
    'a cursor that was never stored counts as one',
    'id || undefined;',
    'id;',
    'a cursor of a store that was empty is none',
  ),
  table(
    'under the path of a proxy only the first page is found',
    "new URL(page.next.replace(/[^?]*/, ''), this.#url)",
    'new URL(page.next, this.#url)',
    'a table that a proxy shows under a path of its own',
  ),
  table(
    'who has closed a table is told on',
    "if (this.state === 'closed') return; // by a listener",
    '',
    'a table that is closed by a listener',
  ),
  cursor('inbox.js')(
    'what came before a snapshot is applied over it',
    'this.#frames.splice(0, index)',
    'this.#frames.splice(0, 0)',
    'after a reset what comes is held until the snapshot is there',
  ),
  cursor('change-stream.js')(
    'a newer reset leaves an older snapshot its say',
    'if (this.#snapshots.isLoading) this.#forget();',
    '',
    'a reset during a load aborts it, and the next snapshot counts',
  ),
  cursor('change-stream.js')(
    'after a reset nobody waits, not even for what the snapshot lacks',
    'if (frame.waiting) this.#waiters.resolve(frame.waiting);',
    'if (frame.waiting) this.#waiters.resolve(this.#waiters.all());',
    'who asks while a snapshot is read waits for what was written meanwhile',
  ),
  world('live-table.js')(
    'rows that a new snapshot lacks are kept',
    'this.#rows = rows;',
    'this.#rows = new Map([...old, ...rows]);',
  ),
  world('change-stream.js')(
    'after a reset the seqs of the lost history still count',
    'this.#isDoubted] = [seq, seq, false];',
    'this.#isDoubted] = [Math.max(seq, this.#storedSeq), seq, false];',
  ),
  world('live-table.js')(
    'what was written between two pages is left out',
    'for (const event of events) this.#apply(rows, event);',
    '',
  ),
  world('live-table.js')(
    'nobody is told of the rows that a new snapshot lacks',
    'new Set([...old.keys(), ...rows.keys()])',
    'new Set([...rows.keys()])',
  ),
  world('change-stream.js')(
    'a snapshot that is newer than what has come is followed by what is older',
    'if (this.#inbox.skipTo(id)) this.#finish(reset);\n      else this.#goOnFrom(id);',
    'this.#inbox.skipTo(id);\n      this.#finish(reset);',
  ),
  world('change-stream.js')(
    'where a snapshot fails the stream goes on without it',
    'this.lastEventId = undefined; // the next connection begins with a snapshot',
    'this.#forget();',
  ),
  cursor('change-stream.js')(
    'an event counts as processed when its work begins',
    'const { name, event } = frame;',
    'this.#lastEventId = frame.id;\n    const { name, event } = frame;',
    'an async listener: the next event waits',
  ),
  world('change-stream.js')(
    'a position is passed as soon as its event has come',
    'this.#waiters.pass(seqOf(this.#lastEventId));',
    'this.#waiters.pass(seqOf(this.#received));',
  ),
  world('change-stream.js')(
    'while a snapshot is loaded, positions of the lost history are passed',
    ' && !this.#snapshots.isLoading)\n      this.#waiters',
    ')\n      this.#waiters',
  ),
  table(
    'a table that is made anew between two pages is half the old one',
    'if (events.some((/** @type {ChangeEvent} */ event) => this.#isReset(event)))',
    'if (false)',
    'a table that is made anew between two pages of a snapshot is loaded again',
  ),
  table(
    'a page of a history that was replaced since is taken',
    'await read(pageId);',
    '',
    'a snapshot of several pages, between which others write, is of one moment',
  ),
  cursor('link.js')(
    'a snapshot that fails with its connection is a second loss',
    "if (this.state !== 'open' && this.state !== 'connecting') return;",
    "if (this.state === 'closed') return;",
    'a load that fails after its connection is one loss',
  ),
  cursor('change-stream.js')(
    'after a reset nothing is loaded',
    "const isReload = load && (name === 'reset' || loadsAfter?.(event));",
    'const isReload = false;',
    'after a reset what comes is held until the snapshot is there',
  ),
  cursor('change-stream.js')(
    'a stream without a cursor begins without its snapshot',
    'if (load && (this.#isDoubted || (isFirst && !from)))',
    'if (false)',
    'a snapshot is loaded first, again where it fails',
  ),
  cursor('waiters.js')(
    'a write is said to be passed before it was processed',
    'seqOf(id) <= seq)',
    'seqOf(id) <= seq + 1)',
    'reached() resolves when a write has been processed',
  ),
  table(
    'pages of different moments are put together as they are',
    'position = await this.#catchUp(rows, position, page.lastEventId, attempt);',
    'position = page.lastEventId;',
    'a snapshot of several pages, between which others write, is of one moment',
  ),
  table(
    'a token that sees less than the one before it is taken for as good',
    'check: (attempt) => getJson(withQuery(this.#url, { limit: 1 }), attempt),',
    '',
    'a token that is renewed and sees',
  ),
  table(
    'any event with such a source changes the table',
    'if (!change || !source',
    'if (!source',
    'a watched table: its keys are those of its events',
  ),
];
