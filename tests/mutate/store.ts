// Breaks of what leads from a write to the log.
import { breaksOf, type Mutation } from './mutation.ts';

const event = breaksOf('lib/event.ts', 'tests/event.test.ts');
const filter = breaksOf('lib/filter.ts', 'tests/filter.test.ts');
const groupCommit = breaksOf('lib/store/group-commit.ts', 'tests/store/group-commit.test.ts');
const store = (file: string) => breaksOf(`lib/store/${file}`, 'tests/store/sqlite-store.test.ts');
const watch = breaksOf('lib/store/sqlite-watch.ts', 'tests/store/watch.test.ts', 60);

export const STORE: Mutation[] = [
  watch(
    'that a table was watched once is forgotten where no event of it was logged',
    'isRenewal || known.has(table.table) ||',
    'isRenewal ||',
    'where nobody has watched a table for a while, its copies hear so',
  ),
  breaksOf('lib/store/sqlite-json.ts', 'tests/store/altered-tables.test.ts')(
    'a column that was dropped is told as the bytes that stand for it',
    'WHERE v IS NOT',
    "WHERE '' IS NOT",
    'a column that was dropped is in no event of its table',
  ),
  breaksOf('lib/store/row-place.ts', 'tests/api/watch-api.test.ts')(
    'a page ends at a key of any length',
    '<= MAX_LENGTH',
    '>= 0',
    'a page ends at a row whose key fits into a link',
  ),
  breaksOf('lib/api/health.ts', 'tests/http/shutdown.test.ts')(
    'a server that stops does not say when to ask again',
    "{ ...headers, 'Retry-After': '2' }",
    'headers',
    'a request in flight is finished',
  ),
  store('sqlite-reader.ts')(
    'long attributes of an event weigh nothing',
    " + Buffer.byteLength(extensions ?? '')",
    '',
    'a stretch of the log ends at its limit',
  ),
  event(
    'a cursor at the oldest place is expired',
    'if (seq < pruned.seq)',
    'if (seq <= pruned.seq)',
    'a cursor goes on where the log holds the very event',
  ),
  event(
    'a cursor at the head is ahead',
    'if (seq > head.seq)',
    'if (seq >= head.seq)',
    'a cursor goes on where the log holds the very event',
  ),
  event(
    'the stamp of a cursor is not looked at',
    "return stamp === stampThere ? undefined : 'unknown-log';",
    'return undefined;',
    'a cursor whose place holds another event',
  ),
  event(
    'line breaks of other programs stay in the data',
    'if (/[\\r\\n]/.test(event.data))',
    'if (/[\\r]\\r/.test(event.data))',
    'line breaks between the tokens of JSON',
  ),
  filter(
    'who follows a single row never hears that its table was made anew',
    'return table !== undefined && source.isWithin(table);',
    'return false;',
    'that a table must be loaded again is for whoever follows any row',
  ),
  filter(
    'a prefix forgets its dot',
    'item.slice(0, -1)',
    'item.slice(0, -2)',
    'a type is the whole of it, and a prefix ends with a dot',
  ),
  filter(
    'one of the two lists is enough',
    'type.matches(event.type) && isWanted(event)',
    'type.matches(event.type) || isWanted(event)',
    'both lists must let an event through',
  ),
  groupCommit(
    'a commit for each turn of the event loop',
    'setImmediate(() => setImmediate(resolve))',
    'setImmediate(resolve)',
    'writes of two turns share one batch',
  ),
  groupCommit(
    'a second batch begins while the first is under way',
    'this.working ??= this.work();',
    'void this.work();',
    'one batch is under way at a time',
  ),
  groupCommit(
    'what was locked is forgotten',
    "if (result.is === 'locked') locked.push(write);",
    "if (result.is === 'locked') continue;",
    'what was locked is tried again',
  ),
  groupCommit(
    'a write whose commit hangs is told that nothing was changed',
    'refuse(this.flying, unclear);',
    'refuse(this.flying, outOfPatience);',
    'a commit that hangs is told to be unclear',
  ),
  groupCommit(
    'what waits is not bounded',
    'const MAX_WAITING_BYTES = 64 * 1024 * 1024;',
    'const MAX_WAITING_BYTES = 640 * 1024 * 1024;',
    'what waits is bounded: beyond 64 MiB',
  ),
  groupCommit(
    'what was answered counts as waiting for ever',
    'this.bytes -= write.bytes;',
    '',
    'what stays locked is refused after 2 s',
  ),
  store('sqlite-store.ts')(
    'no wake when another program commits',
    'if (parts.reader.hasNews()) parts.commits.wake();',
    '',
    'a commit of another program wakes the readers',
  ),
  store('commits.ts')(
    'retention takes what nobody was told of',
    'Math.min(head - retention, announced)',
    'head - retention',
    'retention takes no event that was not announced',
  ),
  store('sqlite-orders.ts')(
    'a repeat is not told from a first answer',
    "if (earlier) return { is: 'replayed', json: earlier.answer,",
    "if (earlier) return { is: 'done', json: earlier.answer,",
    'a key gives the first answer again',
  ),
  store('sqlite-orders.ts')(
    'a key may be used for another request',
    'earlier.request !== request',
    'false',
    'a key gives the first answer again',
  ),
  store('sqlite-orders.ts')(
    'If-Match is not looked at',
    'if (ifMatch !== undefined && !matchesStrongly(ifMatch, etag)) return false;',
    '',
    'If-Match is checked inside the transaction',
  ),
  breaksOf('lib/store/sqlite-writer.ts', 'tests/store/sqlite-batch.test.ts')(
    'a write is refused for an event that cannot be pruned',
    'if (refusal && isPruning && running.length === 0)',
    'if (refusal && isPruning && running.length < 0)',
    'an event that a foreign key of another program holds',
  ),
  store('sqlite-log.sql')(
    "other programs may write the server's own types",
    "AND NOT type GLOB 'stream.*'",
    '',
    'a row that another program puts into the log is an event, if',
  ),
  store('sqlite-log.sql')(
    'an event can be changed afterwards',
    "SELECT RAISE(ABORT, 'changebell_events: an event is a fact and cannot be changed');",
    'SELECT 1;',
    'a row that another program puts into the log is an event, if',
  ),
  store('sqlite-log.sql')(
    'nobody notes what was deleted from the log',
    'UPDATE changebell_log SET pruned = OLD.seq, pruned_stamp = OLD.stamp WHERE pruned < OLD.seq;',
    'SELECT 1;',
    'retention deletes the oldest events',
  ),
  store('sqlite-customers.sql')(
    'an update that changes nothing is announced',
    '  IS NOT (OLD.name, OLD.email, OLD.created_at, OLD.updated_at)',
    '  IS NOT (OLD.name, OLD.email, OLD.created_at, 0)',
    'an update is an event with the customer after it',
  ),
  store('sqlite-customers.sql')(
    'a deletion is announced as an update',
    "VALUES ('customer.deleted', '/api",
    "VALUES ('customer.updated', '/api",
    'a deletion is an event with the customer as it last was',
  ),
];
