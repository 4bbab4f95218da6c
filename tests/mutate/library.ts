// Breaks of the client library: what an application builds on.
import { breaksOf, type Mutation } from './mutation.ts';

const cursor = (file: string) =>
  breaksOf(`public/changebell/${file}`, 'tests/public/changebell-cursor.test.ts');
const table = breaksOf('public/changebell/live-table.js', 'tests/public/live-table.test.ts');

// Real servers and databases: it takes its time.
const world = (file: string) => breaksOf(`public/changebell/${file}`, 'tests/proof/live-tables.test.ts', 120);

const wire = breaksOf('public/changebell/wire.js', 'tests/public/changebell-connection.test.ts');

export const LIBRARY: Mutation[] = [
  wire(
    'a handshake that fails without a close is waited for',
    'isOpen || refuse();',
    '{};',
    'a handshake that fails with an error alone is asked about',
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
  world('live-table.js')(
    'rows that a new snapshot lacks are kept',
    'this.#rows = rows;',
    'this.#rows = new Map([...old, ...rows]);',
    'a backup that is put back: the copy is the table again',
  ),
  world('change-stream.js')(
    'after a reset the seqs of the lost history still count',
    'this.#isDoubted] = [seq, seq, false];',
    'this.#isDoubted] = [Math.max(seq, this.#storedSeq), seq, false];',
    'a backup that is put back: the copy is the table again',
  ),
  cursor('change-stream.js')(
    'after a reset nothing is loaded',
    "const isReload = load && (name === 'reset' || loadsAfter?.(frame.event));",
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
    'any event with such a source changes the table',
    "!/^(created|updated|deleted)$/.test(change || '')",
    'false',
    'a watched table: its keys are those of its events',
  ),
];
